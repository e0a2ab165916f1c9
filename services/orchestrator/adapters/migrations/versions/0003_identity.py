"""API tokens, codes and tokens of worker groups, and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "api_tokens",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("roles", sa.String(255), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("expires_s", sa.Float, nullable=False),
        sa.Column("last_used_s", sa.Float),
        sa.Column("revoked_s", sa.Float),
    )
    op.create_table(
        "worker_tokens",
        sa.Column("code_digest", sa.String(64), primary_key=True),
        sa.Column("run_id", sa.String(96), nullable=False),
        sa.Column("submission", sa.Integer, nullable=False),
        sa.Column("code_expires_s", sa.Float, nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("used_s", sa.Float),
        sa.Column("revoked_s", sa.Float),
    )
    op.create_index("worker_tokens_by_run", "worker_tokens", ["run_id", "submission"])
    op.create_table(
        "audit_events",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("time_s", sa.Float, nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("peer", sa.String(255), nullable=False),
        sa.Column("action", sa.String(128), nullable=False),
        sa.Column("resource", sa.String(255), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("before", sa.String(255), nullable=False),
        sa.Column("after", sa.String(255), nullable=False),
    )
    op.create_index("audit_events_by_subject", "audit_events", ["subject", "number"])
    op.create_index("audit_events_by_resource", "audit_events", ["resource", "number"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("audit_events")
    op.drop_table("worker_tokens")
    op.drop_table("api_tokens")
