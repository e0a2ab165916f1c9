"""(m) and (n) in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from model.experiments.choice.points import KINDS
from model.experiments.findings.results import GENERAL, Finished
from model.experiments.measuring import CONTROL, REPORT

BUDGET = 0.10


def chosen_shares(runs: Sequence[Finished]) -> list[str]:
    """(m) Which share each trial chose, and what it expected of it."""
    said = []
    for run in runs:
        if run.arm.gate.controller == "OP_MIX":
            tried = next((d for d in run.row["decisions"] if d.get("mixes")), None)
            if tried is not None:
                share = tried["shares"][GENERAL]
                said.append(f"{run.label}, seed {run.arm.seed}: the trial chose {share:.0%}: {tried['message']}.")
    return said


def point_kinds(domain: str, runs: Sequence[Finished]) -> list[str]:
    """(n) Of each kind the point with the least target loss that keeps the budget on the control sets, measured on the
    report sets; of the ends the result alone."""
    said = []
    for run in runs:
        if not run.points:
            continue
        here = f"{run.label}, seed {run.arm.seed}"
        said.append(f"{here}: the result itself {_told(run, run.row['points'][0])}.")
        for kind in KINDS:
            found = run.of_kind(kind)
            kept = [entry for entry in found if math.expm1(_forgotten(entry, CONTROL)) < BUDGET]
            if not found:
                continue
            best = min(kept, key=lambda entry: _target(run, entry, CONTROL), default=None)
            if best is None:
                least = min(found, key=lambda entry: _forgotten(entry, CONTROL))
                said.append(f"{here}: {kind} none of {len(found)} keeps the budget; least {_told(run, least)}.")
            else:
                said.append(f"{here}: {kind} at {best['point']:g} {_told(run, best)}.")
    return said


def _told(run: Finished, entry: Mapping[str, object]) -> str:
    target, forgotten = _target(run, entry, REPORT), _forgotten(entry, REPORT)
    return f"target {target:.4f}, forgotten {forgotten:.4f} nats ({math.expm1(forgotten):+.1%})"


def _target(run: Finished, entry: Mapping[str, object], use: str) -> float:
    return float(entry[use][run.arm.domain]["loss_nats"])  # type: ignore[index]


def _forgotten(entry: Mapping[str, object], use: str) -> float:
    return float(entry[use][GENERAL]["forgetting_nats"])  # type: ignore[index]
