"""Protobuf messages <-> the domain's values. Nothing is decided here."""

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from retain.evaluator.v1 import resources_pb2, service_pb2
from retain.types.v1 import values_pb2
from services.common.errors import InvalidInput, Violation
from services.evaluator.domain.request import (
    Baseline,
    CheckpointRef,
    EvalSetRef,
    EvaluationRequest,
    Interpolation,
    InterpolationExport,
    Model,
    SetRole,
    SetUse,
)
from services.evaluator.domain.result import Evaluation, EvaluationState, ForgettingScore, HistoryRecord, SetResult

_ROLES = {values_pb2.SET_ROLE_TARGET: SetRole.TARGET, values_pb2.SET_ROLE_RETENTION: SetRole.RETENTION}
# An unspecified use is the control set (the enum's comment), so the way out is spelled separately.
_USES = {
    values_pb2.SET_USE_UNSPECIFIED: SetUse.CONTROL,
    values_pb2.SET_USE_CONTROL: SetUse.CONTROL,
    values_pb2.SET_USE_REPORT: SetUse.REPORT,
}
_ROLES_OUT = {role: number for number, role in _ROLES.items()}
_USES_OUT = {SetUse.CONTROL: values_pb2.SET_USE_CONTROL, SetUse.REPORT: values_pb2.SET_USE_REPORT}
_STATES_OUT = {
    EvaluationState.PENDING: resources_pb2.EVALUATION_STATE_PENDING,
    EvaluationState.RUNNING: resources_pb2.EVALUATION_STATE_RUNNING,
    EvaluationState.SUCCEEDED: resources_pb2.EVALUATION_STATE_SUCCEEDED,
    EvaluationState.FAILED: resources_pb2.EVALUATION_STATE_FAILED,
}
T = TypeVar("T")


def checkpoint_from(message: values_pb2.CheckpointRef) -> CheckpointRef:
    return CheckpointRef(
        uri=message.uri,
        manifest_sha256=message.manifest_sha256,
        weights_digest=message.weights_digest,
        step=message.step,
        tokens=message.tokens,
    )


def checkpoint_to(value: CheckpointRef) -> values_pb2.CheckpointRef:
    return values_pb2.CheckpointRef(
        uri=value.uri,
        manifest_sha256=value.manifest_sha256,
        weights_digest=value.weights_digest,
        step=value.step,
        tokens=value.tokens,
    )


def set_from(message: values_pb2.EvalSetRef, path: str) -> EvalSetRef:
    return EvalSetRef(
        name=message.name,
        uri=message.uri,
        digest=message.digest,
        role=_chosen(_ROLES, message.role, f"{path}.role", "SET_ROLE_TARGET or SET_ROLE_RETENTION"),
        use=_chosen(_USES, message.use, f"{path}.use", "SET_USE_CONTROL or SET_USE_REPORT"),
    )


def set_to(value: EvalSetRef) -> values_pb2.EvalSetRef:
    return values_pb2.EvalSetRef(
        name=value.name, uri=value.uri, digest=value.digest, role=_ROLES_OUT[value.role], use=_USES_OUT[value.use]
    )


def request_from(message: resources_pb2.EvaluationRequest) -> EvaluationRequest:
    """Raises InvalidInput for an enum value that is not allowed and for half an interpolation."""
    interpolation = None
    if message.HasField("interpolation") != message.HasField("parent"):
        raise InvalidInput(
            [Violation(field="request.parent", description="goes with `interpolation`: both or neither")]
        )
    if message.HasField("interpolation"):
        interpolation = Interpolation(parent=checkpoint_from(message.parent), weight=message.interpolation)
    return EvaluationRequest(
        model=Model(checkpoint=checkpoint_from(message.checkpoint), interpolation=interpolation),
        sets=tuple(set_from(row, f"request.sets[{index}]") for index, row in enumerate(message.sets)),
        baselines=tuple(
            Baseline(
                set_name=row.set_name,
                checkpoint=checkpoint_from(row.checkpoint),
                most_bits_per_byte=row.most_bits_per_byte if row.HasField("most_bits_per_byte") else None,
            )
            for row in message.baselines
        ),
        run=message.run_id,
        stage=message.stage,
        step=message.step,
        attempt=message.attempt,
        export_metrics=message.export_metrics,
        train_loss_nats=message.train_loss_nats,
        base=checkpoint_from(message.base) if message.HasField("base") else None,
    )


def order_from(message: service_pb2.WritePointRequest) -> InterpolationExport:
    interpolation = Interpolation(parent=checkpoint_from(message.parent), weight=message.point)
    model = Model(checkpoint=checkpoint_from(message.checkpoint), interpolation=interpolation)
    return InterpolationExport(model=model, output_uri=message.output_uri)


def request_to(value: EvaluationRequest) -> resources_pb2.EvaluationRequest:
    interpolation = value.model.interpolation
    return resources_pb2.EvaluationRequest(
        checkpoint=checkpoint_to(value.model.checkpoint),
        sets=[set_to(ref) for ref in value.sets],
        baselines=[
            resources_pb2.Baseline(
                set_name=row.set_name,
                checkpoint=checkpoint_to(row.checkpoint),
                most_bits_per_byte=row.most_bits_per_byte,
            )
            for row in value.baselines
        ],
        run_id=value.run,
        stage=value.stage,
        step=value.step,
        attempt=value.attempt,
        export_metrics=value.export_metrics,
        interpolation=interpolation.weight if interpolation else None,
        parent=checkpoint_to(interpolation.parent) if interpolation else None,
        train_loss_nats=value.train_loss_nats,
        base=checkpoint_to(value.base) if value.base else None,
    )


def result_to(value: SetResult) -> values_pb2.SetResult:
    return values_pb2.SetResult(
        set=set_to(value.set),
        nats=value.nats,
        tokens=value.tokens,
        bytes=value.bytes,
        loss_nats=value.loss_nats,
        perplexity=value.perplexity,
        bits_per_byte=value.bits_per_byte,
        units=value.units,
    )


def score_to(value: ForgettingScore) -> values_pb2.ForgettingScore:
    return values_pb2.ForgettingScore(
        retention_set=value.retention_set,
        ratio=value.ratio,
        nats=value.nats,
        ratio_low=value.ratio_low,
        ratio_high=value.ratio_high,
        baseline_perplexity=value.baseline_perplexity,
        perplexity=value.perplexity,
        use=_USES_OUT[value.use],
        floor_ratio=value.floor_ratio,
        baseline_bits_per_byte=value.baseline_bits_per_byte,
        shown_only=value.shown_only,
    )


def evaluation_to(value: Evaluation) -> resources_pb2.Evaluation:
    return resources_pb2.Evaluation(
        id=value.id,
        request=request_to(value.request),
        state=_STATES_OUT[value.state],
        results=[result_to(row) for row in value.results],
        scores=[score_to(row) for row in value.scores],
        error=value.error,
        error_reason=value.error_reason,
        sequence=value.sequence,
        create_time=_timestamp(value.create_time_s),
        end_time=_timestamp(value.end_time_s) if value.end_time_s is not None else None,
        measure_seconds=value.measure_s,
        damaged=checkpoint_to(value.damaged) if value.damaged else None,
        waiting_for=value.waiting_for,
    )


def record_to(value: HistoryRecord) -> resources_pb2.ForgettingRecord:
    return resources_pb2.ForgettingRecord(
        run_id=value.run,
        stage=value.stage,
        attempt=value.attempt,
        step=value.step,
        tokens=value.tokens,
        results=[result_to(row) for row in value.results],
        scores=[score_to(row) for row in value.scores],
        time=_timestamp(value.time_s),
        train_loss_nats=value.train_loss_nats,
        baseline=value.baseline,
    )


def _timestamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds), nanos=int((seconds - int(seconds)) * 1e9))


def _chosen(values: Mapping[Any, T], came: int, path: str, allowed: str) -> T:
    if came not in values:
        raise InvalidInput([Violation(field=path, description=f"came {came}; allowed is {allowed}")])
    return values[came]
