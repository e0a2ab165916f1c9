"""When an upload was last asked for, and facts about the installation: what the collection of garbage asks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("uploads", sa.Column("asked_s", sa.Float, nullable=False, server_default="0"))
    op.create_table(
        "facts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("facts")
    op.drop_column("uploads", "asked_s")
