"""An interpolation of parent and result has been written: it takes its place in the lineage."""

from dataclasses import replace

from services.orchestrator.domain.handlers.interpolation import questions
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint
from services.orchestrator.domain.run.events import PointWritten
from services.orchestrator.domain.run.state import PipelineRun


def on_point_written(state: PipelineRun, event: PointWritten) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Register the chosen point, once: an answer that nobody waits for (again, or after a rollback) changes nothing.

    It stands one boundary after the result, from which it was made; training never goes on from it.
    """
    stage = fence.stage_of(state, event.stage_index)
    result = stage.branch.at_boundary(stage.plan.boundaries)
    asked = {(q.point, q.attempt) for q in questions(state, stage)}
    if result is None or stage.known_interpolation.chosen != event.point or (event.point, event.attempt) not in asked:
        return state, ()
    written = replace(
        result,
        id=f"{result.id}-point-{event.point:g}",
        boundary=result.boundary + 1,
        ref=replace(event.checkpoint, step=result.ref.step, tokens=result.ref.tokens),
        parent=result.ref.manifest_sha256,
        bytes=event.bytes,
        forgetting=None,
        severity=None,
        target_loss_nats=None,
        measurement=None,
        evaluation_tries=0,
        evaluations_failed=0,
        evaluation_pause_s=0.0,
        created_s=event.now_s,
        point=event.point,
    )
    stage = replace(
        stage,
        branch=replace(stage.branch, checkpoints=(*stage.branch.checkpoints, written)),
        interpolation=replace(stage.known_interpolation, tries=0, pause_s=0.0),
        last=replace(stage.last, checkpoint_count=stage.last.checkpoint_count + 1),
    )
    return state.with_stage(stage), (RecordCheckpoint(checkpoint=written),)
