"""Projects: everything that is there already belongs to the project `default`, which has no quotas."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables and the columns; the bytes of checkpoints are taken from their bodies."""
    op.create_table(
        "projects",
        sa.Column("name", sa.String(24), primary_key=True),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("most_runs", sa.Integer),
        sa.Column("most_slots", sa.Integer),
        sa.Column("most_bytes", sa.BigInteger),
        sa.Column("created_s", sa.Float, nullable=False),
    )
    op.execute("INSERT INTO projects (name, weight, created_s) VALUES ('default', 1.0, 0.0)")
    op.create_table(
        "shares",
        sa.Column("checkpoint_id", sa.String(255), primary_key=True),
        sa.Column("project", sa.String(24), primary_key=True),
    )
    for table in ("runs", "checkpoints", "uploads"):
        op.add_column(table, sa.Column("project", sa.String(24), nullable=False, server_default="default"))
    op.add_column("checkpoints", sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("api_tokens", sa.Column("projects", sa.Text, nullable=False, server_default="default"))
    op.create_index("runs_by_project", "runs", ["project", "number"])
    op.create_index("checkpoints_by_project", "checkpoints", ["project", "number"])
    _fill_bytes()


def _fill_bytes() -> None:
    checkpoints = sa.table("checkpoints", sa.column("id"), sa.column("body"), sa.column("bytes"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(checkpoints.c.id, checkpoints.c.body)).all():
        try:
            size = int(json.loads(row.body)["bytes"])
        except (ValueError, KeyError, TypeError):
            continue  # one that cannot be read is set aside by whoever reads it
        connection.execute(checkpoints.update().where(checkpoints.c.id == row.id).values(bytes=size))


def downgrade() -> None:
    """Take them away."""
    op.drop_index("checkpoints_by_project", "checkpoints")
    op.drop_index("runs_by_project", "runs")
    op.drop_column("api_tokens", "projects")
    op.drop_column("checkpoints", "bytes")
    for table in ("uploads", "checkpoints", "runs"):
        op.drop_column(table, "project")
    op.drop_table("shares")
    op.drop_table("projects")
