"""Runs are searched by id, name and labels: a table of these, filled from the bodies."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
AT_ONCE = 500


def upgrade() -> None:
    """Add the table, with a row for each run."""
    texts = op.create_table(
        "run_texts",
        sa.Column("run_id", sa.String(96), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    runs = sa.table("runs", sa.column("number"), sa.column("id"), sa.column("body"))
    connection, last = op.get_bind(), 0
    while True:
        query = sa.select(runs).where(runs.c.number > last).order_by(runs.c.number).limit(AT_ONCE)
        rows = connection.execute(query).all()
        if not rows:
            return
        connection.execute(texts.insert(), [{"run_id": row.id, "text": _text(row.id, row.body)} for row in rows])
        last = rows[-1].number


def _text(run_id: str, body: str) -> str:
    """As adapters/persistence/run_search.py writes it; of a body that cannot be read, the id alone."""
    try:
        spec = json.loads(body)["spec"]
        found = [str(spec["name"]), *sorted(f"{key}={value}" for key, value in (spec.get("labels") or {}).items())]
    except (ValueError, KeyError, TypeError, AttributeError):
        found = []
    return "\n" + "\n".join(" ".join(line.casefold().split()) for line in (run_id, *found)) + "\n"


def downgrade() -> None:
    """Take it away."""
    op.drop_table("run_texts")
