"""What must be done in a state: derived, never queued, so that after a crash a look at the state is enough."""

from services.orchestrator.domain.handlers.interpolation import interpolation_commands
from services.orchestrator.domain.handlers.retention import to_delete
from services.orchestrator.domain.run.commands import Annotate, Command, Evaluate, Prune, StopJob, SubmitJob
from services.orchestrator.domain.run.lineage import baselines, parent_of, sets_at
from services.orchestrator.domain.run.state import Checkpoint, JobStatus, PipelineRun, RunState, StageRun
from services.orchestrator.domain.spec.probe import probe_at


def due(state: PipelineRun) -> tuple[Command, ...]:
    """Every command that is outstanding, in the order in which it is best carried out."""
    commands: list[Command] = []
    for job in state.jobs:
        if job.stop_after_s is not None:
            commands.append(StopJob(submission=job.submission, after_s=job.stop_after_s))
        elif job.status is JobStatus.WANTED:
            commands.append(SubmitJob(submission=job.submission, after_s=job.submit_after_s))
    if not state.status.ended:
        for stage in state.stages:
            commands += [
                evaluation_of(state, stage, c)
                for c in stage.branch.checkpoints
                if c.severity is None and c.measurement is None and stage.gate.held_rollback is None
            ]
            commands += interpolation_commands(state, stage)
    commands += [Annotate(number=number) for number in range(state.annotated + 1, state.decisions + 1)]
    commands += [Prune(checkpoint_id=c.id, uri=c.ref.uri) for c in to_delete(state)]
    return tuple(commands)


def evaluation_of(state: PipelineRun, stage: StageRun, checkpoint: Checkpoint) -> Evaluate:
    """The request to evaluate one checkpoint. Its name is the same whenever it is asked; a failed one is asked under a
    new name, for the evaluator replies to a name that it knows with what it has stored."""
    name = f"{state.id}-{stage.plan.index}-{checkpoint.attempt}-{checkpoint.ref.step}"
    if checkpoint.point is not None:
        name += f"-point-{checkpoint.point:g}"
    if checkpoint.evaluations_failed:
        name += f"-try{checkpoint.evaluations_failed + 1}"
    base, index = parent_of(state, stage), stage.plan.index
    probe = probe_at(state.spec, index, boundary=checkpoint.boundary, boundaries=stage.plan.boundaries)
    return Evaluate(
        evaluation_id=name,
        stage_index=stage.plan.index,
        stage=stage.plan.name,
        attempt=checkpoint.attempt,
        checkpoint=checkpoint.ref,
        sets=sets_at(state, stage, checkpoint.boundary),
        baselines=baselines(state, stage),
        train_loss_nats=checkpoint.train_loss_nats,
        point=checkpoint.point,
        base=base,
        probe=probe if base is not None else None,
        after_s=checkpoint.evaluation_pause_s,
    )


def needs_attention(state: PipelineRun) -> bool:
    """Whether the reconcile loop has anything to look at: a run at work, or something left to be carried out."""
    return state.status is RunState.RUNNING or bool(state.jobs) or bool(due(state))
