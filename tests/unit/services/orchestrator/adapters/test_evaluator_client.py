"""The client of the evaluator: what is damaged or waited for reaches the core, over a real connection."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2, service_pb2_grpc
from retain.mapper import to_message
from retain.types.v1 import values_pb2
from retain.values import CheckpointRef
from services.common.errors import (
    CheckpointDamaged,
    Corrupt,
    FailedPrecondition,
    RetainError,
    StorageFull,
    Unavailable,
)
from services.common.grpc.server import GrpcServer
from services.evaluator.application.measuring_thread import NoProgress
from services.orchestrator.adapters.evaluator_client import EvaluatorClient
from services.orchestrator.application.command_executor import damaged_end
from services.orchestrator.application.ports import EvaluationProgress
from services.orchestrator.domain.run.commands import WritePoint
from tests.identity import access, aio_channel


def ref(name: str) -> CheckpointRef:
    return CheckpointRef(uri=f"s3://retain/{name}", manifest_sha256=name * 64, weights_digest=name * 64, step=7)


ORDER = WritePoint(
    order_id="r1-point",
    checkpoint_id="r/point",
    stage_index=0,
    attempt=1,
    point=0.5,
    result=ref("a"),
    parent=ref("b"),
    uri="s3://retain/runs/r/p",
)


class Answers(service_pb2_grpc.EvaluatorServiceServicer):
    """Gives the answer, or raises the fault, that it was told."""

    def __init__(self) -> None:
        self.evaluation = resources.Evaluation(id="e")
        self.fault: Exception = Corrupt("a set differs", reason="SET_DIFFERS")
        self.deleted: list[str] = []
        self.orders, self.delay_s = 0, 0.0

    async def GetEvaluation(self, request, context):
        return service_pb2.GetEvaluationResponse(evaluation=self.evaluation)

    async def WritePoint(self, request, context):
        self.orders += 1
        await asyncio.sleep(self.delay_s)
        raise self.fault

    async def DeleteRunRecords(self, request, context):
        self.deleted.append(request.run_id)
        return service_pb2.DeleteRunRecordsResponse()


@pytest.fixture
async def evaluator():
    answers = Answers()
    name = "retain.evaluator.v1.EvaluatorService"
    server = GrpcServer(
        bind="127.0.0.1:0",
        services={name: (service_pb2_grpc.add_EvaluatorServiceServicer_to_server, answers)},
        registry=CollectorRegistry(),
        access=access(),
    )
    port = await server.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        yield answers, EvaluatorClient(channel)
    await server.stop(0)


async def test_a_damaged_checkpoint_reaches_the_core_with_its_name(evaluator):
    answers, client = evaluator
    answers.evaluation.state = resources.EVALUATION_STATE_FAILED
    answers.evaluation.error_reason = "CHECKPOINT_DAMAGED"
    answers.evaluation.damaged.CopyFrom(to_message(ref("b"), values_pb2.CheckpointRef))
    found = await client.get("e")
    assert (found.progress, found.damaged) == (EvaluationProgress.FAILED, ref("b"))
    answers.evaluation.ClearField("damaged")
    assert (await client.get("e")).damaged is None


async def test_what_is_waited_for_is_told_while_it_is_under_way(evaluator):
    answers, client = evaluator
    answers.evaluation.waiting_for = "disk full at /var/retain"
    found = await client.get("e")
    assert (found.progress, found.waiting_for) == (EvaluationProgress.UNDER_WAY, "disk full at /var/retain")


async def test_a_damaged_end_of_a_line_is_named_and_other_corruption_is_not_taken_for_it(evaluator):
    answers, client = evaluator
    with pytest.raises(FailedPrecondition) as refused:
        await client.write_point(ORDER)
    assert refused.value.reason == "SET_DIFFERS"
    answers.fault = CheckpointDamaged("cut", metadata={"uri": "s3://retain/b", "manifest_sha256": "b" * 64})
    with pytest.raises(CheckpointDamaged) as caught:
        await client.write_point(ORDER)
    assert damaged_end(ORDER, caught.value) == ref("b")
    assert damaged_end(ORDER, refused.value) is None


async def test_the_records_of_a_run_are_deleted_by_name(evaluator):
    answers, client = evaluator
    await client.delete_run_records("r1")
    assert answers.deleted == ["r1"]


@pytest.mark.parametrize(
    ("fault", "raised", "reason", "orders"),
    [
        (StorageFull("disk full at /data"), Unavailable, "EVALUATOR_UNAVAILABLE", 3),
        (NoProgress("no sign of life for 600 s"), FailedPrecondition, "NO_PROGRESS", 1),
        (FailedPrecondition("taken", reason="PLACE_TAKEN"), FailedPrecondition, "PLACE_TAKEN", 1),
    ],
    ids=["full", "hangs", "taken"],
)
async def test_what_a_pause_mends_is_asked_again_and_the_rest_has_the_reason_of_the_evaluator(
    evaluator, fault: Exception, raised: type[RetainError], reason: str, orders: int
):
    answers, client = evaluator
    answers.fault = fault
    with pytest.raises(raised, match=str(fault)) as caught:
        await client.write_point(ORDER)
    assert (caught.value.reason, answers.orders) == (reason, orders)


async def test_what_took_the_whole_time_is_not_asked_three_times_in_a_row(evaluator, monkeypatch: pytest.MonkeyPatch):
    answers, client = evaluator
    monkeypatch.setattr("services.orchestrator.adapters.evaluator_client.WRITE_TIMEOUT_S", 0.05)
    answers.delay_s = 30.0
    with pytest.raises(Unavailable) as caught:
        await client.write_point(ORDER)
    assert caught.value.reason == "EVALUATOR_TOO_SLOW"
    assert answers.orders <= 1
