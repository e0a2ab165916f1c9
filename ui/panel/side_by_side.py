"""Which checkpoints are compared and how a model's text is shown: plain functions of the page Try it."""

from collections.abc import Sequence

from ui.client.views import Checkpoint, DataPreview
from ui.panel.shared import as_text

BEGINNING_TOKENS = 20


def usable(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Those whose files are there: accepted ones first, each kind newest first."""
    there = [one for one in checkpoints if one.state in ("LIVE", "ACCEPTED")]
    return sorted(there, key=lambda one: one.state != "ACCEPTED")


def first_pair(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, Checkpoint]:
    """What is compared first: the newest accepted one that another of its run came before, after the oldest of these;
    else the newest twice."""
    lines: dict[str, list[Checkpoint]] = {}
    for one in checkpoints:
        if one.state == "ACCEPTED" and one.run_id:
            lines.setdefault(one.run_id, []).append(one)
    line = next((line for line in lines.values() if len(line) > 1), checkpoints[:1])
    return line[-1], line[0]


def beginnings(found: DataPreview) -> list[str]:
    """The first words of each document, as prompts."""
    texts = ("".join(token.text for token in one.tokens[:BEGINNING_TOKENS]) for one in found.documents)
    prompts = (text.replace("<|bos|>", "").replace("\N{REPLACEMENT CHARACTER}", "").strip() for text in texts)
    return [prompt for prompt in prompts if prompt]


def shown(text: str) -> str:
    """What a model said, as itself: no mark-up in it works, its lines stay lines."""
    return as_text(text).replace("\n", "  \n") or "*nothing*"
