"""The core's state as the messages that users see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from typing import Any, TypeVar, cast

from sqlalchemy.util import LRUCache

from retain import values
from retain.mapper import to_message
from retain.orchestrator.v1 import orchestrator_service_pb2 as service
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.values import BoundaryCost, Decision, PipelineSpec, StageNeeds
from services.orchestrator.application.ports import UnreadableRun
from services.orchestrator.domain.run.boundary_share import boundary_share
from services.orchestrator.domain.run.state import Checkpoint, PipelineRun, RunState, StageRun, StageState
from services.orchestrator.domain.run.time_left import time_left_s
from services.orchestrator.domain.spec.plan import PlannedStage, warnings
from services.orchestrator.domain.spec.policy_told import policy_told
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory

V = TypeVar("V")


def _varint(number: int) -> bytes:
    """A length as it stands in front of a field (https://protobuf.dev/programming-guides/encoding)."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Tag of the repeated field `runs`: its number, and that a length and so many bytes follow.
_RUNS_TAG = _varint(service.ListPipelineRunsResponse.DESCRIPTOR.fields_by_name["runs"].number << 3 | 2)
KEPT_MESSAGES = 1024


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run stands in the queue, from 1 (0: it does not wait), and what holds it back beside its turn."""

    position: int = 0
    held_back: str = ""


class Presenter:
    """Makes messages of runs. One version of a run is presented once, since it never changes, and kept as bytes: a
    page of a list is put together from them without a look into any run."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, int, Place], bytes] = LRUCache(KEPT_MESSAGES)

    def run(self, state: PipelineRun | UnreadableRun, *, place: Place) -> resources.PipelineRun:
        """A run with everything that users see of it; one that cannot be shown says so, and hides no other."""
        return resources.PipelineRun.FromString(self._bytes(state, place))

    def page(
        self, runs: Iterable[tuple[PipelineRun | UnreadableRun, Place]], next_page_token: str
    ) -> service.ListPipelineRunsResponse:
        """Runs with their places in the queue, as one answer."""
        pieces = []
        for state, place in runs:
            data = self._bytes(state, place)
            pieces += [_RUNS_TAG, _varint(len(data)), data]
        response = service.ListPipelineRunsResponse.FromString(b"".join(pieces))
        response.next_page_token = next_page_token
        return response

    def _bytes(self, state: PipelineRun | UnreadableRun, place: Place) -> bytes:
        if isinstance(state, UnreadableRun):
            return present_unreadable(state).SerializeToString()
        place = place if state.status is RunState.PENDING else Place()
        key = (state.id, state.sequence, place)
        known = self._kept.get(key)
        if known is None:
            self._kept[key] = known = _shown(state, place).SerializeToString()
        return known


def _shown(state: PipelineRun, place: Place) -> resources.PipelineRun:
    try:
        message = present_run(state)
    except (ValueError, TypeError, OverflowError) as error:  # what the message's fields do not take
        why = f"it cannot be shown: {error}"
        return present_unreadable(
            UnreadableRun(id=state.id, sequence=state.sequence, status=state.status, reason="CANNOT_BE_SHOWN", why=why)
        )
    message.status.queue_position = place.position
    if place.held_back:
        message.status.waiting_for = place.held_back
    return message


def present_unreadable(run: UnreadableRun) -> resources.PipelineRun:
    """What is known of a run that cannot be read: its id, how it stood, and why it cannot be read."""
    status = values.RunStatus(state=run.status, reason=run.reason, message=run.why)
    etag = f"{run.id}.{run.sequence}"
    shown = values.PipelineRun(id=run.id, etag=etag, sequence=run.sequence, status=status, project=run.project)
    return to_message(shown, resources.PipelineRun)


def present_run(state: PipelineRun) -> resources.PipelineRun:
    """A run as a message, without its place in the queue."""
    prepared = state.prepared
    shards = () if prepared is None else tuple(shard for stage in prepared.stages for shard in stage.shards)
    status = values.RunStatus(
        state=state.status,
        reason=state.reason,
        message=state.message,
        submission=state.submission,
        phase=state.phase,
        prepare_progress=state.prepare_progress,
        waiting_for=state.waiting_for,
        prepared=() if prepared is None else (prepared.tokenizer, *{shard.digest: shard for shard in shards}.values()),
        overlap={} if prepared is None else prepared.overlap,
        near_duplicates={} if prepared is None else prepared.near_duplicates,
        sampled=() if prepared is None else prepared.sampled,
        stages=tuple(present_stage(state, stage) for stage in state.stages),
    )
    run = values.PipelineRun(
        id=state.id,
        spec=state.spec,
        etag=state.etag,
        sequence=state.sequence,
        create_time_s=state.created_s,
        update_time_s=state.updated_s,
        end_time_s=state.ended_s or None,
        status=status,
        project=state.project,
        priority=state.priority,
    )
    return to_message(run, resources.PipelineRun)


def present_stage(state: PipelineRun, stage: StageRun) -> values.StageStatus:
    """One stage of a run."""
    plan = stage.plan
    # A wall clock that was put back between the two makes no time run backwards.
    wall_s = max(0.0, (stage.ended_s or state.updated_s) - stage.started_s) if stage.started_s else 0.0
    return values.StageStatus(
        index=plan.index,
        name=plan.name,
        kind=plan.kind,
        domain=plan.domain,
        state=stage.status,
        attempt=stage.attempt.number,
        step=stage.last.step,
        total_steps=plan.steps,
        tokens=stage.last.tokens,
        total_tokens=plan.tokens,
        train_loss_nats=stage.last.train_loss_nats,
        learning_rate=stage.last.learning_rate,
        tokens_per_second=stage.last.tokens_per_second,
        shares=stage.branch.mix.shares,
        lr_scale=stage.branch.mix.lr_scale,
        retries=stage.gate.retries,
        worst_set=stage.last.worst_set,
        checkpoints=stage.last.checkpoint_count,
        unlocked_by=unlocked_by(state, stage),
        curriculum_level=stage.last.curriculum_level,
        stall_seconds=stage.costs.earlier_stall_s + stage.costs.stall_s,
        wait_seconds=stage.costs.earlier_wait_s + stage.costs.wait_s,
        wall_seconds=wall_s,
        time_left_seconds=time_left_s(stage),
        boundary_share=boundary_share(stage),
        forgetting=stage.last.forgetting,
        scores=stage.last.scores,
        report_scores=stage.last.report_scores,
        results=stage.last.results,
        report_results=stage.last.report_results,
        probe=stage.last.probe,
        passes=plan.passes,
        accepted=stage.accepted,
        latest=stage.branch.newest.ref if stage.branch.newest is not None else None,
    )


def unlocked_by(state: PipelineRun, stage: StageRun) -> str:
    """What would unlock a locked stage."""
    if stage.status is not StageState.LOCKED:
        return ""
    if stage.plan.index == 0:
        return "the data being prepared"
    return f"{state.stages[stage.plan.index - 1].plan.name} being complete"


def present_decision(decision: Decision) -> resources.Decision:
    """A decision with its evidence."""
    compared = None if decision.projected == decision.forgetting else decision.projected
    return to_message(replace(decision, projected=compared), resources.Decision)


def present_checkpoint(checkpoint: Checkpoint, shared_with: Sequence[str] = ()) -> values.Checkpoint:
    """A checkpoint in the lineage, and the projects that it is shared with."""
    return _like(
        checkpoint,
        values.Checkpoint,
        state=checkpoint.status,
        create_time_s=checkpoint.created_s,
        shared_with=tuple(shared_with),
    )


def present_plan(
    spec: PipelineSpec,
    stages: tuple[PlannedStage, ...],
    *,
    parameters: int = 0,
    memory: Memory = UNKNOWN_MEMORY,
    costs: Sequence[BoundaryCost | None] = (),
    needs: Sequence[StageNeeds] = (),
) -> resources.PipelinePlan:
    """What would be done, what it needs, and what it would cost."""
    of_needs = (need.warning for need in needs if need.warning)
    said = (*warnings(stages), *of_needs, *(cost.warning for cost in costs if cost is not None and cost.warning))
    shown = values.PipelinePlan(
        spec=spec,
        stages=tuple(
            _like(stage, values.PlannedStage, boundary_cost=cost, needs=need)
            for stage, cost, need in zip_longest(stages, costs[: len(stages)], needs[: len(stages)])
        ),
        parameters=parameters,
        warnings=said,
        policy=policy_told(spec, parameters=parameters, memory=memory),
    )
    return to_message(shown, resources.PipelinePlan)


def _like(ours: Any, cls: type[V], **said: Any) -> V:
    """What users see of a thing: the fields that both have, and those that are said."""
    names = (field.name for field in fields(cast(Any, cls)))
    return cls(**{name: getattr(ours, name) for name in names if name not in said}, **said)
