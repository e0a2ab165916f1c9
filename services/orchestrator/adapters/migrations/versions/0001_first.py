"""The first tables: runs, checkpoints, decisions, uploads, garbage.

A database in which an earlier program died between two of them has some already: those are left as they are. The
columns are written out here and not taken from adapters/tables.py: a migration must do tomorrow what it did today.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "runs",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(96), nullable=False, unique=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("queue_number", sa.Integer, nullable=False),
        sa.Column("attention", sa.Boolean, nullable=False),
        sa.Column("request_id", sa.String(128), unique=True),
        sa.Column("request_digest", sa.String(64)),
        sa.Column("base_uri", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("runs_by_status", "runs", ["status", "number"], if_not_exists=True)
    op.create_index("runs_by_attention", "runs", ["attention"], if_not_exists=True)
    op.create_table(
        "checkpoints",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(255), nullable=False, unique=True),
        sa.Column("run_id", sa.String(96), nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("checkpoints_by_run", "checkpoints", ["run_id", "number"], if_not_exists=True)
    op.create_index("checkpoints_by_uri", "checkpoints", ["uri"], if_not_exists=True)
    op.create_index("checkpoints_by_manifest", "checkpoints", ["manifest_sha256"], if_not_exists=True)
    op.create_table(
        "decisions",
        sa.Column("run_id", sa.String(96), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "uploads",
        sa.Column("folder", sa.String(128), primary_key=True),
        sa.Column("file_name", sa.String(255), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table("garbage", sa.Column("uri", sa.String(512), primary_key=True), if_not_exists=True)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("garbage", "uploads", "decisions", "checkpoints", "runs"):
        op.drop_table(table)
