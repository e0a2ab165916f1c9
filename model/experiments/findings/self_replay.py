"""(l) in sentences: what replaying the model's own text leaves forgotten, against real text of the same share."""

from __future__ import annotations

from collections.abc import Sequence

from model.experiments.findings.frontier import match
from model.experiments.findings.results import Finished, of_seed, seeds
from model.experiments.findings.results import of_group as of
from retain.values.means import mean_of

COMPARED = (
    ("self", "real"),
    ("self, distillation", "real"),
    ("self, distillation", "real, distillation"),
    ("self, parent alone", "real"),
    ("self, parent alone", "real, distillation"),
)
GOAL = 1.25  # times the forgetting that the same share of real replay leaves


def self_replay(domain: str, runs: Sequence[Finished]) -> list[str]:
    """Of every share of own text and of each way of holding on, seeds in pairs."""
    said = []
    for share in sorted({run.arm.general_share for run in runs if run.arm.replay == "self"}):
        at = [run for run in runs if run.arm.general_share == share and run.points]
        for own, real in COMPARED:
            sentence = _told(share, of(at, own), of(at, real), own, real)
            if sentence:
                said.append(sentence)
        said += [
            f"{share:.0%}: {told}" for own in dict(COMPARED) if (told := _at_the_same_target(of(at, own), runs, own))
        ]
        removed = _removed(runs, of(at, "self"), of(at, "real"))
        if removed:
            said.append(f"{share:.0%}: {removed}")
    return said


def _told(share: float, own: Sequence[Finished], real: Sequence[Finished], name: str, against: str) -> str:
    pairs = [(a, b) for seed in seeds(own) for a in of_seed(own, seed) for b in of_seed(real, seed)]
    if not pairs:
        return ""
    ratios = [a.forgetting() / b.forgetting() for a, b in pairs if b.forgetting() > 0]
    target = mean_of([a.target() - b.target() for a, b in pairs])
    means = (sum(each) / len(pairs) for each in zip(*((a.forgetting(), b.forgetting()) for a, b in pairs), strict=True))
    nats = " against ".join(f"{nats:.4f}" for nats in means)
    mean = mean_of(ratios)
    if mean is None:
        return f"{share:.0%}: {name} against {against}: {nats} nats; real replay forgets nothing to be compared with."
    goal = "" if against != "real" else f" (goal {GOAL:g}: {'reached' if mean.value <= GOAL else 'NOT reached'})"
    return (
        f"{share:.0%}: {name} forgets x {mean} of what {against} does{goal}: {nats} nats; the target's loss differs by "
        f"{target}."
    )


def _at_the_same_target(own: Sequence[Finished], runs: Sequence[Finished], name: str) -> str:
    """Against the frontier of the shares of real replay, so that who learns less is not taken for who forgets less."""
    ratios, outside = list[float](), list[str]()
    real = [run for group in ("none", "real", "real, for the frontier") for run in of(runs, group) if run.points]
    for run in own:
        found = match(run.at(), [one.at() for one in of_seed(real, run.arm.seed)])
        if found.ratio is None:
            nothing = found.frontier_nats is not None
            why = "the frontier forgets nothing there" if nothing else str(found.reach)
            outside.append(f"seed {run.arm.seed}: {why}")
        else:
            ratios.append(found.ratio)
    mean, left_out = mean_of(ratios), f" Left out: {'; '.join(outside)}." if outside else ""
    if mean is None:
        return f"at the same target loss there is nothing to hold {name} against.{left_out}" if own else ""
    return f"at the same target loss {name} forgets x {mean} of the frontier of real replay.{left_out}"


def _removed(runs: Sequence[Finished], own: Sequence[Finished], real: Sequence[Finished]) -> str:
    """How much of what is forgotten without any replay each of the two takes away."""
    none = [run for run in of(runs, "none") if run.points]
    parts = []
    for name, arms in (("self", own), ("real", real)):
        pairs = [(a, b) for seed in seeds(arms) for a in of_seed(arms, seed) for b in of_seed(none, seed)]
        if pairs:
            parts.append(f"{name} replay {sum(1 - a.forgetting() / b.forgetting() for a, b in pairs) / len(pairs):.0%}")
    return f"of what is forgotten without replay, {' and '.join(parts)} removes." if parts else ""
