"""An evaluator that measures `SimulatedTraining`: the port itself for tests in one process, a gRPC service for more."""

import asyncio
import math
from collections.abc import Callable

import grpc

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2 as pb
from retain.evaluator.v1 import service_pb2_grpc as pb_grpc
from retain.types.v1 import values_pb2
from retain.values import CheckpointRef
from services.common.errors import NotFound, Unavailable
from services.orchestrator.adapters.evaluator_client import view
from services.orchestrator.adapters.evaluator_messages import order_message, request_message
from services.orchestrator.application.ports import EvaluationView, EvaluatorPort
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from tests.fakes.simulated_training import START_NATS, SimulatedTraining

TOKENS, BYTES, UNITS = 10_000, 40_000, 160


def answer(
    simulated: SimulatedTraining, evaluation_id: str, request: resources.EvaluationRequest
) -> resources.Evaluation:
    """The measurement of one checkpoint: losses are looked up, scores compare them with the baseline's."""
    now = simulated.losses_of(request.checkpoint.weights_digest)
    if request.HasField("interpolation"):
        ends = request.parent.weights_digest, request.checkpoint.weights_digest
        now = simulated.between(*ends, request.interpolation)
    most = {b.set_name: b.most_bits_per_byte for b in request.baselines if b.HasField("most_bits_per_byte")}
    baselines = {b.set_name: simulated.losses_of(b.checkpoint.weights_digest) for b in request.baselines}
    evaluation = resources.Evaluation(
        id=evaluation_id, request=request, state=resources.EVALUATION_STATE_SUCCEEDED, sequence=2
    )
    evaluation.create_time.GetCurrentTime()
    if request.checkpoint.uri in simulated.unreadable:
        evaluation.state, evaluation.error_reason = resources.EVALUATION_STATE_FAILED, "CHECKPOINT_DAMAGED"
        evaluation.error = "model/model.safetensors is cut"
        evaluation.damaged.CopyFrom(request.checkpoint)
        return evaluation
    evaluation.end_time.GetCurrentTime()
    for ref in request.sets:
        loss = now.get(ref.name, START_NATS)
        evaluation.results.add(
            set=ref,
            nats=loss * TOKENS,
            tokens=TOKENS,
            bytes=BYTES,
            loss_nats=loss,
            perplexity=math.exp(loss),
            bits_per_byte=loss * TOKENS / math.log(2) / BYTES,
            units=UNITS,
        )
        if ref.role == values_pb2.SET_ROLE_RETENTION and ref.name in baselines:
            base = baselines[ref.name].get(ref.name, START_NATS)
            ratio = math.expm1(loss - base)
            evaluation.scores.add(
                retention_set=ref.name,
                ratio=ratio,
                nats=loss - base,
                ratio_low=ratio - 0.01,
                ratio_high=ratio + 0.01,
                baseline_perplexity=math.exp(base),
                perplexity=math.exp(loss),
                use=ref.use or values_pb2.SET_USE_CONTROL,
                baseline_bits_per_byte=(bits := base * TOKENS / math.log(2) / BYTES),
                shown_only=bits > most.get(ref.name, math.inf),
            )
    return evaluation


def written(simulated: SimulatedTraining, order: pb.WritePointRequest) -> pb.WritePointResponse:
    """A point of a line as weights of its own: the same order gives the same name."""
    losses = simulated.between(order.parent.weights_digest, order.checkpoint.weights_digest, order.point)
    digest = simulated.remember(losses, order.output_uri)
    ref = values_pb2.CheckpointRef(uri=order.output_uri, manifest_sha256=digest, weights_digest=digest)
    return pb.WritePointResponse(checkpoint=ref, bytes=1000)


class FakeEvaluator(EvaluatorPort):
    """The port. `delay_s` of measuring; `lose_reply_of_next(n)`: creations that take effect and then fail;
    `change`: a last word on an answer (NaN, failures)."""

    def __init__(self, simulated: SimulatedTraining, *, delay_s: float = 0.0) -> None:
        self._simulated, self.delay_s = simulated, delay_s
        self.created: list[str] = []
        self.known: dict[str, resources.Evaluation] = {}
        self.change: Callable[[resources.Evaluation], None] = lambda evaluation: None
        self.away = self.refuse_points = False
        self._lost = self._lost_points = 0
        self.written: list[str] = []
        self.deleted: list[str] = []  # runs whose records were deleted

    def lose_reply_of_next_point(self) -> None:
        """Let the next point be written and its reply be lost."""
        self._lost_points = 1

    def lose_reply_of_next(self, count: int) -> None:
        """Let the next creations take effect and then fail."""
        self._lost = count

    async def create(self, run_id: str, command: Evaluate) -> EvaluationView:
        if self.away:
            raise Unavailable("the evaluator is away", reason="EVALUATOR_UNAVAILABLE")
        if command.evaluation_id not in self.known:
            self.created.append(command.evaluation_id)
            evaluation = answer(self._simulated, command.evaluation_id, request_message(run_id, command))
            self.change(evaluation)
            self.known[command.evaluation_id] = evaluation
        if self._lost > 0:
            self._lost -= 1
            raise Unavailable("the reply was lost", reason="EVALUATOR_UNAVAILABLE")
        await asyncio.sleep(self.delay_s)
        return view(self.known[command.evaluation_id])

    async def get(self, evaluation_id: str) -> EvaluationView:
        if evaluation_id not in self.known:
            raise NotFound(f"there is no evaluation {evaluation_id!r}")
        return view(self.known[evaluation_id])

    async def write_point(self, order: WritePoint) -> tuple[CheckpointRef, int]:
        if self.away or self.refuse_points:
            raise Unavailable("the evaluator is away", reason="EVALUATOR_UNAVAILABLE")
        made = written(self._simulated, order_message(order))
        self.written.append(order.uri)
        if self._lost_points > 0:
            self._lost_points -= 1
            raise Unavailable("the reply was lost", reason="EVALUATOR_UNAVAILABLE")
        found = made.checkpoint
        ref = CheckpointRef(uri=found.uri, manifest_sha256=found.manifest_sha256, weights_digest=found.weights_digest)
        return ref, made.bytes

    async def delete_run_records(self, run_id: str) -> None:
        if self.away:
            raise Unavailable("the evaluator is away", reason="EVALUATOR_UNAVAILABLE")
        self.deleted.append(run_id)


class FakeEvaluatorServicer(pb_grpc.EvaluatorServiceServicer):
    """The same over gRPC, with history and samples for the command and the panel."""

    def __init__(self, simulated: SimulatedTraining) -> None:
        self._simulated = simulated
        self.known: dict[str, resources.Evaluation] = {}

    async def CreateEvaluation(self, request, context):
        if request.evaluation_id not in self.known:
            self.known[request.evaluation_id] = answer(self._simulated, request.evaluation_id, request.request)
        return pb.CreateEvaluationResponse(evaluation=self.known[request.evaluation_id])

    async def GetEvaluation(self, request, context):
        if request.evaluation_id not in self.known:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no evaluation {request.evaluation_id}")
        return pb.GetEvaluationResponse(evaluation=self.known[request.evaluation_id])

    async def WritePoint(self, request, context):
        return written(self._simulated, request)

    async def DeleteRunRecords(self, request, context):
        for name in [name for name, e in self.known.items() if e.request.run_id == request.run_id]:
            del self.known[name]
        return pb.DeleteRunRecordsResponse()

    async def ListEvaluations(self, request, context):
        found = [e for e in self.known.values() if request.run_id in ("", e.request.run_id)]
        return pb.ListEvaluationsResponse(evaluations=found[::-1][: request.page_size or 50])

    async def WatchEvaluation(self, request, context):
        yield pb.WatchEvaluationResponse(evaluation=self.known[request.evaluation_id])

    async def GetForgettingHistory(self, request, context):
        records = self._bases(request) + [
            resources.ForgettingRecord(
                run_id=e.request.run_id,
                stage=e.request.stage,
                attempt=e.request.attempt,
                step=e.request.step,
                tokens=e.request.checkpoint.tokens,
                results=e.results,
                scores=e.scores,
                time=e.end_time,
                train_loss_nats=e.request.train_loss_nats,
            )
            for e in self.known.values()
            if e.request.run_id == request.run_id and request.stage in ("", e.request.stage)
        ]
        return pb.GetForgettingHistoryResponse(records=records)

    def _bases(self, request):
        """The base before training of each stage: its first row."""
        first = {}
        for e in self.known.values():
            if (e.request.run_id, e.request.HasField("base")) == (request.run_id, True):
                first.setdefault(e.request.stage, e.request)
        first = {stage: asked for stage, asked in first.items() if request.stage in ("", stage)}
        rows = []
        for stage, asked in first.items():
            about = resources.EvaluationRequest()
            about.CopyFrom(asked)
            about.checkpoint.CopyFrom(asked.base)
            measured = answer(self._simulated, f"base-{stage}", about)
            rows.append(
                resources.ForgettingRecord(
                    run_id=asked.run_id,
                    stage=stage,
                    attempt=asked.attempt,
                    results=measured.results,
                    scores=measured.scores,
                    time=measured.end_time,
                    baseline=True,
                )
            )
        return rows

    async def SampleText(self, request, context):
        for piece in (" once", " upon", " a", " time."):
            yield pb.SampleTextResponse(text=piece)
