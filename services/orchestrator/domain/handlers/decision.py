"""Where every decision is made out: by the gate, by a person, or because a checkpoint was lost."""

from dataclasses import replace

from retain.values import Decision, Severity, Verdict
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.commands import RecordDecision
from services.orchestrator.domain.run.state import PipelineRun, StageRun


def new_decision(
    state: PipelineRun,
    stage: StageRun,
    verdict: Verdict,
    mix: Mix,
    message: str,
    *,
    boundary: int,
    step: int,
    actor: str,
    now_s: float,
) -> Decision:
    """The next decision of a run, about a boundary of a stage; its evidence is filled in by who has it."""
    return Decision(
        run_id=state.id,
        number=state.decisions + 1,
        stage=stage.plan.name,
        attempt=stage.attempt.number,
        boundary=min(boundary, stage.plan.boundaries),
        step=step,
        verdict=verdict,
        severity=Severity.UNSPECIFIED,
        shares=mix.shares,
        lr_scale=mix.lr_scale,
        message=message,
        time_s=now_s,
        actor=actor,
    )


def decision_on_newest(
    state: PipelineRun, stage: StageRun, verdict: Verdict, mix: Mix, message: str, *, actor: str, now_s: float
) -> Decision:
    """A decision about a stage as it stands, with the figures of its newest checkpoint."""
    newest = stage.branch.newest
    about = new_decision(
        state,
        stage,
        verdict,
        mix,
        message,
        boundary=newest.boundary if newest else 0,
        step=newest.ref.step if newest else 0,
        actor=actor,
        now_s=now_s,
    )
    return replace(
        about,
        severity=newest.severity if newest and newest.severity else Severity.UNSPECIFIED,
        forgetting=newest.forgetting if newest else None,
        threshold=state.spec.forgetting.action or 0.0,
        worst_set=stage.last.worst_set,
        scores=stage.last.scores,
    )


def recorded(state: PipelineRun, decision: Decision) -> tuple[PipelineRun, RecordDecision]:
    """The run with one decision more, and the record of it."""
    return replace(state, decisions=decision.number), RecordDecision(decision=decision)
