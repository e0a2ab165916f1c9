"""Checkpoints whose files are not those of their manifest, and those that a person sets aside.

Training is a pure function of what it starts from and of the mixes that it is told, and every verdict is stored before
its first reply. So a damaged checkpoint costs work and nothing else: the newest good one before it is resumed from,
under the mixes that held there, and the same bits come out again.

What becomes of the branch: a verdict that was made on the damaged checkpoint stands, for its weights were read well
then. Where there is none yet, the branch is cut there: what was trained from it is given up, and the workers begin
again before it. Neither is a retry of the gate nor a restart of a group.
"""

from dataclasses import replace

from retain.values import CheckpointRef, Decision, Verdict
from retain.values.faults import mismatch
from services.common.errors import FailedPrecondition, InvalidInput, Violation
from services.orchestrator.domain.handlers.completion import LEAVE_AFTER_STOP_S, end_run
from services.orchestrator.domain.handlers.decision import new_decision, recorded
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint
from services.orchestrator.domain.run.directives import mix_from
from services.orchestrator.domain.run.events import CheckpointVoided
from services.orchestrator.domain.run.state import (
    Checkpoint,
    CheckpointState,
    PipelineRun,
    RunState,
    StageRun,
    StageState,
)

Outcome = tuple[PipelineRun, tuple[Record, ...]]
WORKER, EVALUATOR = "worker", "evaluator"
REASON = "CHECKPOINT_DAMAGED"


def on_voided(state: PipelineRun, event: CheckpointVoided) -> Outcome:
    """A person sets a checkpoint aside; one that others build on is refused. Raises FailedPrecondition."""
    for stage in state.stages[:-1]:
        if stage.accepted is not None and stage.accepted.uri == event.checkpoint.uri:
            later = state.stages[stage.plan.index + 1].plan.name
            raise FailedPrecondition(
                f"{event.checkpoint.uri} is the result of {stage.plan.name}, and {later} of run {state.id} builds on "
                "it; expected a checkpoint that nothing builds on (a new run may start from an earlier one)",
                reason="CHECKPOINT_IN_USE",
            )
    said = f"set aside by a {event.actor}" + (f": {event.reason}" if event.reason else "")
    return set_aside(state, event.checkpoint, actor=event.actor, message=said, now_s=event.now_s)


def set_aside(state: PipelineRun, ref: CheckpointRef, *, actor: str, message: str, now_s: float) -> Outcome:
    """Use a checkpoint no more. `message` says what is wrong with it. The same again changes nothing; a run whose base
    or whose earlier stage's result it is ends with what can be done. Raises InvalidInput for an unknown one."""
    if state.base is not None and state.base.uri == ref.uri:
        return _lost_base(state, state.base, actor, message, now_s)
    for stage in state.stages:
        if any(c.ref.uri == ref.uri for c in (*stage.branch.damaged, *stage.branch.voided, *stage.branch.pruning)):
            return state, ()
        if stage.accepted is not None and stage.accepted.uri == ref.uri:
            return _lost_result(state, stage, actor, message, now_s)
        for checkpoint in (*stage.branch.checkpoints, *((stage.branch.interim,) if stage.branch.interim else ())):
            if checkpoint.ref.uri == ref.uri:
                return _take_out(state, stage, checkpoint, actor, message, now_s)
    known = [c.ref.uri for stage in state.stages for c in stage.branch.checkpoints]
    said = mismatch(repr(ref.uri), f"a checkpoint that run {state.id} uses: {', '.join(known) or 'there is none'}")
    raise InvalidInput([Violation(field="damaged", description=said)])


def _take_out(
    state: PipelineRun, stage: StageRun, checkpoint: Checkpoint, actor: str, message: str, now_s: float
) -> Outcome:
    before = stage.branch.resume_point
    stage, records = _without(stage, checkpoint, message)
    after = stage.branch.resume_point
    where = f"step {after.ref.step}" if after else "the stage's start"
    said = f"{checkpoint.id} was set aside ({message})"
    at_work = stage.status is StageState.RUNNING and not stage.gives_up and actor != WORKER
    goes_back = before != after and not at_work
    if before == after:
        said += "; nothing has to be trained again"
    else:
        said += f"; the next attempt resumes from {where}" if at_work else f"; the stage resumes from {where}"
    decision = _about(
        state, stage, checkpoint, Verdict.ROLL_BACK if goes_back else Verdict.CONTINUE, said, actor, now_s
    )
    decision = replace(decision, target=after.ref if goes_back and after else None)
    state, record = recorded(state.with_stage(stage), decision)
    return state, (*records, record)


def _without(stage: StageRun, checkpoint: Checkpoint, message: str) -> tuple[StageRun, tuple[Record, ...]]:
    """The stage without a checkpoint, and without what was trained from it where it has no verdict."""
    aside = replace(checkpoint, status=CheckpointState.DAMAGED, message=message, measurement=None)
    branch = replace(stage.branch, damaged=(*stage.branch.damaged, aside))
    records: tuple[Record, ...] = (RecordCheckpoint(checkpoint=aside),)
    if checkpoint.interim:
        return replace(stage, branch=replace(branch, interim=None)), records
    rest = tuple(c for c in branch.checkpoints if c.id != checkpoint.id)
    if checkpoint.point is not None or checkpoint.boundary <= branch.decided_boundary:
        # A point is written again from its two ends; a verdict that was made stands.
        last = replace(stage.last, checkpoint_count=max((c.boundary for c in rest), default=0))
        stage = replace(stage, branch=replace(branch, checkpoints=rest), last=last)
        return (stage if checkpoint.point is not None else _chosen_anew(stage)), records
    kept = tuple(c for c in rest if c.boundary < checkpoint.boundary)
    lost = [c for c in rest if c.boundary > checkpoint.boundary]
    if branch.interim is not None and branch.interim.boundary >= checkpoint.boundary:
        lost.append(branch.interim)
        branch = replace(branch, interim=None)
    void = tuple(replace(c, status=CheckpointState.VOID, measurement=None) for c in lost)
    under_way = stage.status is StageState.RUNNING and branch.pending_rollback is None
    stage = replace(
        stage,
        attempt=replace(stage.attempt, cut=checkpoint.boundary) if under_way else stage.attempt,
        branch=replace(branch, checkpoints=kept, voided=(*branch.voided, *void)),
        interpolation=stage.without_interpolation,
        last=replace(stage.last, checkpoint_count=checkpoint.boundary - 1),
    )
    return stage, (*records, *(RecordCheckpoint(checkpoint=c) for c in void))


def _chosen_anew(stage: StageRun) -> StageRun:
    """An own checkpoint is gone, and the point that was chosen at the stage's end, but is not written yet, may have
    been made of it: the result is measured and decided on once more (the evaluator knows the answers)."""
    known, written = stage.known_interpolation, any(c.point is not None for c in stage.branch.checkpoints)
    if known.chosen is None or written:
        return stage
    again = tuple(
        replace(c, severity=None, forgetting=None, measurement=None) if c.boundary == stage.plan.boundaries else c
        for c in stage.branch.checkpoints
    )
    branch = replace(stage.branch, checkpoints=again)
    return replace(stage, branch=branch, interpolation=stage.without_interpolation)


def _lost_base(state: PipelineRun, base: CheckpointRef, actor: str, message: str, now_s: float) -> Outcome:
    stage = state.current
    if state.status.ended or stage is None:
        return state, ()
    said = (
        f"the base {base.uri} is damaged ({message}, says the {actor}), and this run builds on it: restore its files "
    )
    said += "and Retry, or bring the model in again (retain import) and start a new run"
    decision = new_decision(
        state, stage, Verdict.STOP, stage.branch.mix, said, boundary=0, step=0, actor=actor, now_s=now_s
    )
    state, record = recorded(state, decision)
    ended = end_run(state, RunState.FAILED, "BASE_DAMAGED", said, now_s, leave_after_s=LEAVE_AFTER_STOP_S)
    return ended, (record,)


def _lost_result(state: PipelineRun, stage: StageRun, actor: str, message: str, now_s: float) -> Outcome:
    """A stage's accepted checkpoint. Where later stages build on it the run ends; the result of the whole run is made
    again when somebody asks for a retry."""
    result = next((c for c in stage.branch.checkpoints if stage.accepted and c.ref.uri == stage.accepted.uri), None)
    assert result is not None, "an accepted checkpoint is kept"
    if result.status is CheckpointState.DAMAGED:
        return state, ()
    last = stage.plan.index == len(state.stages) - 1
    aside = replace(result, status=CheckpointState.DAMAGED, message=message)
    if last:
        verdicts = tuple(v for v in stage.branch.verdicts if v.boundary < min(result.boundary, stage.plan.boundaries))
        branch = replace(stage.branch, verdicts=verdicts)
        stage = replace(stage, status=StageState.FAILED, accepted=None, branch=branch)
        stage, records = _without(stage, result, message)
        said = f"{result.id}, the result, was set aside ({message}); Retry makes it again from the newest one before it"
    else:
        stage = replace(stage, branch=stage.branch.with_checkpoint(aside))
        records = (RecordCheckpoint(checkpoint=aside),)
        good = [c for c in stage.branch.checkpoints if c.good and c.id != aside.id]
        earlier = f"from {good[-1].id}, the newest good one before it" if good else "of this stage"
        said = (
            f"{result.id}, the result of {stage.plan.name}, is damaged ({message}, says the {actor}), and later stages "
            f"build on it: restore its files and Retry, or start a new run {earlier}"
        )
    decision = _about(state, stage, result, Verdict.STOP, said, actor, now_s)
    state, record = recorded(state.with_stage(stage), decision)
    if not state.status.ended or last:
        state = end_run(state, RunState.FAILED, REASON, said, now_s, leave_after_s=LEAVE_AFTER_STOP_S)
    return state, (*records, record)


def restored(state: PipelineRun) -> Outcome:
    """A retry presumes that a person restored what earlier stages left; a worker that finds otherwise says so again."""
    records: list[Record] = []
    for stage in state.stages:
        if stage.status is StageState.COMPLETE and any(not c.status.usable for c in stage.branch.checkpoints):
            good = tuple(
                c if c.status.usable else replace(c, status=CheckpointState.ACCEPTED, message="")
                for c in stage.branch.checkpoints
            )
            records += [RecordCheckpoint(checkpoint=c) for c in good if c not in stage.branch.checkpoints]
            state = state.with_stage(replace(stage, branch=replace(stage.branch, checkpoints=good)))
    return state, tuple(records)


def _about(
    state: PipelineRun,
    stage: StageRun,
    checkpoint: Checkpoint,
    verdict: Verdict,
    message: str,
    actor: str,
    now_s: float,
) -> Decision:
    """A decision about a checkpoint that was lost, under the mix that holds there."""
    boundary = min(checkpoint.boundary, stage.plan.boundaries)
    mix = mix_from(stage, boundary, decision_delay=state.spec.evaluation.decision_lag)
    step = checkpoint.ref.step
    made = new_decision(state, stage, verdict, mix, message, boundary=boundary, step=step, actor=actor, now_s=now_s)
    return replace(made, forgetting=checkpoint.forgetting)
