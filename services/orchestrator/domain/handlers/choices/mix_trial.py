"""The share of a stage before it begins, by a trial of mixes (`controller: OP_MIX`; OP-Mix, arXiv:2605.15220).

    attempt asked -> StageWork with `mix_trial` -> two short runs, mixes measured -> MixTried: the share is chosen,
        a decision says why -> the attempt trains with it

The choice is stored together with the points that it was made from, once; nothing half-chosen is ever stored. A worker
that ends before it has reported leaves no trace, and the next attempt is told to try again: the same seeds give the
same points. One that reports again (a lost reply) hears the same shares. From the first boundary on the stage is in the
hands of the controller that anticipates, with the law's own estimates.
"""

import math
from dataclasses import replace

from retain.values import Controller, MixTrialWork, ReplayFor, SetRole, SetUse, Verdict
from services.orchestrator.domain.handlers.decision import new_decision, recorded
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.policy.mix_choice import choose_share, told
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.events import MixTried
from services.orchestrator.domain.run.lineage import parent_of
from services.orchestrator.domain.run.state import MixTrial, PipelineRun, StageRun, StageState
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of, limits_of
from services.orchestrator.domain.spec.gauges import most_bits_per_byte
from services.orchestrator.domain.spec.op_mix import op_mix_of, trial_steps


def trial_work(state: PipelineRun, stage: StageRun) -> MixTrialWork | None:
    """What is to be tried before the stage's first step; None where nothing is, or was already."""
    if state.spec.forgetting.controller is not Controller.OP_MIX or stage.trial is not None or state.prepared is None:
        return None
    begun = bool(stage.attempt.resume or stage.branch.registered or stage.branch.verdicts or stage.gate.retries)
    if begun or not any(stage.plan.shares.values()) or parent_of(state, stage) is None:
        return None
    given, settings = state.spec.stages[stage.plan.index], op_mix_of(state.spec.forgetting)
    rules = state.spec.forgetting
    guarded = stage.plan.never_replayed if rules.replay_for is ReplayFor.ALL else ()
    names = {stage.plan.target, *(name for name, share in stage.plan.shares.items() if share > 0), *guarded}
    bits = {name: most for name in guarded if (most := most_bits_per_byte(rules, name)) is not None}
    return MixTrialWork(
        steps=trial_steps(state.spec.forgetting, tokens_per_step=stage.plan.tokens_per_step, steps=stage.plan.steps),
        learning_rate=given.learning_rate * settings.rate_factor,
        rank=settings.rank,
        shares=settings.shares,
        sets=tuple(
            one
            for one in state.prepared.stages[stage.plan.index].sets
            if one.name in names and one.use is SetUse.CONTROL and one.role is not SetRole.UNSPECIFIED
        ),
        most_bits_per_byte=bits,
    )


def on_mix_tried(state: PipelineRun, event: MixTried) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Choose the stage's shares, once. A trial that says nothing leaves them as they are, and is not made again. Raises
    Stale."""
    fence.check(state, event)
    stage = fence.stage_of(state, event.stage_index)
    if stage.status is not StageState.RUNNING or trial_work(state, stage) is None:
        return state, ()
    rules = state.spec.forgetting
    limits = limits_of(rules)
    choice = choose_share(
        event.points,
        start=_forgotten_before(state, stage),
        law=anticipation_of(rules),
        budget=min(limits.budget, limits.action),
        largest=ladder_of(rules).largest_replay,
    )
    mix = stage.branch.start_mix if choice is None else _spread(stage.branch.start_mix, choice.share)
    verdict = Verdict.CONTINUE if choice is None else Verdict.ADJUST
    took = f" and {event.seconds:.0f} s" if event.seconds else ""
    said = f"OP_MIX: {told(event.points, choice)}; {event.tokens:,} tokens{took} for it"
    trial = MixTrial(points=event.points, tokens=event.tokens, seconds=event.seconds, message=said)
    stage = replace(stage, trial=trial, branch=replace(stage.branch, start_mix=mix, mix=mix))
    decision = new_decision(state, stage, verdict, mix, said, boundary=0, step=0, actor="gate", now_s=event.now_s)
    decision = replace(decision, mixes=event.points, threshold=limits.budget)
    state, record = recorded(state.with_stage(stage), decision)
    return state, (record,)


def _spread(mix: Mix, share: float) -> Mix:
    """The share of old text in all, spread over the sources as the spec spreads its own."""
    whole = sum(mix.shares.values())
    return replace(mix, shares={name: round(share * one / whole, 6) for name, one in mix.shares.items()})


def _forgotten_before(state: PipelineRun, stage: StageRun) -> dict[str, float]:
    """Nats of each set that an earlier stage had forgotten when it ended: the trial measures from there on."""
    if stage.plan.index == 0:
        return {}
    scores = state.stages[stage.plan.index - 1].last.scores
    return {s.retention_set: math.log1p(s.resolved_ratio) for s in scores if s.finite and s.ratio > -1}
