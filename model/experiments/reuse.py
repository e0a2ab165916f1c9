"""An arm whose gate would give the same directives as one that has run is that run: it is not trained again.

A run is a function of its arm and of the directives that its gate gives, to the bit. So a constant of the controllers
that changes no directive on what the unchanged arm measured changes nothing at all, and neither does the score that
stop is compared with where none is near it. The finished row is played through the other gate; where every attempt
begins alike and every boundary is answered alike, its figures are taken over.

    python -m model.experiments.reuse --gate MODULE:FUNCTION --out FOLDER

prints of every changed constant of (k) the first directive that comes out otherwise, without training anything.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.experiments.arms import STOPS, Arm
from model.experiments.catalogue import sensitivity_arms
from model.experiments.gate import GateFactory, Measured, load_factory
from model.experiments.measuring import REPORT
from model.training.job import Directive, Verdict

GOES_ON = (Verdict.CONTINUE, Verdict.ADJUST)  # the others end an attempt


def counterparts(arm: Arm) -> list[Arm]:
    """The arms that differ from it in their gate alone and may come out the same: with the controllers' own constants,
    or with stop on the other score, which changes nothing where neither score comes near it. None for a fixed mix."""
    if not arm.gate.controller:
        return []
    if arm.gate.constants:
        return [replace(arm, gate=replace(arm.gate, constants=()))]
    return [replace(arm, gate=replace(arm.gate, stop_on=stop)) for stop in STOPS if stop != arm.gate.stop_on]


def taken_over(arm: Arm, row: Mapping[str, Any], factory: GateFactory) -> dict[str, Any] | None:
    """The row of `arm` from that of a counterpart, with the digest that it was taken from; None where the gate
    answers otherwise, or where the row does not hold all that it was asked (one that was played again with fewer steps,
    one that broke)."""
    if row["plays"] != 1 or row["outcome"] != "ACCEPTED" or first_difference(arm, row, factory):
        return None
    return {**row, "digest": arm.digest, "arm": arm.as_dict(), "taken_from": row["digest"], "seconds": 0.0}


def first_difference(arm: Arm, row: Mapping[str, Any], factory: GateFactory) -> str:
    """Where the gate of `arm` first answers otherwise than the one that the row was made under, in words; empty: never.
    What comes after it hangs on a training that has not been."""
    arm = replace(arm, steps=row["steps"])  # fewer, where it was played again
    gates = factory(replace(Arm.from_dict(row["arm"]), steps=arm.steps)), factory(arm)
    history = list(row["history"])
    while history:
        starts = [gate.begin() for gate in gates]
        if starts[0] is None or starts[0] != starts[1]:
            return f"begins with {starts[1]} instead of {starts[0]}"
        going = True
        while going and history:
            entry = history.pop(0)
            last = entry["step"] >= row["steps"]
            sets = [*_measured(arm, entry["sets"]), *(_measured(arm, row["points"][0][REPORT], True) if last else ())]
            boundary = -(-entry["step"] // arm.steps_per_boundary)
            given = [gate.judge(boundary, entry["step"], 0.0, sets) for gate in gates]
            if given[0] != given[1] or str(given[0].verdict) != entry["verdict"]:
                return f"at {entry['step'] / row['steps']:.0%} {_told(given[1])} instead of {_told(given[0])}"
            going = given[0].verdict in GOES_ON
    ended = all(gate.begin() is None and gate.outcome == row["outcome"] for gate in gates)
    return "" if ended else "ends otherwise"


def _told(given: Directive) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in (given.shares or {}).items())
    return f"{given.verdict} ({shares}, rate x {given.lr_scale or 1:g})"


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table. Raises BadConfig for a gate that is not there."""
    parser = argparse.ArgumentParser(prog="python -m model.experiments.reuse", description=__doc__)
    parser.add_argument("--gate", required=True, metavar="MODULE:FUNCTION", help="who makes the gates of the loops")
    parser.add_argument("--out", type=Path, default=Path("build/experiments"), help="folder of the rows")
    parser.add_argument("--domain", default="gsm8k")
    options = parser.parse_args(arguments)
    factory = load_factory(options.gate)
    print("| controller | constant | first directive that differs |", "|---|---|---|", sep="\n")
    for named in sensitivity_arms(options.domain, 0):
        if not named.arm.gate.constants:
            continue
        (unchanged,) = counterparts(named.arm)
        path = options.out / "rows" / f"{unchanged.digest}.json"
        found = "the unchanged arm has not run"
        if path.is_file():
            row = json.loads(path.read_text())
            replayed = first_difference(named.arm, row, factory)
            short = f", in a play of {row['steps']} steps after it went back" if row["plays"] > 1 else ""
            found = f"{replayed or 'none: the same run'}{short}"
        print(f"| {named.group} | `{named.label}` | {found} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
