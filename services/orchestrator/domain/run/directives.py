"""What workers are told at a boundary: derived from verdicts that are stored before, so it is the same ever after.

At boundary k a worker hears the verdict on boundary k - lag; at the last boundary of a stage always on that one itself.
"""

from dataclasses import dataclass, replace

from retain.values import Verdict
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.state import MixFrom, StageRun

_ENDS_THE_LINE = (Verdict.ROLL_BACK, Verdict.STOP, Verdict.ACCEPT)


@dataclass(frozen=True, kw_only=True)
class Directive:
    """What to do from a boundary on."""

    verdict: Verdict
    mix: Mix
    message: str = ""


def directive_at(stage: StageRun, boundary: int, *, lag: int) -> Directive | None:
    """The directive at a boundary, or None as long as the verdict that it carries has not been made."""
    judged = judged_at(stage, boundary, lag=lag)
    if boundary < stage.branch.start_boundary:
        mix = mix_from(stage, boundary, lag=lag)
        return Directive(verdict=Verdict.CONTINUE, mix=mix, message="on the way to where the line starts")
    if stage.attempt.cut is not None and judged >= stage.attempt.cut:
        mix = mix_from(stage, stage.attempt.cut - 1, lag=lag)
        return Directive(
            verdict=Verdict.ROLL_BACK, mix=mix, message="a checkpoint was set aside: begin again before it"
        )
    for record in stage.branch.verdicts:
        if record.boundary <= judged and record.verdict in _ENDS_THE_LINE:
            return Directive(verdict=record.verdict, mix=record.mix, message=record.message)
        if record.boundary == judged:
            return Directive(verdict=record.verdict, mix=record.mix, message=record.message)
    if judged <= stage.branch.start_boundary:
        return Directive(verdict=Verdict.CONTINUE, mix=stage.branch.start_mix, message="the line starts here")
    return None


def judged_at(stage: StageRun, boundary: int, *, lag: int) -> int:
    """The boundary whose verdict is heard at `boundary`."""
    return boundary if boundary >= stage.plan.boundaries else boundary - lag


def mix_from(stage: StageRun, boundary: int, *, lag: int) -> Mix:
    """The mix that holds from a boundary on, as far as it is known: a worker that resumes there asks once more."""
    if boundary < stage.branch.start_boundary:
        return next((m.mix for m in reversed(stage.branch.trail) if m.boundary <= boundary), stage.branch.start_mix)
    uncut = replace(stage, attempt=replace(stage.attempt, cut=None))
    for at in range(boundary, stage.branch.start_boundary, -1):
        directive = directive_at(uncut, at, lag=lag)
        if directive is not None:
            return directive.mix
    return stage.branch.start_mix


def trail_to(stage: StageRun, boundary: int, *, lag: int) -> tuple[MixFrom, ...]:
    """The mixes that held from the stage's start up to a boundary, each where it began."""
    trail: list[MixFrom] = []
    for at in range(boundary):
        mix = mix_from(stage, at, lag=lag)
        if not trail or trail[-1].mix != mix:
            trail.append(MixFrom(boundary=at, mix=mix))
    return tuple(trail)


def adjustment_step(stage: StageRun, judged: int, *, lag: int) -> int:
    """Step from which a change decided on boundary `judged` is in the weights' way: where its directive is heard."""
    heard = min(judged + lag, stage.plan.boundaries)
    return stage.plan.boundary_step(heard)
