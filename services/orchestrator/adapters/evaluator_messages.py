"""Requests to the evaluator as messages, and its results as the core's values."""

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2
from retain.mapper import to_message, to_value
from retain.values import Evaluation, EvaluationRequest, WritePointRequest
from services.orchestrator.domain.policy.interpolation import line_weight
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from services.orchestrator.domain.values import Measurement


def request_message(run_id: str, command: Evaluate) -> resources.EvaluationRequest:
    """One request, with everything the evaluator needs for metrics and history."""
    weight = (
        line_weight(command.point, command.kind) if command.of_interpolation and command.point is not None else None
    )
    request = EvaluationRequest(
        checkpoint=command.checkpoint,
        sets=command.sets,
        baselines=command.baselines,
        run_id=run_id,
        stage=command.stage,
        step=command.checkpoint.step,
        attempt=command.attempt,
        export_metrics=weight is None,  # a point that may never be anybody's model raises no alert and ends none
        interpolation=weight,
        kind=command.kind if weight is not None else None,
        parent=command.parent if weight is not None else None,
        train_loss_nats=command.train_loss_nats,
        base=command.base,
        probe=command.probe,
    )
    return to_message(request, resources.EvaluationRequest)


def order_message(order: WritePoint) -> service_pb2.WritePointRequest:
    """An order to write a point of a line."""
    request = WritePointRequest(
        checkpoint=order.result,
        parent=order.parent,
        point=order.point,
        output_uri=order.uri,
        kind=order.kind,
        weight=line_weight(order.point, order.kind),
    )
    return to_message(request, service_pb2.WritePointRequest)


def evaluation_of(message: resources.Evaluation) -> Evaluation:
    """An evaluation as it stands. What a newer evaluator says in words that nobody here knows is left unsaid."""
    return to_value(message, Evaluation, [])


def measurement_of(evaluation: Evaluation) -> Measurement:
    """What was measured. A field that the evaluator left out stays 0 and never passes for a score: scores are rows."""
    return Measurement(
        results=evaluation.results,
        scores=evaluation.scores,
        measure_s=evaluation.measure_seconds,
        probe=evaluation.probe,
    )
