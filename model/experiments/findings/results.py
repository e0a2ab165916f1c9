"""Finished runs as the report reads them: each arm of a plan with its row, and the figures that rows hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.experiments.arms import Arm, NamedArm
from model.experiments.findings.frontier import Point
from model.experiments.measuring import CONTROL, REPORT

Row = Mapping[str, Any]
Plan = Mapping[tuple[str, str], Sequence[NamedArm]]
GENERAL = "general"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One run that has a row."""

    group: str
    label: str
    arm: Arm
    row: Row

    @property
    def accepted(self) -> bool:
        """Whether the stage ended with an accepted model (a fixed mix always does)."""
        return bool(self.row["outcome"] == "ACCEPTED" and self.row["points"])

    def sets(self, use: str = REPORT, point: float = 1.0) -> Mapping[str, Mapping[str, float]] | None:
        """The sets of one use at a point of the line; None when the run never came to its end."""
        found = [entry for entry in self.row["points"] if entry["point"] == point and "kind" not in entry]
        return found[0][use] if found else None

    def target(self, use: str = REPORT, point: float = 1.0) -> float:
        """Nats a token of the target; NaN for a run without an end."""
        sets = self.sets(use, point)
        return sets[self.arm.domain]["loss_nats"] if sets else math.nan

    def target_documents(self) -> tuple[Sequence[float], Sequence[int]]:
        """Nats and tokens of each document of the target's report set; empty for a run that kept none."""
        kept = self.row["points"][0].get("target_documents", {}) if self.row["points"] else {}
        return kept.get("nats", ()), kept.get("tokens", ())

    def gain(self, use: str = REPORT, point: float = 1.0) -> float:
        """Nats a token by which the target is better than under the parent."""
        sets = self.sets(use, point)
        return sets[self.arm.domain]["gain_nats"] if sets else math.nan

    def forgetting(self, use: str = REPORT, point: float = 1.0, name: str = GENERAL) -> float:
        """Nats a token that were forgotten of a retention set; NaN for a run without an end."""
        sets = self.sets(use, point)
        return sets[name]["forgetting_nats"] if sets and name in sets else math.nan

    def ratio_interval(self, name: str = GENERAL) -> tuple[float, float] | None:
        """Ends of the bootstrap interval of the ratio on the report set."""
        sets = self.sets()
        if not sets or sets[name]["ratio_low"] is None:
            return None
        return sets[name]["ratio_low"], sets[name]["ratio_high"]

    def at(self, use: str = REPORT, point: float = 1.0) -> Point:
        """The run as a point of (target loss, forgetting)."""
        return Point(target_nats=self.target(use, point), forgetting_nats=self.forgetting(use, point), label=self.label)

    @property
    def points(self) -> list[float]:
        """Points of the line that were measured."""
        return [entry["point"] for entry in self.row["points"] if "kind" not in entry]

    def of_kind(self, kind: str) -> list[Row]:
        """The measured points of one kind (model/experiments/choice/points.py), by falling distance to the parent."""
        found = [entry for entry in self.row["points"] if entry.get("kind") == kind]
        return sorted(found, key=lambda entry: -entry["point"])

    def history_ratios(self, name: str = GENERAL) -> list[tuple[float, float]]:
        """(part of the steps, ratio on the control set) of every boundary that was measured, over all attempts."""
        steps = self.row["steps"]
        return [(entry["step"] / steps, entry["sets"][name]["ratio"]) for entry in self.row["history"]]


def finished(arms: Sequence[NamedArm], rows: Mapping[str, Row]) -> list[Finished]:
    """The runs of a plan that have a row, in the plan's order."""
    return [
        Finished(group=named.group, label=named.label, arm=named.arm, row=rows[named.arm.digest])
        for named in arms
        if named.arm.digest in rows
    ]


def of_group(runs: Sequence[Finished], group: str) -> list[Finished]:
    """Those of one group."""
    return [run for run in runs if run.group == group]


def by_label(runs: Sequence[Finished]) -> dict[str, list[Finished]]:
    """Seeds of one arm together, in the order in which the labels come."""
    found: dict[str, list[Finished]] = {}
    for run in runs:
        found.setdefault(run.label, []).append(run)
    return found


def seeds(runs: Sequence[Finished]) -> list[int]:
    """Seeds that have run."""
    return sorted({run.arm.seed for run in runs})


def of_seed(runs: Sequence[Finished], seed: int) -> list[Finished]:
    """Those of one seed."""
    return [run for run in runs if run.arm.seed == seed]


def best_point(run: Finished, score: Any) -> float:
    """The point of the line with the least `score(point on the control set)`; None scores never win. Chosen on the
    control set, so that what the report set says of it was not picked by it."""
    scored = [(score(run.at(CONTROL, point)), -point) for point in run.points]
    good = [(value, place) for value, place in scored if value is not None and math.isfinite(value)]
    return -min(good)[1] if good else 1.0
