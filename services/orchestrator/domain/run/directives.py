"""What workers are told at a boundary: derived from verdicts that are stored before, so it is the same ever after.

At boundary k a worker hears the verdict on boundary k - `decision_delay`; at the last boundary of a stage always that
on the boundary itself.
"""

from dataclasses import replace

from retain.values import Verdict
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.state import Directive, MixFrom, StageRun

_ENDS_THE_BRANCH = (Verdict.ROLL_BACK, Verdict.STOP, Verdict.ACCEPT)


def directive_at(stage: StageRun, boundary: int, *, decision_delay: int) -> Directive | None:
    """The directive at a boundary, or None as long as the verdict that it carries has not been made."""
    judged = judged_at(stage, boundary, decision_delay=decision_delay)
    if boundary < stage.branch.start_boundary:
        mix = mix_from(stage, boundary, decision_delay=decision_delay)
        return Directive(
            boundary=judged, verdict=Verdict.CONTINUE, mix=mix, message="on the way to where the branch starts"
        )
    if stage.attempt.cut is not None and judged >= stage.attempt.cut:
        mix = mix_from(stage, stage.attempt.cut - 1, decision_delay=decision_delay)
        return Directive(
            boundary=judged,
            verdict=Verdict.ROLL_BACK,
            mix=mix,
            message="a checkpoint was set aside: begin again before it",
        )
    for stored in stage.branch.verdicts:
        if stored.boundary == judged or (stored.boundary < judged and stored.verdict in _ENDS_THE_BRANCH):
            return stored
    if judged <= stage.branch.start_boundary:
        mix = stage.branch.start_mix
        return Directive(boundary=judged, verdict=Verdict.CONTINUE, mix=mix, message="the branch starts here")
    return None


def judged_at(stage: StageRun, boundary: int, *, decision_delay: int) -> int:
    """The boundary whose verdict is heard at `boundary`."""
    return boundary if boundary >= stage.plan.boundaries else boundary - decision_delay


def mix_from(stage: StageRun, boundary: int, *, decision_delay: int) -> Mix:
    """The mix that holds from a boundary on, as far as it is known: a worker that resumes there asks once more."""
    if boundary < stage.branch.start_boundary:
        return next((m.mix for m in reversed(stage.branch.trail) if m.boundary <= boundary), stage.branch.start_mix)
    uncut = replace(stage, attempt=replace(stage.attempt, cut=None))
    for at in range(boundary, stage.branch.start_boundary, -1):
        directive = directive_at(uncut, at, decision_delay=decision_delay)
        if directive is not None:
            return directive.mix
    return stage.branch.start_mix


def trail_to(stage: StageRun, boundary: int, *, decision_delay: int) -> tuple[MixFrom, ...]:
    """The mixes that held from the stage's start up to a boundary, each where it began."""
    trail: list[MixFrom] = []
    for at in range(boundary):
        mix = mix_from(stage, at, decision_delay=decision_delay)
        if not trail or trail[-1].mix != mix:
            trail.append(MixFrom(boundary=at, mix=mix))
    return tuple(trail)


def adjustment_step(stage: StageRun, judged: int, *, decision_delay: int) -> int:
    """Step from which a change decided on boundary `judged` is in the weights' way: where its directive is heard."""
    heard = min(judged + decision_delay, stage.plan.boundaries)
    return stage.plan.boundary_step(heard)
