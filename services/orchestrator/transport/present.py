"""The core's state as the messages that users see."""

from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.util import LRUCache

from retain.orchestrator.v1 import orchestrator_service_pb2 as service
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.types.v1 import spec_pb2
from retain.values import Decision, Domain, PipelineSpec, StageKind
from services.orchestrator.application.ports import UnreadableRun
from services.orchestrator.domain.run.boundary_share import boundary_share
from services.orchestrator.domain.run.state import Checkpoint, RunState, RunStatus, StageRun, StageStatus
from services.orchestrator.domain.run.time_left import time_left_s
from services.orchestrator.domain.spec.boundary_cost import BoundaryCost
from services.orchestrator.domain.spec.plan import PlannedStage, warnings
from services.orchestrator.domain.spec.policy_told import policy_told
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory
from services.orchestrator.transport.generic import enum_number, fill_message

_RUN = resources.RunState.DESCRIPTOR
_STAGE = resources.StageState.DESCRIPTOR
_PHASE = resources.StagePhase.DESCRIPTOR
_KIND = spec_pb2.StageKind.DESCRIPTOR
_DOMAIN = spec_pb2.Domain.DESCRIPTOR


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


class Presenter:
    """Makes messages of runs. One version of a run is presented once, since it never changes, and kept as bytes: a
    page of a list is put together from them without a look into any run."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, int, int], bytes] = LRUCache(KEPT_MESSAGES)

    def run(self, state: RunState | UnreadableRun, *, queue_position: int) -> resources.PipelineRun:
        """A run with everything that users see of it; one that cannot be shown says so, and hides no other."""
        return resources.PipelineRun.FromString(self._bytes(state, queue_position))

    def page(
        self, runs: Iterable[tuple[RunState | UnreadableRun, int]], next_page_token: str
    ) -> service.ListPipelineRunsResponse:
        """Runs with their places in the queue, as one answer."""
        pieces = []
        for state, queue_position in runs:
            data = self._bytes(state, queue_position)
            pieces += [_RUNS_TAG, _varint(len(data)), data]
        response = service.ListPipelineRunsResponse.FromString(b"".join(pieces))
        response.next_page_token = next_page_token
        return response

    def _bytes(self, state: RunState | UnreadableRun, queue_position: int) -> bytes:
        if isinstance(state, UnreadableRun):
            return present_unreadable(state).SerializeToString()
        place = queue_position if state.status is RunStatus.PENDING else 0
        key = (state.id, state.sequence, place)
        known = self._kept.get(key)
        if known is None:
            self._kept[key] = known = _shown(state, place).SerializeToString()
        return known


def _shown(state: RunState, queue_position: int) -> resources.PipelineRun:
    try:
        message = present_run(state)
    except (ValueError, TypeError, OverflowError) as error:  # what the message's fields do not take
        why = f"it cannot be shown: {error}"
        return present_unreadable(
            UnreadableRun(id=state.id, sequence=state.sequence, status=state.status, reason="CANNOT_BE_SHOWN", why=why)
        )
    message.status.queue_position = queue_position
    return message


def present_unreadable(run: UnreadableRun) -> resources.PipelineRun:
    """What is known of a run that cannot be read: its id, how it stood, and why it cannot be read."""
    message = resources.PipelineRun(id=run.id, etag=f"{run.id}.{run.sequence}", sequence=run.sequence)
    message.status.state = enum_number(_RUN, run.status)  # type: ignore[assignment]
    message.status.reason, message.status.message = run.reason, run.why
    return message


def present_run(state: RunState) -> resources.PipelineRun:
    """A run as a message, without its place in the queue."""
    run = resources.PipelineRun(
        id=state.id,
        spec=spec_message(state.spec),
        etag=state.etag,
        sequence=state.sequence,
        create_time=timestamp(state.created_s),
        update_time=timestamp(state.updated_s),
    )
    if state.ended_s:
        run.end_time.CopyFrom(timestamp(state.ended_s))
    status = run.status
    status.state = enum_number(_RUN, state.status)  # type: ignore[assignment]
    status.reason, status.message, status.submission = state.reason, state.message, state.submission
    status.phase = enum_number(_PHASE, state.phase)  # type: ignore[assignment]
    status.prepare_progress = state.prepare_progress
    status.waiting_for = state.waiting_for
    if state.prepared is not None:
        fill_message(status.prepared.add(), state.prepared.tokenizer)
        seen = set()
        for stage in state.prepared.stages:
            for shard in stage.shards:
                if shard.digest not in seen:
                    seen.add(shard.digest)
                    fill_message(status.prepared.add(), shard)
        status.overlap.update(state.prepared.overlap)
        status.near_duplicates.update(state.prepared.near_duplicates)
    for stage_run in state.stages:
        status.stages.append(present_stage(state, stage_run))
    return run


def present_stage(state: RunState, stage: StageRun) -> resources.StageStatus:
    """One stage of a run."""
    plan = stage.plan
    message = resources.StageStatus(
        index=plan.index,
        name=plan.name,
        kind=kind_number(plan.kind),
        domain=domain_number(plan.domain),
        state=enum_number(_STAGE, stage.status),  # type: ignore[arg-type]
        attempt=stage.attempt.number,
        step=stage.last.step,
        total_steps=plan.steps,
        tokens=stage.last.tokens,
        total_tokens=plan.tokens,
        train_loss_nats=stage.last.train_loss_nats,
        learning_rate=stage.last.learning_rate,
        tokens_per_second=stage.last.tokens_per_second,
        shares=dict(stage.branch.mix.shares),
        lr_scale=stage.branch.mix.lr_scale,
        retries=stage.gate.retries,
        worst_set=stage.last.worst_set,
        checkpoints=stage.last.checkpoint_count,
        unlocked_by=unlocked_by(state, stage),
        curriculum_level=stage.last.curriculum_level,
        stall_seconds=stage.costs.earlier_stall_s + stage.costs.stall_s,
        wait_seconds=stage.costs.earlier_wait_s + stage.costs.wait_s,
    )
    if stage.started_s:
        # A wall clock that was put back between the two makes no time run backwards.
        message.wall_seconds = max(0.0, (stage.ended_s or state.updated_s) - stage.started_s)
    left_s = time_left_s(stage)
    if left_s is not None:
        message.time_left_seconds = left_s
    share = boundary_share(stage)
    if share is not None:
        message.boundary_share = share
    if stage.last.forgetting is not None:
        message.forgetting = stage.last.forgetting
    for target, items in (
        (message.scores, stage.last.scores),
        (message.report_scores, stage.last.report_scores),
        (message.results, stage.last.results),
        (message.report_results, stage.last.report_results),
    ):
        for item in items:
            fill_message(target.add(), item)
    if plan.passes is not None:
        fill_message(message.passes, plan.passes)
    if stage.accepted is not None:
        fill_message(message.accepted, stage.accepted)
    if stage.branch.newest is not None:
        fill_message(message.latest, stage.branch.newest.ref)
    return message


def unlocked_by(state: RunState, stage: StageRun) -> str:
    """What would unlock a locked stage."""
    if stage.status is not StageStatus.LOCKED:
        return ""
    if stage.plan.index == 0:
        return "the data being prepared"
    return f"{state.stages[stage.plan.index - 1].plan.name} being complete"


def present_decision(decision: Decision) -> resources.Decision:
    """A decision with its evidence."""
    message = resources.Decision()
    fill_message(message, decision)
    message.time.CopyFrom(timestamp(decision.time_s))
    if decision.projected is not None and decision.projected == decision.forgetting:
        message.ClearField("projected")
    return message


def present_checkpoint(checkpoint: Checkpoint) -> resources.Checkpoint:
    """A checkpoint in the lineage."""
    message = resources.Checkpoint()
    fill_message(message, checkpoint)
    message.state = enum_number(resources.CheckpointState.DESCRIPTOR, checkpoint.status)  # type: ignore[assignment]
    message.create_time.CopyFrom(timestamp(checkpoint.created_s))
    return message


def present_plan(
    spec: PipelineSpec,
    stages: tuple[PlannedStage, ...],
    *,
    parameters: int = 0,
    memory: Memory = UNKNOWN_MEMORY,
    costs: Sequence[BoundaryCost | None] = (),
) -> resources.PipelinePlan:
    """What would be done, and what it would cost."""
    said = (*warnings(stages), *(cost.warning for cost in costs if cost is not None and cost.warning))
    policy = policy_told(spec, parameters=parameters, memory=memory)
    message = resources.PipelinePlan(spec=spec_message(spec), parameters=parameters, warnings=said, policy=policy)
    for stage in stages:
        fill_message(message.stages.add(), stage)
    for shown, cost in zip(message.stages, costs, strict=False):
        if cost is not None:
            shown.boundary_cost.CopyFrom(_present_cost(cost))
    return message


def _present_cost(cost: BoundaryCost) -> resources.BoundaryCost:
    return resources.BoundaryCost(
        checkpoint_bytes=cost.checkpoint_bytes,
        upload_seconds=cost.upload_s,
        evaluation_tokens=cost.evaluation_tokens,
        evaluation_seconds=cost.evaluation_s,
        interval_seconds=cost.interval_s,
        boundary_seconds=cost.boundary_s,
        training_seconds=cost.training_s,
        share=cost.share,
        basis=cost.basis,
        warning=cost.warning,
    )


def spec_message(spec: PipelineSpec) -> spec_pb2.PipelineSpec:
    """A spec as its message."""
    message = spec_pb2.PipelineSpec()
    fill_message(message, spec)
    return message


def kind_number(kind: StageKind) -> spec_pb2.StageKind:
    """A stage's kind on the wire."""
    return enum_number(_KIND, kind)  # type: ignore[return-value]


def domain_number(domain: Domain) -> spec_pb2.Domain:
    """A stage's domain on the wire."""
    return enum_number(_DOMAIN, domain)  # type: ignore[return-value]


def timestamp(seconds: float) -> Timestamp:
    """Unix seconds as a protobuf time."""
    message = Timestamp()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
