"""Who chooses the replay share: the ladder after a threshold was crossed, or a controller that anticipates.

LADDER acts after a threshold was crossed: with the next rung, unless the score falls fast enough by itself
(domain/policy/projection.py).

ANTICIPATE acts before a threshold is crossed. Measured (stories260K to GSM8K, learning rate decaying to zero): what is
forgotten of a set at a stage's end is about

    forgetting_nats = c / (share + 0.05)

with c = .0348, .0350, .0347 at shares .10, .125, .25 (.025 at .5, where the law is too careful). Only c is estimated
from the run: from each settled boundary, scaled by what a reference run still lost or won back from there to its end.
The smallest share that keeps the budget is then c / ln(1 + budget) - 0.05; it is chosen for nine tenths of the budget,
so that noise does not break the promise. The ladder stays as the safety net.

The law speaks of one share held throughout. Where shares change, `share` is the effective one: it follows the share
that is trained with a response time, of a tenth of all that the learning rate sums up to over the stage, for that is
about how long forgetting takes to its peak. So a raised share is not credited before it has worked, a score that is
still high after it does not raise c, and late in a stage, where hardly any rate is left, more is asked for. What is not
needed is given back in the first half only: on a real run a share that was lowered at two thirds let the score rise
again, from 7 % to 14 %, with too little rate left to return.

Sets that no stage replays (gauges) have no share of their own. Replay of general text protects what is like it too
(a first look: a tenth of replayed stories kept other stories, for a quarter of what half the learning rate took from
the target), so its share is chosen for them as well, by the same law with a c of their own, and the set that needs
most decides. Nothing of their scores is expected to be won back until the end: what is won back is what is replayed,
and the less is replayed, the less is won back (the histories of the fixed mixes of experiment (i)). They are forgotten
later, too: one that stands at 0 early in a stage need not end there, so beside them nothing of the share is given back.
How much one kind of text does for another nobody knows beforehand: so a higher share is chosen for them and not
credited to them, and what `action` and `stop` compare of them is what their own scores say.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from retain.values import ForgettingScore, Verdict
from services.orchestrator.domain.policy.gate import GateOutcome
from services.orchestrator.domain.policy.ladder import Ladder, Mix, climb
from services.orchestrator.domain.policy.limits import Limits
from services.orchestrator.domain.policy.projection import (
    Horizon,
    Scored,
    projected_decreases,
    score_decrease,
    seen_to_the_end,
)

MAX_EXPONENT = 700.0  # exp(709.8) is the largest number there is
EARLY = 0.1  # of a stage: where the reference run was looked at first


@dataclass(frozen=True, kw_only=True)
class Anticipation:
    """The constants of the law and the bounds of what it may choose: the fields of `forgetting.anticipate`."""

    aim: float
    share_offset: float
    smallest_share: float
    largest_share: float
    share_step: float
    least_raise: float
    least_relief: float
    relief_felt: float
    boundaries_used: int
    lag: float
    early_forgetting: float
    end_forgetting: float
    scarce_passes: float

    def end_over_present(self, progress: float) -> float:
        """Forgetting at a stage's end over that at `progress` (0 to 1), of the reference run, straight between its two
        points, in nats."""
        early, end = math.log1p(self.early_forgetting), math.log1p(self.end_forgetting)
        at = min(max(progress, EARLY), 1.0)
        return end / (early + (end - early) * (at - EARLY) / (1.0 - EARLY))

    def percent(self, share: float) -> float:
        """The next whole step of a share, within what may be chosen."""
        step = math.ceil(round(share / self.share_step, 6)) * self.share_step
        return round(min(max(step, self.smallest_share), self.largest_share), 6)


@dataclass(frozen=True, kw_only=True)
class StageController:
    """Who chooses the mix of a stage, and within what: fixed before the stage begins. `target_scarce`: the stage passes
    over its target so often that replay is no price for it. `guard`: the replayed set whose share is chosen for those
    that nothing replays too (`guarded`); empty: there is none, or that was not asked for."""

    anticipates: bool
    target_scarce: bool
    guard: str = ""
    guarded: frozenset[str] = frozenset()
    limits: Limits
    ladder: Ladder
    law: Anticipation
    horizon: Horizon

    def share_at_end(self, c: float) -> float:
        """Effective share that is needed at the stage's end, for a set whose constant is `c` (nats)."""
        return max(c, 0.0) / (self.law.aim * math.log1p(self.limits.budget)) - self.law.share_offset

    def weight(self, start: int, end: int) -> float:
        """How far the effective share moves from step `start` to `end` towards the trained one, 0 to 1."""
        rate, horizon = self.horizon.rate, self.horizon
        passed = rate.left(horizon.progress(start)) - rate.left(horizon.progress(end))
        return -math.expm1(-passed / (self.law.lag * rate.left(0.0)))


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is known at one boundary: the step of its checkpoint, the mix that is trained and the step from which it is,
    the effective shares, the estimates of c (nats) and the last scores under the present rung, with those of this
    boundary. `guarded`: the estimates of c by the guard's share, of sets that nothing replays."""

    step: int
    mix: Mix
    adjusted_step: int
    effective_shares: Mapping[str, float]
    constants: Mapping[str, tuple[float, ...]]
    recent: tuple[Scored, ...]
    scores: tuple[ForgettingScore, ...]
    guarded: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def effective_shares(
    controller: StageController, before: Mapping[str, float], trained: Mapping[str, float], *, start: int, end: int
) -> dict[str, float]:
    """The effective share of each set at step `end`: those at `start`, moved towards the shares that were trained with
    in between."""
    weight = controller.weight(start, end)
    return {
        name: before.get(name, share) + weight * (share - before.get(name, share)) for name, share in trained.items()
    }


def update_estimate(
    controller: StageController,
    constants: Mapping[str, tuple[float, ...]],
    scores: Iterable[ForgettingScore],
    shares: Mapping[str, float],
    *,
    step: int,
) -> Mapping[str, tuple[float, ...]]:
    """The last estimates of c of each retention set with what one boundary says; before settling it says nothing."""
    if not controller.anticipates or not controller.horizon.settled(step):
        return constants
    kept = controller.law.end_over_present(controller.horizon.progress(step))
    return _with_estimates(controller.law, constants, scores, shares, kept=kept, used=controller.law.boundaries_used)


def _with_estimates(
    law: Anticipation,
    constants: Mapping[str, tuple[float, ...]],
    scores: Iterable[ForgettingScore],
    shares: Mapping[str, float],
    *,
    kept: float,
    used: int,
) -> Mapping[str, tuple[float, ...]]:
    """The last estimates (`used` of them) of each set with one more; `kept`: what of a score is left at the stage's
    end."""
    updated = dict(constants)
    for score in _valid(scores):
        c = math.log1p(score.resolved_ratio) * kept * (shares.get(score.retention_set, 0.0) + law.share_offset)
        updated[score.retention_set] = (*updated.get(score.retention_set, ()), c)[-used:]
    return updated


def update_guarded(
    controller: StageController,
    constants: Mapping[str, tuple[float, ...]],
    deciding: Iterable[ForgettingScore],
    shares: Mapping[str, float],
    *,
    step: int,
) -> Mapping[str, tuple[float, ...]]:
    """As `update_estimate`, of the sets that nothing replays, by the effective share of what guards them, with nothing
    won back; the newest estimate alone, since they are forgotten ever more. `deciding`: the scores without those that
    are shown only."""
    if not (controller.anticipates and controller.guard and controller.horizon.settled(step)):
        return constants
    scores = [score for score in deciding if score.retention_set in controller.guarded]
    by_guard = dict.fromkeys(controller.guarded, shares.get(controller.guard, 0.0))
    return _with_estimates(controller.law, constants, scores, by_guard, kept=1.0, used=1)


def project(controller: StageController, at: Observed) -> dict[str, float]:
    """Scores projected to the stage's end under the present mix, of the sets for which something has been fitted. The
    ladder is only the net under the law: it acts where both the law and the fall that was seen end over action."""
    decreases = projected_decreases(at.recent, controller.horizon)
    if not controller.anticipates:
        return decreases
    by_law = _by_law(controller, at, at.mix)
    return decreases | {name: min(ratio, decreases.get(name, math.inf)) for name, ratio in by_law.items()}


def project_onward(controller: StageController, at: Observed) -> dict[str, float]:
    """Scores projected to the stage's end under the mix that is trained from here on, which `stop` may compare, of the
    sets of which that much can be said. The law speaks of the shares that it would choose now: a stage that a higher
    share still brings home has no reason to go back. The ladder cannot tell what its next rung will do: a fall that was
    seen under the present one continues, and what was seen not to fall stands as it is."""
    scores, decreases = _valid(at.scores), projected_decreases(at.recent, controller.horizon)
    if not controller.anticipates:
        return seen_to_the_end(at.recent, controller.horizon, scores, decreases=decreases)
    mix = _smallest_shares(controller, at) if _may_change(controller, at) else at.mix
    by_law = _by_law(controller, at, mix)
    return decreases | {name: min(ratio, decreases.get(name, math.inf)) for name, ratio in by_law.items()}


def _by_law(controller: StageController, at: Observed, mix: Mix) -> dict[str, float]:
    """Ratio at the stage's end by the law if it continues with these shares, of each set with an estimate; it knows
    nothing of those that nothing replays."""
    law, weight = controller.law, controller.weight(at.step, controller.horizon.steps)
    found = {}
    for score in _valid(at.scores):
        name, c = score.retention_set, estimate(at.constants, score.retention_set)
        if c is not None and name not in at.guarded:
            now = at.effective_shares.get(name, 0.0)
            at_end = now + weight * (mix.shares.get(name, 0.0) - now)
            found[name] = math.expm1(min(c / (at_end + law.share_offset), MAX_EXPONENT))
    return found


def estimate(constants: Mapping[str, tuple[float, ...]], set_name: str) -> float | None:
    """The present estimate of c of one set, in nats; None before there is one."""
    seen = constants.get(set_name, ())
    return sum(seen) / len(seen) if seen else None


def next_mix(controller: StageController, at: Observed, outcome: GateOutcome) -> tuple[Mix, str]:
    """The mix from this boundary on, and what changed, or why nothing did, for people."""
    asked = outcome.verdict in (Verdict.CONTINUE, Verdict.ADJUST) and not outcome.keeps_mix
    if asked and at.constants and _may_change(controller, at):
        mix = _smallest_shares(controller, at)
        raised = controller.guard if outcome.act_on in controller.guarded else outcome.act_on
        helps = mix.shares.get(raised, 0.0) > at.mix.shares.get(raised, 0.0)
        if mix != at.mix and (outcome.verdict is Verdict.CONTINUE or helps):
            changes = [
                f"{name} share {at.mix.shares[name]:g} -> {share:g} ({_why(controller, at, name)})"
                for name, share in mix.shares.items()
                if share != at.mix.shares[name]
            ]
            return mix, "anticipated: " + ", ".join(changes)
    if outcome.verdict is not Verdict.ADJUST:
        return at.mix, _held(controller, at) if asked and _may_change(controller, at) else ""
    mix, changed = climb(at.mix, outcome.act_on, controller.ladder)
    if mix.lr_scale != at.mix.lr_scale and score_decrease(at.recent, outcome.act_on) > 0:
        return at.mix, "it falls: the learning rate that it recovers with is left alone"
    return mix, changed


def with_anticipated_shares(
    controller: StageController,
    constants: Mapping[str, tuple[float, ...]],
    guarded: Mapping[str, tuple[float, ...]],
    mix: Mix,
    changed: str,
) -> tuple[Mix, str]:
    """The mix to begin again with, where the law finds its rung too low with the share that the law asks for; and what
    changed (`changed` is what did so far), for people."""
    if not controller.anticipates:
        return mix, changed
    law = controller.law
    needs = {name: _most_needed(controller, constants, guarded, name) for name in mix.shares}
    asked = {name: law.percent(controller.share_at_end(c)) for name, (c, _) in needs.items() if c}
    shares = {name: max(share, asked.get(name, share)) for name, share in mix.shares.items()}
    if shares == mix.shares or sum(shares.values()) > controller.ladder.largest_replay:
        return mix, changed
    raised = ", ".join(f"{name} {share:g}" for name, share in shares.items() if share != mix.shares[name])
    return replace(mix, shares=shares), f"{changed}; anticipated: {raised}"


def _smallest_shares(controller: StageController, at: Observed) -> Mix:
    """Each set's smallest share that keeps the budget, of what it guards too, in whole percent; unchanged where the
    change would be noise, and never lowered where the target is scarce or something is guarded by it."""
    law, weight = controller.law, controller.weight(at.step, controller.horizon.steps)
    shares = dict(at.mix.shares)
    for name, now in at.mix.shares.items():
        c, _ = _most_needed(controller, at.constants, at.guarded, name)
        if c is None or weight <= 0:
            continue
        before = at.effective_shares.get(name, now)
        smallest = law.percent(before + (controller.share_at_end(c) - before) / weight)
        is_guard = name == controller.guard and bool(at.guarded)
        may_give_back = not (controller.target_scarce or is_guard) and weight >= law.relief_felt
        relief = may_give_back and now - smallest >= law.least_relief
        if smallest - now >= law.least_raise or relief:
            shares[name] = smallest
    if sum(shares.values()) <= controller.ladder.largest_replay:
        return replace(at.mix, shares=shares)
    return _without_room(controller, at) if at.guarded else at.mix


def _without_room(controller: StageController, at: Observed) -> Mix:
    """What each set needs for itself, where there is no room for what the guarded ones need beside it; the guard's
    share is not given back."""
    alone, name = _smallest_shares(controller, replace(at, guarded={})), controller.guard
    shares = {**alone.shares, name: max(alone.shares[name], at.mix.shares[name])}
    return replace(at.mix, shares=shares) if sum(shares.values()) <= controller.ladder.largest_replay else at.mix


def _most_needed(
    controller: StageController,
    constants: Mapping[str, tuple[float, ...]],
    guarded: Mapping[str, tuple[float, ...]],
    name: str,
) -> tuple[float | None, str]:
    """The largest estimate of c among a replayed set and those that its share is chosen for, and whose it is; of equal
    ones its own."""
    found = [(estimate(constants, name), name)]
    if name == controller.guard:
        found += [(estimate(guarded, one), one) for one in sorted(guarded)]
    known = [(c, whose) for c, whose in found if c is not None]
    return max(known, key=lambda one: one[0]) if known else (None, name)


def _why(controller: StageController, at: Observed, name: str) -> str:
    c, whose = _most_needed(controller, at.constants, at.guarded, name)
    return f"c = {c:.4f} nats" + (f" of {whose}" if whose != name else "")


def _held(controller: StageController, at: Observed) -> str:
    """For what a share stays that its own set does not need, for people; empty where none does."""
    name, alone = controller.guard, _smallest_shares(controller, replace(at, guarded={}))
    if alone.shares.get(name, 0.0) >= at.mix.shares.get(name, 0.0):
        return ""
    return f"{name} share stays at {at.mix.shares[name]:g} for {', '.join(sorted(at.guarded))}"


def _may_change(controller: StageController, at: Observed) -> bool:
    """Whether a share may be chosen anew on this checkpoint: the last change is in its weights already."""
    changed_before = at.step > at.adjusted_step
    return changed_before and controller.limits.mitigate and controller.horizon.settled(at.step)


def _valid(scores: Iterable[ForgettingScore]) -> list[ForgettingScore]:
    return [score for score in scores if score.is_valid_ratio]
