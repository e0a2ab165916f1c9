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
from model.experiments.findings.frontier import match
from model.experiments.findings.results import Finished, of_group, of_seed
from retain.values.means import Mean, mean_of

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


def distillation_at_the_frontier(domains: Sequence[Sequence[Finished]]) -> list[str]:
    """What distillation changes of (forgotten nats / those of the frontier at the same target loss) under the default
    controller and score, in pairs of one domain and seed, over the domains of (i) together: at equal tokens, and at
    equal compute, where the parent's passes are paid for with steps."""
    said = []
    for group, named in (("loop", "equal tokens"), ("loop, equal compute", "equal compute")):
        changes = [change for runs in domains for change in _changes(runs, group)]
        mean = mean_of(changes)
        if mean is not None:
            said.append(f"distillation in place of none, {named}, {len(changes)} pairs: {_verdict(mean)}.")
    return said


def _changes(runs: Sequence[Finished], group: str) -> list[float]:
    by_arm, found = {run.arm: run for run in of_group(runs, "loop")}, []
    for run in of_group(runs, group):
        gate = run.arm.gate
        if run.arm.penalty != "distill" or (gate.controller, gate.stop_on) != ("ANTICIPATE", "PROJECTED"):
            continue
        other = by_arm.get(replace(run.arm, penalty="", strength=0.0, count_teacher=False))
        fixed = [one.at() for one in of_seed(of_group(runs, "fixed"), run.arm.seed)]
        ratios = [match(one.at(), fixed).ratio for one in (run, other) if one is not None and one.accepted]
        if len(ratios) == 2 and ratios[0] is not None and ratios[1] is not None:
            found.append(ratios[0] - ratios[1])
    return found


def _verdict(change: Mean) -> str:
    if change.low is None or change.high is None:
        return f"{change.value:+.2f} of the frontier, one pair"
    said = f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}] of the frontier"
    decided = "less is forgotten" if change.high < 0 else "more is forgotten" if change.low > 0 else "not decided"
    return f"{said}, {decided}"
