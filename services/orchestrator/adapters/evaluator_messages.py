"""Questions to the evaluator as messages, and its answers as the core's values."""

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2
from retain.types.v1 import values_pb2
from retain.values import CheckpointRef, EvalSetRef, ForgettingScore, SetResult, SetRole, SetUse
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from services.orchestrator.domain.values import Measurement

_ROLES = {SetRole.TARGET: values_pb2.SET_ROLE_TARGET, SetRole.RETENTION: values_pb2.SET_ROLE_RETENTION}
_USES = {SetUse.CONTROL: values_pb2.SET_USE_CONTROL, SetUse.REPORT: values_pb2.SET_USE_REPORT}


def question_message(run_id: str, question: Evaluate) -> resources.EvaluationRequest:
    """One question, with everything the evaluator needs for metrics and history."""
    request = resources.EvaluationRequest(
        checkpoint=ref_message(question.checkpoint),
        sets=[set_message(s) for s in question.sets],
        run_id=run_id,
        stage=question.stage,
        step=question.checkpoint.step,
        attempt=question.attempt,
        export_metrics=True,
        train_loss_nats=question.train_loss_nats,
    )
    if question.parent is not None and question.point is not None:
        request.interpolation = question.point
        request.parent.CopyFrom(ref_message(question.parent))
        request.export_metrics = False  # a point that may never be anybody's model raises no alert and ends none
    if question.base is not None:
        request.base.CopyFrom(ref_message(question.base))
    for baseline in question.baselines:
        request.baselines.add(
            set_name=baseline.set_name,
            checkpoint=ref_message(baseline.checkpoint),
            most_bits_per_byte=baseline.most_bits_per_byte,
        )
    return request


def order_message(order: WritePoint) -> service_pb2.WritePointRequest:
    """An order to write a point of a line."""
    return service_pb2.WritePointRequest(
        checkpoint=ref_message(order.result),
        parent=ref_message(order.parent),
        point=order.point,
        output_uri=order.uri,
    )


def ref_message(ref: CheckpointRef) -> values_pb2.CheckpointRef:
    """A checkpoint's name."""
    return values_pb2.CheckpointRef(
        uri=ref.uri,
        manifest_sha256=ref.manifest_sha256,
        weights_digest=ref.weights_digest,
        step=ref.step,
        tokens=ref.tokens,
    )


def ref_of(message: values_pb2.CheckpointRef) -> CheckpointRef:
    """A checkpoint's name as the core has it."""
    return CheckpointRef(
        uri=message.uri,
        manifest_sha256=message.manifest_sha256,
        weights_digest=message.weights_digest,
        step=message.step,
        tokens=message.tokens,
    )


def set_message(ref: EvalSetRef) -> values_pb2.EvalSetRef:
    """A set's name."""
    return values_pb2.EvalSetRef(
        name=ref.name, uri=ref.uri, digest=ref.digest, role=_ROLES[ref.role], use=_USES[ref.use]
    )


def measurement_of(evaluation: resources.Evaluation) -> Measurement:
    """What was measured. A field that the evaluator left out stays 0 and never passes for a score: scores are rows."""
    return Measurement(
        results=tuple(_result(r) for r in evaluation.results),
        scores=tuple(_score(s) for s in evaluation.scores),
        measure_s=evaluation.measure_seconds,
    )


def _result(r: values_pb2.SetResult) -> SetResult:
    return SetResult(
        set=EvalSetRef(
            name=r.set.name,
            uri=r.set.uri,
            digest=r.set.digest,
            role=SetRole.RETENTION if r.set.role == values_pb2.SET_ROLE_RETENTION else SetRole.TARGET,
            use=_use(r.set.use),
        ),
        nats=r.nats,
        tokens=r.tokens,
        bytes=r.bytes,
        loss_nats=r.loss_nats,
        perplexity=r.perplexity,
        bits_per_byte=r.bits_per_byte,
        units=r.units,
    )


def _score(s: values_pb2.ForgettingScore) -> ForgettingScore:
    return ForgettingScore(
        retention_set=s.retention_set,
        ratio=s.ratio,
        nats=s.nats,
        ratio_low=s.ratio_low if s.HasField("ratio_low") else None,
        ratio_high=s.ratio_high if s.HasField("ratio_high") else None,
        baseline_perplexity=s.baseline_perplexity,
        perplexity=s.perplexity,
        use=_use(s.use),
        floor_ratio=s.floor_ratio if s.HasField("floor_ratio") else None,
        shown_only=s.shown_only,
        baseline_bits_per_byte=s.baseline_bits_per_byte if s.HasField("baseline_bits_per_byte") else None,
    )


def _use(use: int) -> SetUse:
    return SetUse.REPORT if use == values_pb2.SET_USE_REPORT else SetUse.CONTROL
