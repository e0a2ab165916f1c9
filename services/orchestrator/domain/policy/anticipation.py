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

The law speaks of one share held throughout. Where shares change, `share` is the one that the weights have felt: it
follows the share that is trained with a lag, of a tenth of all that the learning rate sums up to over the stage, for
that is about how long forgetting takes to its peak. So a raised share is not credited before it has worked, a score
that is still high after it does not raise c, and late in a stage, where hardly any rate is left, more is asked for.
What is not needed is given back in the first half only: on a real run a share that was lowered at two thirds let the
score rise again, from 7 % to 14 %, with too little rate left to come back.
"""

import math
from dataclasses import replace

from services.orchestrator.domain.policy.gate import Judgement, Limits, Ruling
from services.orchestrator.domain.policy.ladder import climb
from services.orchestrator.domain.policy.projection import fall, projected_falls, rate_left, seen_to_the_end
from services.orchestrator.domain.run.directives import mix_from
from services.orchestrator.domain.run.state import Checkpoint, Mix, Rollback, StageRun
from services.orchestrator.domain.spec.bounds import Anticipation, Ladder
from services.orchestrator.domain.spec.spec import Controller, PipelineSpec
from services.orchestrator.domain.values import ForgettingScore, Measurement, SetUse

MOST_NATS = 700.0  # exp(709.8) is the largest number there is


def felt_by(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the share of each set that its weights have felt."""
    before = stage.known_at(checkpoint.boundary - 1)
    trained = mix_from(stage, checkpoint.boundary - 1, lag=spec.evaluation.decision_lag).shares
    felt = before.felt if before is not None else {}
    weight = _weight(spec, stage, before.ref.step if before is not None else 0, checkpoint.ref.step)
    now = {name: felt.get(name, share) + weight * (share - felt.get(name, share)) for name, share in trained.items()}
    return replace(checkpoint, felt=now)


def observe(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> StageRun:
    """The stage with what a boundary says about c of each retention set; before settling it says nothing."""
    if spec.forgetting.controller is not Controller.ANTICIPATE or not _settled(spec, stage, checkpoint):
        return stage
    law, progress = Anticipation.of(spec.forgetting), checkpoint.ref.step / stage.plan.steps
    constants = dict(stage.constants)
    for score in _sane(measured):
        nats_at_end = math.log1p(score.resolved_ratio) * law.end_over_present(progress)
        c = nats_at_end * (checkpoint.felt.get(score.retention_set, 0.0) + law.share_offset)
        constants[score.retention_set] = (*constants.get(score.retention_set, ()), c)[-law.boundaries_used :]
    return replace(stage, constants=constants)


def project(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> dict[str, float]:
    """Scores projected to the stage's end under the present mix, of the sets for which something has been fitted. The
    ladder is only the net under the law: it acts where both the law and the fall that was seen end over action."""
    falls = projected_falls(spec, stage)
    if spec.forgetting.controller is not Controller.ANTICIPATE:
        return falls
    by_law = _by_law(spec, stage, checkpoint, measured, stage.mix)
    return falls | {name: min(ratio, falls.get(name, math.inf)) for name, ratio in by_law.items()}


def project_onward(
    spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement
) -> dict[str, float]:
    """Scores projected to the stage's end under the mix that is trained from here on, which `stop` may compare, of the
    sets of which that much can be said. The law speaks of the shares that it would choose now: a stage that a higher
    share still brings home has no reason to go back. The ladder cannot tell what its next rung will do: a fall that was
    seen under the present one goes on, and what was seen not to fall stands as it is."""
    scores, falls = _sane(measured), projected_falls(spec, stage)
    if spec.forgetting.controller is not Controller.ANTICIPATE:
        return seen_to_the_end(spec, stage, scores, falls=falls)
    mix = _smallest_shares(spec, stage, checkpoint) if _may_change(spec, stage, checkpoint) else stage.mix
    by_law = _by_law(spec, stage, checkpoint, measured, mix)
    return falls | {name: min(ratio, falls.get(name, math.inf)) for name, ratio in by_law.items()}


def _by_law(
    spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement, mix: Mix
) -> dict[str, float]:
    """Ratio at the stage's end by the law if it goes on with these shares, of each set with an estimate."""
    law, weight = Anticipation.of(spec.forgetting), _weight(spec, stage, checkpoint.ref.step, stage.plan.steps)
    found = {}
    for score in _sane(measured):
        name, c = score.retention_set, estimate(stage, score.retention_set)
        if c is not None:
            now = checkpoint.felt.get(name, 0.0)
            at_end = now + weight * (mix.shares.get(name, 0.0) - now)
            found[name] = math.expm1(min(c / (at_end + law.share_offset), MOST_NATS))
    return found


def estimate(stage: StageRun, set_name: str) -> float | None:
    """The present estimate of c of one set, in nats."""
    seen = stage.constants.get(set_name, ())
    return sum(seen) / len(seen) if seen else None


def next_mix(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, judgement: Judgement) -> tuple[Mix, str]:
    """The mix from this boundary on, and what changed, or why nothing did, for people."""
    asked = judgement.ruling in (Ruling.GO_ON, Ruling.MORE_REPLAY)
    if asked and stage.constants and _may_change(spec, stage, checkpoint):
        mix = _smallest_shares(spec, stage, checkpoint)
        helps = mix.shares.get(judgement.act_on, 0.0) > stage.mix.shares.get(judgement.act_on, 0.0)
        if mix != stage.mix and (judgement.ruling is Ruling.GO_ON or helps):
            changes = [
                f"{name} share {stage.mix.shares[name]:g} -> {share:g} (c = {estimate(stage, name):.4f} nats)"
                for name, share in mix.shares.items()
                if share != stage.mix.shares[name]
            ]
            return mix, "anticipated: " + ", ".join(changes)
    if judgement.ruling is not Ruling.MORE_REPLAY:
        return stage.mix, ""
    mix, changed = climb(stage.mix, judgement.act_on, Ladder.of(spec.forgetting))
    if mix.lr_scale != stage.mix.lr_scale and fall(stage, judgement.act_on) > 0:
        return stage.mix, "it falls: the learning rate that it recovers with is left alone"
    return mix, changed


def raised(spec: PipelineSpec, stage: StageRun, rollback: Rollback, said: str) -> tuple[Rollback, str]:
    """A rollback whose rung the law finds too low begins with the share that the law asks for."""
    if spec.forgetting.controller is not Controller.ANTICIPATE:
        return rollback, said
    law = Anticipation.of(spec.forgetting)
    wanted = {name: law.percent(_at_end(spec, c)) for name in rollback.mix.shares if (c := estimate(stage, name))}
    shares = {name: max(share, wanted.get(name, share)) for name, share in rollback.mix.shares.items()}
    if shares == rollback.mix.shares or sum(shares.values()) > Ladder.of(spec.forgetting).largest_replay:
        return rollback, said
    told = ", ".join(f"{name} {share:g}" for name, share in shares.items() if share != rollback.mix.shares[name])
    return replace(rollback, mix=replace(rollback.mix, shares=shares)), f"{said}; anticipated: {told}"


def _smallest_shares(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint) -> Mix:
    """Each set's smallest share that keeps the budget, in whole percent; unchanged where the change would be noise."""
    law, weight = Anticipation.of(spec.forgetting), _weight(spec, stage, checkpoint.ref.step, stage.plan.steps)
    shares = dict(stage.mix.shares)
    for name, now in stage.mix.shares.items():
        c = estimate(stage, name)
        if c is None or weight <= 0:
            continue
        before = checkpoint.felt.get(name, now)
        wanted = law.percent(before + (_at_end(spec, c) - before) / weight)
        relief = now - wanted >= law.least_relief and weight >= law.relief_felt
        if wanted - now >= law.least_raise or relief:
            shares[name] = wanted
    fits = sum(shares.values()) <= Ladder.of(spec.forgetting).largest_replay
    return replace(stage.mix, shares=shares) if fits else stage.mix


def _at_end(spec: PipelineSpec, c: float) -> float:
    """Share that the weights must have felt at the stage's end."""
    law = Anticipation.of(spec.forgetting)
    return max(c, 0.0) / (law.aim * math.log1p(Limits.of(spec.forgetting).budget)) - law.share_offset


def _weight(spec: PipelineSpec, stage: StageRun, start: int, end: int) -> float:
    """How far the felt share comes from `start` to `end` (steps) towards the one that is trained there, 0 to 1."""
    schedule, steps = spec.stages[stage.plan.index].schedule, stage.plan.steps
    passed = rate_left(schedule, start / steps) - rate_left(schedule, end / steps)
    return -math.expm1(-passed / (Anticipation.of(spec.forgetting).lag * rate_left(schedule, 0.0)))


def _may_change(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint) -> bool:
    """Whether a share may be chosen anew on this checkpoint: the last change is in its weights already."""
    changed_before = checkpoint.ref.step > stage.adjusted_step
    return changed_before and Limits.of(spec.forgetting).mitigate and _settled(spec, stage, checkpoint)


def _settled(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint) -> bool:
    return checkpoint.ref.step / stage.plan.steps >= Limits.of(spec.forgetting).settle


def _sane(measured: Measurement) -> list[ForgettingScore]:
    return [score for score in measured.scores_of(SetUse.CONTROL) if score.sane]
