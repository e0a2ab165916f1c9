"""What one setting changes while all others stay: pairs of runs of the same domain and seed that differ in it alone.

A pair has no noise of the data's order in common with another one, and all of it within itself: so the difference of a
pair is what is averaged, with Student's interval over the pairs. A pair of which one run handed no model on is counted
and named, never averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from model.experiments.arms import Arm
from model.experiments.frontier import mean_of
from model.experiments.results import Finished

SETTINGS: Mapping[str, Callable[[Arm], Arm]] = MappingProxyType(
    {
        "ANTICIPATE in place of LADDER": lambda arm: replace(arm, gate=replace(arm.gate, controller="LADDER")),
        "distillation in place of none": lambda arm: replace(arm, penalty="", strength=0.0, count_teacher=False),
        "stop on PROJECTED in place of RAW": lambda arm: replace(arm, gate=replace(arm.gate, stop_on="RAW")),
    }
)


def paired(runs: Sequence[Finished]) -> list[str]:
    """One sentence for each setting of which a pair has run."""
    by_arm = {run.arm: run for run in runs}
    said = []
    for name, without in SETTINGS.items():
        found = [(run, by_arm.get(without(run.arm))) for run in runs if run.arm != without(run.arm)]
        pairs = [(run, other) for run, other in found if other is not None]
        if not pairs:
            continue
        ended = [(run, other) for run, other in pairs if run.accepted and other.accepted]
        lost = [sum(not side.accepted for side in sides) for sides in zip(*pairs, strict=True)]
        target = mean_of([run.target() - other.target() for run, other in ended])
        kept = mean_of([run.forgetting() - other.forgetting() for run, other in ended])
        figures = "" if target is None else f": target {target} nats, forgotten {kept} nats (with minus without)"
        said.append(
            f"{name}, {len(ended)} of {len(pairs)} pairs{figures}; without a model at its end: {lost[0]} with it, "
            f"{lost[1]} without."
        )
    return said
