"""(j) in sentences: what replay does to a target of which there is little, at the same number of its epochs.

Runs are compared in pairs that differ in the share alone. Two intervals: over the documents of the target's report set
(both models read the same ones; the seeds that both have are added up), and, from two seeds on, Student's over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.evaluation.forgetting_score import bootstrap_interval
from model.experiments.findings.results import Finished, of_seed, seeds
from model.experiments.measuring import CONTROL
from retain.values.means import mean_of

Pair = tuple[Finished, Finished]  # with replay, without


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Target loss with replay minus without, nats a token: its mean over pairs, the ends of the interval over
    documents (None: too few), and both intervals in words."""

    nats: float
    low: float | None
    high: float | None
    told: str

    @property
    def verdict(self) -> str:
        """Whether replay helps, by the interval over documents."""
        if self.low is None or self.high is None:
            return "undecided (too few documents)"
        if self.high < 0:
            return "helps the target"
        return "costs the target" if self.low > 0 else "makes no difference to the target"


def scarce(domain: str, runs: Sequence[Finished]) -> list[str]:
    """Of every number of epochs and rate what each share does; then each share at its own best epochs and rate, chosen
    on the control set."""
    ended = [run for run in runs if run.points]
    said = []
    for group in dict.fromkeys(run.group for run in ended):
        for share in _shares(ended):
            pairs = _paired([run for run in ended if run.group == group], share)
            if pairs:
                said.append(f"{group}: {_told(share, pairs)}")
    for share in _shares(ended):
        best = [(_best(of_seed(ended, seed), share), _best(of_seed(ended, seed), 0.0)) for seed in seeds(ended)]
        pairs = [(run, without) for run, without in best if run is not None and without is not None]
        if pairs:
            chosen = ", ".join(f"{run.group} against {without.group}" for run, without in pairs)
            said.append(f"each at its best epochs and rate ({chosen}): {_told(share, pairs)}")
    return said


def difference(pairs: Sequence[Pair]) -> Difference:
    """Target loss of the first of each pair minus the second's."""
    changes = [run.target() - without.target() for run, without in pairs]
    over_seeds = mean_of(changes)
    low, high = _over_documents(pairs)
    told = f"{math.fsum(changes) / len(changes):+.4f} nats of the target"
    if low is not None:
        told += f" (documents [{low:+.4f}, {high:+.4f}]"
        if over_seeds is not None and over_seeds.low is not None:
            told += f", {len(pairs)} seeds [{over_seeds.low:+.4f}, {over_seeds.high:+.4f}]"
        told += ")"
    return Difference(nats=math.fsum(changes) / len(changes), low=low, high=high, told=told)


def _told(share: float, pairs: Sequence[Pair]) -> str:
    found = difference(pairs)
    kept = math.fsum(run.forgetting() - without.forgetting() for run, without in pairs) / len(pairs)
    return f"{share:.0%} of replay {found.verdict}: {found.told}, {kept:+.4f} nats forgotten."


def _shares(runs: Sequence[Finished]) -> list[float]:
    return sorted({run.arm.general_share for run in runs} - {0.0})


def _paired(runs: Sequence[Finished], share: float) -> list[Pair]:
    without = {run.arm.seed: run for run in runs if run.arm.general_share == 0.0}
    found = [run for run in runs if run.arm.general_share == share]
    return [(run, without[run.arm.seed]) for run in found if run.arm.seed in without]


def _best(runs: Sequence[Finished], share: float) -> Finished | None:
    """The run at this share with the least target loss on the control set, if all epochs and rates have run."""
    groups, mine = {run.group for run in runs}, [run for run in runs if run.arm.general_share == share]
    return min(mine, key=lambda run: run.target(CONTROL)) if mine and len(mine) == len(groups) else None


def _over_documents(pairs: Sequence[Pair]) -> tuple[float, float] | tuple[None, None]:
    nats = [[run.target_documents()[0] for run in side] for side in zip(*pairs, strict=True)]
    tokens = pairs[0][0].target_documents()[1]
    if not tokens or any(len(one) != len(tokens) for side in nats for one in side):
        return None, None
    now, before = ([math.fsum(of) for of in zip(*side, strict=True)] for side in nats)
    interval = bootstrap_interval(now, before, [len(pairs) * count for count in tokens])
    return (math.log1p(interval.low), math.log1p(interval.high)) if interval else (None, None)
