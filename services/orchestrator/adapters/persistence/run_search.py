"""What runs are searched by: id, name and labels, in a small table that a search goes through as a whole.

A row is the lines of `text_of`, folded, with a line end around each, so that a word is a part of the text and
`key=value` one of its lines. 10,000 runs are about 2 MB.
"""

import sqlalchemy as sa

from services.orchestrator.adapters.records import upsert
from services.orchestrator.adapters.tables import run_texts, runs
from services.orchestrator.domain.run.state import PipelineRun


def text_of(state: PipelineRun) -> str:
    """What a run is found by."""
    labels = sorted(f"{key}={value}" for key, value in state.spec.labels.items())
    lines = (" ".join(line.casefold().split()) for line in (state.id, state.spec.name, *labels))
    return "\n" + "\n".join(lines) + "\n"


def keep_text(connection: sa.Connection, state: PipelineRun) -> None:
    """So that the run is found by what it is called now."""
    upsert(connection, run_texts, {"run_id": state.id, "text": text_of(state)}, key="run_id")


def having(words: str) -> sa.ColumnElement[bool]:
    """Runs that have every word: `key=value` a label, each other one a part of id, name or labels; upper or lower case
    alike, and nothing in a word is a wildcard."""
    found = sa.select(run_texts.c.run_id)
    for word in words.casefold().split():
        part = f"\n{word}\n" if "=" in word else word
        found = found.where(run_texts.c.text.contains(part, autoescape=True))
    return runs.c.id.in_(found)
