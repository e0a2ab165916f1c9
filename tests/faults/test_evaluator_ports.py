"""Whatever happens to a call over a port of the evaluator, its caller gets the same answers, the history has the same
rows, and a deleted run leaves nothing behind.

The caller does what the orchestrator does: it asks again when a call fails, and under a new name when an evaluation
failed. Every call of every port with every kind of fault: `make test-faults`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

import pytest

from retain.values import Evaluation, EvaluationRequest, EvaluationState, SetRole
from services.evaluator.application.metrics_retention import MetricsRetention
from services.evaluator.application.service import EvaluatorService
from tests.faults.injector import Bug, Fault, Injector, RetainError
from tests.faults.ports import Call, protocol_calls
from tests.unit.services.evaluator.builders import request, set_ref
from tests.unit.services.evaluator.harness import FakeMeasurer, Harness, KnownRuns

PORTS = "services.evaluator.application.ports"
STORE = "services.common.store.object_store.ObjectStore"
TRIES = 40
NOT_REACHED = {
    Call(
        f"{PORTS}.InterpolationWriter", "write"
    ): "one call, one answer: a fault is the caller's; test_point_writer.py",
    Call(f"{PORTS}.Sampler", "sample"): "one call, one stream: a fault is the caller's; test_sampling.py",
    Call(f"{PORTS}.SourceRules", "fault_of"): "one call, one answer: a fault is the caller's; test_previews.py",
    Call(f"{PORTS}.SourceRules", "model_fault"): "one call, one answer: a fault is the caller's; test_previews.py",
    Call(f"{PORTS}.Previewer", "preview"): "one call, one answer: a fault is the caller's; test_previews.py",
    **{
        Call(f"{PORTS}.{port}", call): "one call, one stream: a fault is the caller's; test_file_evaluations.py"
        for port, call in (
            ("FileMeasurer", "identify"),
            ("FileMeasurer", "file_method"),
            ("FileMeasurer", "measure_file"),
            ("FileResults", "get"),
            ("FileResults", "put"),
        )
    },
    Call(f"{PORTS}.Evaluations", "leave"): "called at an end in good order; test_working.py",
    Call(f"{PORTS}.Measurer", "make_room"): "called when a disk is full only; test_working.py",
    Call(f"{PORTS}.Measurer", "release"): "called after a minute without work; below",
    Call(STORE, "get_file"): "the measurer's, which is a fake here; covered in test_worker_ports.py",
    Call(STORE, "put_file"): "the point writer's; covered in test_worker_ports.py",
    Call(STORE, "ensure_bucket"): "the composition root's, before it serves; test_main.py",
    Call(STORE, "scan"): "the collector's; covered in test_orchestrator_ports.py",
    Call(STORE, "presign_get"): "the orchestrator's; covered in test_orchestrator_ports.py",
    Call(STORE, "sign_put"): "the orchestrator's; covered in test_orchestrator_ports.py",
}
T = TypeVar("T")


def calls() -> list[Call]:
    mine = [call for call in protocol_calls() if call.port.startswith(PORTS) or call.port == STORE]
    return sorted(call for call in mine if call not in NOT_REACHED)


class FaultyHarness(Harness):
    """Every port of the evaluator is wrapped; store and measurer outlive its restarts."""

    def __init__(self, injector: Injector) -> None:
        super().__init__(FakeMeasurer(now=1.6, base=1.5, good=1.5))
        self.injector = injector
        self.measurer = injector.wrap(f"{PORTS}.Measurer", self.measurer)
        self.store = injector.wrap(STORE, self.store)

    def service(self) -> EvaluatorService:
        service, wrap = super().service(), self.injector.wrap
        working = service.loop
        self.history = working.history = wrap(f"{PORTS}.History", working.history)
        self.shown = working.shown = wrap(f"{PORTS}.ShownRuns", working.shown)
        self.exporter = working.exporter = wrap(f"{PORTS}.Exporter", working.exporter)
        working.evaluations = wrap(f"{PORTS}.Evaluations", working.evaluations)
        object.__setattr__(
            working.evaluate_checkpoint, "results", wrap(f"{PORTS}.Measurements", working.evaluate_checkpoint.results)
        )
        return EvaluatorService(working)

    async def begin(self, service: EvaluatorService) -> None:
        await again(service.start)  # the process waits for its store, or is started again

    def retention(self, **ended: bool | None) -> MetricsRetention:
        retention = super().retention(**ended)
        retention.run_states = self.injector.wrap(f"{PORTS}.RunStates", KnownRuns(**ended))
        return retention


async def again(call: Callable[[], Awaitable[T]]) -> T:
    for _ in range(TRIES):
        with contextlib.suppress(RetainError, Bug):
            return await call()
        await asyncio.sleep(0.01)
    raise AssertionError("it fails for ever")


async def answered(service: EvaluatorService, name: str, asked: EvaluationRequest) -> Evaluation:
    """As the orchestrator asks: again when a call fails, under a new name when the evaluation failed."""
    for number in range(1, TRIES):
        async with asyncio.timeout(30):
            found = await again(lambda n=number: service.create(f"{name}-try{n}", asked))
            while not found.state.ended:
                await asyncio.sleep(0.01)
                found = await again(lambda n=number: service.create(f"{name}-try{n}", asked))
        if found.state is EvaluationState.SUCCEEDED:
            return found
    raise AssertionError(f"{name} is never answered: {found.error}")


async def session(harness: FaultyHarness) -> dict[str, Any]:
    """Two runs, a restart in between, one deleted; what nobody may see a fault in."""
    sets = (set_ref("general"), set_ref("code", SetRole.TARGET))
    async with harness.serving() as service:
        first = await answered(service, "r1-50", request(sets=sets, base="base", step=50))
        await answered(service, "r2-50", request("good", sets=sets, base="base", run="r2", step=50))
    async with harness.serving() as service:
        restoring, retention = harness.retention(r1=False, r2=False), harness.retention(r1=False, r2=True)
        await again(lambda: asyncio.to_thread(restoring.restore))
        second = await answered(service, "r1-100", request("good", sets=sets, base="base", step=100))
        for _ in range(3):
            await again(lambda: asyncio.to_thread(retention.sweep))
            harness.now_s += 601
        read, read_again = [await again(lambda: service.get(first.id)) for _ in range(2)]
        rows = await again(lambda: service.history("r1", None))
        shown = sorted(await again(lambda: asyncio.to_thread(harness.exporter.exported_runs)))
        await again(lambda: service.delete_run("r2"))
        keys = await again(lambda: service.keys("r1"))
        left = [key for key in harness.store.objects if "r2" in key]
    return {
        "read again": [found.state for found in (read, read_again)],
        "ratios": [round(found.scores[0].ratio, 9) for found in (first, second)],
        "rows": [(row.baseline, row.step, round(row.scores[0].ratio, 9)) for row in rows],
        "shown": shown,
        "listed": {"r1-50", "r1-100"} <= {key.id.rpartition("-try")[0] for key in keys},
        "left of the deleted run": left,
    }


@cache
def undisturbed() -> dict[str, Any]:
    return asyncio.run(session(FaultyHarness(Injector("nothing", "nothing", Fault.SLOW))))


def test_the_session_is_worth_comparing_with() -> None:
    told = undisturbed()
    assert told["ratios"] == [pytest.approx(0.105170918), 0.0]
    assert told["rows"] == [(True, 0, 0.0), (False, 50, pytest.approx(0.105170918)), (False, 100, 0.0)]
    assert (told["shown"], told["listed"], told["left of the deleted run"]) == (["r1"], True, [])


@pytest.mark.parametrize("seed", range(4))
def test_faults_everywhere_in_turn_change_nothing(seed: int) -> None:
    kinds = (Fault.CALL_LOST, Fault.REPLY_LOST, Fault.UNFORESEEN)
    injector = Injector("*", "*", Fault.SLOW, times=16, every=7 + 2 * seed, kinds=kinds)
    assert asyncio.run(session(FaultyHarness(injector))) == undisturbed()
    assert injector.hits >= 8


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault), ids=str)
@pytest.mark.parametrize("call", calls(), ids=str)
def test_a_fault_of_one_call_changes_nothing(call: Call, fault: Fault) -> None:
    injector = Injector(call.port, call.method, fault)
    told = asyncio.run(session(FaultyHarness(injector)))
    assert injector.hits > 0, f"{call} was never called: the session has to reach it"
    assert told == undisturbed()


@pytest.mark.parametrize("fault", [Fault.CALL_LOST, Fault.UNFORESEEN], ids=str)
def test_memory_that_cannot_be_given_back_ends_nothing(fault: Fault) -> None:
    async def scripted() -> None:
        harness = FaultyHarness(Injector(f"{PORTS}.Measurer", "release", fault))
        async with harness.serving() as service:
            service.loop.release_after_s = 0.01
            await asyncio.sleep(0.3)
            found = await answered(service, "e", request("good"))
        assert found.state is EvaluationState.SUCCEEDED
        assert harness.injector.hits > 0

    asyncio.run(scripted())
