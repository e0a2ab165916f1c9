"""The table of the arms, and what each of them says, as Markdown: what stands in the README and in the guide."""

from collections.abc import Mapping, Sequence
from typing import Any

from ui.adapt.rows import Row
from ui.adapt.texts import MEASURED
from ui.render import formatting

TARGET, *RETAINED = MEASURED
TITLES = {"encyclopaedia": "Wikipedia", "stories": "stories", "chat": "chat"}
SAID_CHARACTERS = 160


def table(rows: Sequence[Row]) -> str:
    """A line for each arm, the model before any of them first."""
    heads = ("arm", "problems, perplexity", *(f"{TITLES[name]}, forgotten" for name in RETAINED))
    heads += ("target tokens", "time", "rollbacks")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        sets = {one["name"]: one for one in row.sets}
        if not sets:
            cells = ["-", *(f"no model: {row.state}" for _ in RETAINED)]
        else:
            cells = [f"{sets[TARGET]['perplexity']:.2f}", *(_forgotten(sets[name]) for name in RETAINED)]
        cost = (
            [f"{row.target_tokens:,}", formatting.seconds(row.seconds), str(row.rollbacks)] if row.recipe else [""] * 3
        )
        lines.append("| " + " | ".join([row.arm, *cells, *cost]) + " |")
    return "\n".join(lines)


def samples(rows: Sequence[Row]) -> str:
    """What each arm answers to the same prompts, the beginnings of long answers."""
    prompts = list(dict.fromkeys(one["prompt"] for row in rows for one in row.samples))
    lines = []
    for prompt in prompts:
        lines += ["", f"> {_one_line(prompt)}", "", "| arm | says |", "|---|---|"]
        said = [(row.arm, one["text"]) for row in rows for one in row.samples if one["prompt"] == prompt]
        lines += [f"| {arm} | {_one_line(text)} |" for arm, text in said]
    return "\n".join(lines[1:])


def _forgotten(found: Mapping[str, Any]) -> str:
    """`+12.3 % [+10.1, +14.6]`; of the model before any arm its perplexity."""
    if found.get("ratio") is None:
        return f"(perplexity {found['perplexity']:.2f})"
    said = f"{100 * found['ratio']:+.1f} %"
    if found["ratio_low"] is None:
        return said
    return f"{said} [{100 * found['ratio_low']:+.1f}, {100 * found['ratio_high']:+.1f}]"


def _one_line(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|")
    return shown if len(shown) <= SAID_CHARACTERS else f"{shown[:SAID_CHARACTERS].rpartition(' ')[0]} ..."
