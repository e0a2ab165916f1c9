"""Questions to the evaluator as messages, and its answers as the core's values."""

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2
from retain.mapper import to_message, to_value
from retain.values import Evaluation, EvaluationRequest, WritePointRequest
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from services.orchestrator.domain.values import Measurement


def question_message(run_id: str, question: Evaluate) -> resources.EvaluationRequest:
    """One question, with everything the evaluator needs for metrics and history."""
    of_interpolation = question.parent is not None and question.point is not None
    request = EvaluationRequest(
        checkpoint=question.checkpoint,
        sets=question.sets,
        baselines=question.baselines,
        run_id=run_id,
        stage=question.stage,
        step=question.checkpoint.step,
        attempt=question.attempt,
        export_metrics=not of_interpolation,  # a point that may never be anybody's model raises no alert and ends none
        interpolation=question.point if of_interpolation else None,
        parent=question.parent if of_interpolation else None,
        train_loss_nats=question.train_loss_nats,
        base=question.base,
    )
    return to_message(request, resources.EvaluationRequest)


def order_message(order: WritePoint) -> service_pb2.WritePointRequest:
    """An order to write a point of a line."""
    request = WritePointRequest(checkpoint=order.result, parent=order.parent, point=order.point, output_uri=order.uri)
    return to_message(request, service_pb2.WritePointRequest)


def evaluation_of(message: resources.Evaluation) -> Evaluation:
    """An evaluation as it stands. What a newer evaluator says in words that nobody here knows is left unsaid."""
    return to_value(message, Evaluation, [])


def measurement_of(evaluation: Evaluation) -> Measurement:
    """What was measured. A field that the evaluator left out stays 0 and never passes for a score: scores are rows."""
    return Measurement(results=evaluation.results, scores=evaluation.scores, measure_s=evaluation.measure_seconds)
