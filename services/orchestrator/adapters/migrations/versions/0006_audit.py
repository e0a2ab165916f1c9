"""Who did what is looked up by call and by time, too."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("audit_events_by_action", "audit_events", ["action", "number"])
    op.create_index("audit_events_by_time", "audit_events", ["time_s"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("audit_events_by_time", "audit_events")
    op.drop_index("audit_events_by_action", "audit_events")
