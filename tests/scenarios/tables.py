"""Scenarios as text: files in tests/scenarios/tables, each a list of sections.

    ## thresholds are inclusive
    # Exactly 10 % acts; a hair below does not.
    settings: lag=1
    checkpoint 10             => evaluate 10
    score 10 general=0.10     => ADJUST general=0.2 lr=1

A section works on a run whose first attempt has begun; `start: new` is a run that waits, `continues: TITLE` resumes
where another section ended. Rows are events and what the core makes of them (tests/scenarios/scenario_runner.py). What
a changed core does is shown by running them with RETAIN_REWRITE_SCENARIOS=1: the right sides are written anew, and the
difference is for a person to read.
"""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.scenarios.builders import run
from tests.scenarios.scenario_runner import ScenarioRunner, training

TABLES = Path(__file__).parent / "tables"
REWRITE = "RETAIN_REWRITE_SCENARIOS"


@dataclass(kw_only=True)
class Section:
    """One scenario. `rows`: line number in the file, event, expected outcome."""

    title: str
    settings: str = ""
    new: bool = False
    continues: str = ""
    rows: list[tuple[int, str, str]] = field(default_factory=list)


@cache
def sections(table: str) -> dict[str, Section]:
    """The scenarios of a file by title. A title that comes twice or a row before the first title is refused."""
    found: dict[str, Section] = {}
    section: Section | None = None
    for number, line in enumerate((TABLES / f"{table}.txt").read_text().splitlines()):
        text = line.strip()
        if text.startswith("## "):
            section = Section(title=text[3:])
            assert section.title not in found, f"{table}.txt: {section.title!r} comes twice"
            found[section.title] = section
        elif text and not text.startswith("#"):
            assert section is not None, f"{table}.txt, line {number + 1}: a row before the first title"
            key, _, value = text.partition(": ")
            match key:
                case "settings":
                    section.settings = value
                case "start":
                    section.new = value == "new"
                case "continues":
                    section.continues = value
                case _:
                    event, _, expected = (part.strip() for part in text.partition("=>"))
                    section.rows.append((number, event, expected))
    return found


def scenario(table: str, title: str) -> ScenarioRunner:
    """Run a scenario and compare every row; returns the runner as it stands at the end."""
    section = sections(table)[title]
    if section.continues:
        runner = scenario(table, section.continues)
    elif section.new:
        runner = ScenarioRunner(state=run(section.settings))
    else:
        runner = training(section.settings)
    came = [(number, event, runner.apply(event)) for number, event, _ in section.rows]
    if os.environ.get(REWRITE):
        _rewrite(table, came)
        return runner
    for (number, event, expected), (_, _, outcome) in zip(section.rows, came, strict=True):
        where = f"{table}.txt, line {number + 1}: {event}"
        assert outcome == expected, f"{where}\n  expected {expected}\n  came     {outcome}"
    return runner


def _rewrite(table: str, came: list[tuple[int, str, str]]) -> None:
    path = TABLES / f"{table}.txt"
    lines = path.read_text().splitlines()
    width = max((len(event) for _, event, _ in came), default=0)
    for number, event, outcome in came:
        lines[number] = f"{event:<{width}} => {outcome}"
    path.write_text("\n".join(lines) + "\n")
