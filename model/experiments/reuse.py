"""An arm whose gate would give the same directives as one that has run is that run: it is not trained again.

A run is a function of its arm and of the directives that its gate gives, to the bit. So a constant of the controllers
that changes no directive on what the unchanged arm measured changes nothing at all. The finished row is played through
the changed gate; where every attempt begins alike and every boundary is answered alike, its figures are taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model.experiments.arms import Arm
from model.experiments.gate import GateFactory, Measured
from model.experiments.measuring import REPORT
from model.training.job import Verdict

GOES_ON = (Verdict.CONTINUE, Verdict.ADJUST)  # the others end an attempt


def unchanged_arm(arm: Arm) -> Arm | None:
    """The arm with the controllers' own constants; None for one that changes none."""
    return replace(arm, gate=replace(arm.gate, constants=())) if arm.gate.constants else None


def taken_over(arm: Arm, row: Mapping[str, Any], factory: GateFactory) -> dict[str, Any] | None:
    """The row of `arm` from that of its unchanged arm, with the digest that it was taken from; None where the gate
    answers otherwise, or where the row does not hold all that it was asked (one that was played again with fewer steps,
    one that broke)."""
    if row["plays"] != 1 or row["outcome"] != "ACCEPTED" or not _same_directives(arm, row, factory):
        return None
    return {**row, "digest": arm.digest, "arm": arm.as_dict(), "taken_from": row["digest"], "seconds": 0.0}


def _same_directives(arm: Arm, row: Mapping[str, Any], factory: GateFactory) -> bool:
    gates = factory(Arm.from_dict(row["arm"])), factory(arm)
    history = list(row["history"])
    while history:
        starts = [gate.begin() for gate in gates]
        if starts[0] is None or starts[0] != starts[1]:
            return False
        going = True
        while going and history:
            entry = history.pop(0)
            last = entry["step"] >= row["steps"]
            sets = [*_measured(arm, entry["sets"]), *(_measured(arm, row["points"][0][REPORT], True) if last else ())]
            boundary = -(-entry["step"] // arm.steps_per_boundary)
            given = [gate.judge(boundary, entry["step"], 0.0, sets) for gate in gates]
            if given[0] != given[1] or str(given[0].verdict) != entry["verdict"]:
                return False
            going = given[0].verdict in GOES_ON
    return all(gate.begin() is None and gate.outcome == row["outcome"] for gate in gates)


def _measured(arm: Arm, sets: Mapping[str, Mapping[str, float]], report: bool = False) -> list[Measured]:
    """What a gate is asked about, as a row keeps it. How large a set is decides nothing."""
    found = []
    for name, values in sets.items():
        target = name == arm.domain
        change = -values["gain_nats"] if target else values["forgetting_nats"]
        found.append(
            Measured(
                name=name, target=target, report=report, tokens=1, bytes=1, units=1, loss_nats=values["loss_nats"],
                baseline_nats=values["loss_nats"] - change, ratio_low=values.get("ratio_low"),
                ratio_high=values.get("ratio_high"),
            )
        )  # fmt: skip
    return found
