"""The table of an experiment, for people (markdown) and for programs (JSON), with the plain sentences below it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.experiments.arms import NamedArm
from model.experiments.catalogue import TITLES
from model.experiments.findings.conclusions import conclude
from model.experiments.findings.pairs import distillation_at_the_frontier
from model.experiments.findings.results import GENERAL, Finished, Plan, Row, by_label, finished
from retain.values.means import Mean, mean_of


@dataclass(frozen=True, kw_only=True)
class Line:
    """One arm over its seeds. Losses in nats a token on the report sets; `ratio_*` the bootstrap interval of one
    seed. `kept` holds what was forgotten of a further retention set, by its name."""

    group: str
    label: str
    planned: int
    done: int
    accepted: int = 0
    target: Mean | None = None
    gain: Mean | None = None
    forgetting: Mean | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    kept: Mapping[str, Mean] | None = None
    tokens: int = 0
    plays: int = 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a call writes."""

    markdown: str
    data: list[dict[str, Any]]


def report(plan: Plan, rows: Mapping[str, Row]) -> Report:
    """Tables and sentences of everything in the plan that has run; what has not is named."""
    parts, data = [], []
    for experiment, domain in sorted(plan):
        arms = plan[experiment, domain]
        lines, runs = lines_of(arms, rows), finished(arms, rows)
        said = conclude(experiment, domain, runs)
        parts.append(f"## ({experiment}) {TITLES[experiment]}: {domain}\n\n{_table(lines)}\n\n{_list(said)}")
        data.append(
            {"experiment": experiment, "domain": domain, "arms": [asdict(line) for line in lines], "conclusions": said}
        )
    together = distillation_at_the_frontier([finished(plan[key], rows) for key in sorted(plan) if key[0] == "i"])
    if together:
        parts.append(f"## (i) {TITLES['i']}: all domains\n\n{_list(together)}")
        data.append({"experiment": "i", "domain": "all", "arms": [], "conclusions": together})
    return Report(markdown="\n\n".join(parts), data=data)


def lines_of(arms: Sequence[NamedArm], rows: Mapping[str, Row]) -> list[Line]:
    """One line for each group and label of a plan, those that have not run included."""
    found = finished(arms, rows)
    lines = []
    for group in dict.fromkeys(named.group for named in arms):
        done = by_label([run for run in found if run.group == group])
        for label in dict.fromkeys(named.label for named in arms if named.group == group):
            planned = sum(named.group == group and named.label == label for named in arms)
            lines.append(_line(group, label, planned, done.get(label, [])))
    return lines


def _line(group: str, label: str, planned: int, runs: Sequence[Finished]) -> Line:
    ended = [run for run in runs if run.points]
    interval = ended[0].ratio_interval() if len(ended) == 1 else None
    further = {name for run in ended for name in run.arm.retention_sets if name != GENERAL}
    kept = {name: mean_of([run.forgetting(name=name) for run in ended]) for name in sorted(further)}
    return Line(
        group=group,
        label=label,
        planned=planned,
        done=len(runs),
        accepted=sum(run.accepted for run in runs),
        target=mean_of([run.target() for run in ended]),
        gain=mean_of([run.gain() for run in ended]),
        forgetting=mean_of([run.forgetting() for run in ended]),
        ratio_low=interval[0] if interval else None,
        ratio_high=interval[1] if interval else None,
        kept={name: mean for name, mean in kept.items() if mean is not None} or None,
        tokens=max((run.row["tokens"] for run in runs), default=0),
        plays=max((run.row["plays"] for run in runs), default=0),
    )


def _table(lines: Sequence[Line]) -> str:
    further = sorted({name for line in lines for name in line.kept or {}})
    head = ["group", "arm", "seeds", "target nats", "gain nats", "forgotten nats", "forgotten", "95 %", "tokens"]
    head += [f"{name} forgotten nats" for name in further]
    rows = [[*_cells(line), *(str((line.kept or {}).get(name, "")) for name in further)] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _cells(line: Line) -> list[str]:
    name = [line.group, line.label, f"{line.done}/{line.planned}"]
    if not line.done:
        return [*name, "not run", "", "", "", "", ""]
    if line.target is None or line.forgetting is None:
        return [*name, "no model at its end", "", "", "", "", f"{line.tokens:,}"]
    ratio = "" if math.isnan(line.forgetting.value) else f"{math.expm1(line.forgetting.value):+.1%}"
    interval = "" if line.ratio_low is None else f"{line.ratio_low:+.1%} to {line.ratio_high:+.1%}"
    state = "" if line.accepted == line.done else f" ({line.done - line.accepted} not accepted)"
    return [*name, str(line.target), str(line.gain), str(line.forgetting), ratio + state, interval, f"{line.tokens:,}"]


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences) or "- Nothing has run."


def write_report(made: Report, folder: Path) -> list[Path]:
    """`report.md` and `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, data = folder / "report.md", folder / "report.json"
    markdown.write_text(f"# Experiments\n\n{made.markdown}\n", encoding="utf-8")
    data.write_text(json.dumps(made.data, indent=1) + "\n", encoding="utf-8")
    return [markdown, data]
