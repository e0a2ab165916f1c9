"""Whatever happens to an RPC between orchestrator and evaluator, the user's session ends as it does undisturbed.

The ports are covered beside this file; here the wire itself is between them: statuses, deadlines, a real channel.
"""

import asyncio
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2 as pb
from retain.evaluator.v1 import service_pb2_grpc as pb_grpc
from services.common.grpc.server import GrpcServer
from services.orchestrator.adapters.evaluator_client import EvaluatorClient
from tests.fakes.evaluator import FakeEvaluatorServicer
from tests.fakes.simulated_training import SimulatedTraining
from tests.faults.injector import ERRORS, SLOW_S, Fault, Injector
from tests.faults.ports import Call, rpc_calls
from tests.faults.stage import Stage
from tests.identity import access, aio_channel

EVALUATOR = "retain.evaluator.v1.EvaluatorService"
FOR_PEOPLE = "the command and the panel call it, show its error and are asked again by a person"
NOT_REACHED = {
    Call(EVALUATOR, "ListEvaluations"): FOR_PEOPLE,
    Call(EVALUATOR, "WatchEvaluation"): FOR_PEOPLE,
    Call(EVALUATOR, "GetForgettingHistory"): FOR_PEOPLE,
    Call(EVALUATOR, "SampleText"): FOR_PEOPLE,
    Call(EVALUATOR, "PreviewData"): FOR_PEOPLE,
    Call(EVALUATOR, "EvaluateFile"): FOR_PEOPLE,
}
CODES = {
    Fault.CALL_LOST: grpc.StatusCode.UNAVAILABLE,
    Fault.REPLY_LOST: grpc.StatusCode.UNAVAILABLE,
    Fault.REFUSED: grpc.StatusCode.PERMISSION_DENIED,
    Fault.UNFORESEEN: grpc.StatusCode.INTERNAL,
}


def calls() -> list[Call]:
    return sorted(call for call in rpc_calls() if call.port == EVALUATOR and call not in NOT_REACHED)


class FaultyServicer(FakeEvaluatorServicer):
    """Answers, faultily; a question that was just asked is being measured."""

    def __init__(self, simulated: SimulatedTraining, injector: Injector) -> None:
        super().__init__(simulated)
        for method in ("CreateEvaluation", "GetEvaluation", "WritePoint", "DeleteRunRecords"):
            setattr(self, method, self._faulty(method, getattr(self, method), injector))

    @staticmethod
    def _faulty(method: str, answer: Any, injector: Injector) -> Any:
        async def call(request: Any, context: Any) -> Any:
            fault = injector.due(method)
            if fault is Fault.SLOW:
                await asyncio.sleep(SLOW_S)
            elif fault is Fault.REPLY_LOST:
                await answer(request, context)
            if fault in ERRORS:
                await context.abort(CODES[fault], f"injected {fault}")
            reply = await answer(request, context)
            if method == "CreateEvaluation":
                measuring = resources.Evaluation(
                    id=reply.evaluation.id, request=request.request, state=resources.EVALUATION_STATE_RUNNING
                )
                return pb.CreateEvaluationResponse(evaluation=measuring)
            return reply

        return call


async def session(folder: Path, injector: Injector) -> dict[str, Any]:
    """The whole session, with a real channel and a real server between orchestrator and evaluator."""
    stage = Stage(folder, Injector("nothing", "nothing", Fault.SLOW))
    server = GrpcServer(
        bind="127.0.0.1:0",
        services={
            EVALUATOR: (pb_grpc.add_EvaluatorServiceServicer_to_server, FaultyServicer(stage.simulated, injector)),
        },
        registry=CollectorRegistry(),
        access=access(),
    )
    port = await server.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        stage.evaluator = EvaluatorClient(channel)
        try:
            return await stage.session("session")
        finally:
            await server.stop(0)


@cache
def undisturbed() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        return asyncio.run(session(Path(folder), Injector("nothing", "nothing", Fault.SLOW)))


def test_faults_of_the_wire_in_turn_change_nothing(tmp_path: Path) -> None:
    kinds = (Fault.CALL_LOST, Fault.REPLY_LOST, Fault.SLOW)
    injector = Injector("*", "*", Fault.SLOW, times=8, every=3, kinds=kinds)
    assert asyncio.run(session(tmp_path, injector)) == undisturbed()
    assert injector.hits == 8


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault), ids=str)
@pytest.mark.parametrize("call", calls(), ids=str)
def test_a_fault_of_one_rpc_changes_nothing(call: Call, fault: Fault, tmp_path: Path) -> None:
    injector = Injector(call.port, call.method, fault)
    told = asyncio.run(session(tmp_path, injector))
    assert injector.hits > 0, f"{call} was never called: the session has to reach it"
    assert told == undisturbed()
