"""The evaluator's application: measured once, taken up after a restart, patient with the store, never silent."""

import asyncio
import math
import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.common.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from services.common.metrics import EvaluatorMetrics
from services.evaluator.adapters.exporter import PrometheusExporter
from services.evaluator.adapters.kept import StoredEvaluations, StoredHistory, StoredResults
from services.evaluator.adapters.statistics import Bootstrap
from services.evaluator.application.answering import Answering
from services.evaluator.application.ports import Measurer, RunStates
from services.evaluator.application.service import EvaluatorService
from services.evaluator.application.upkeep import Upkeep
from services.evaluator.domain.answer import Measurement, State
from services.evaluator.domain.question import Model, Role, SetRef, Use
from tests.fakes.object_store import FakeObjectStore
from tests.unit.services.evaluator.builders import digest, measurement, question, set_ref


class FakeMeasurer(Measurer):
    """Losses by weights; counts, fails and blocks as told."""

    def __init__(self, **losses: float) -> None:
        self.losses = {digest(name): loss for name, loss in losses.items()}
        self.measured: list[tuple[str, str]] = []
        self.faults: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()

    def measure(self, model: Model, ref: SetRef) -> Measurement:
        assert self.gate.wait(10)
        if self.faults:
            raise self.faults.pop(0)
        self.measured.append((model.weights_digest, ref.name))
        return measurement(self.losses[model.weights_digest])

    def release(self) -> None:
        """Nothing to give back."""


class KnownRuns(RunStates):
    def __init__(self, **ended: bool | None) -> None:
        self.known = ended

    def ended(self, run: str) -> bool | None:
        return self.known.get(run)


class World:
    """One store, and services that come and go on it."""

    def __init__(self, measurer: FakeMeasurer) -> None:
        self.store, self.measurer = FakeObjectStore(), measurer
        self.now_s = 1_000_000.0

    def service(self) -> EvaluatorService:
        self.registry = CollectorRegistry()
        self.exporter = PrometheusExporter(EvaluatorMetrics(self.registry), clock=lambda: self.now_s)
        self.history = StoredHistory(self.store)
        return EvaluatorService(
            answering=Answering(measurer=self.measurer, results=StoredResults(self.store), statistics=Bootstrap()),
            evaluations=StoredEvaluations(self.store),
            history=self.history,
            exporter=self.exporter,
            retry_s=0.01,
        )

    def upkeep(self, **ended: bool | None) -> Upkeep:
        return Upkeep(
            history=self.history, exporter=self.exporter, run_states=KnownRuns(**ended), clock=lambda: self.now_s
        )

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


async def ended(service: EvaluatorService, evaluation_id: str):
    async with asyncio.timeout(10):
        async for evaluation in service.watch(evaluation_id):
            last = evaluation
    return last


@pytest.fixture
def world() -> World:
    return World(FakeMeasurer(now=1.5 + math.log(1.1), base=1.5, nan=math.nan, good=1.5))


async def test_a_question_is_answered_and_its_states_are_seen_in_order(world: World):
    service = world.service()
    await service.start()
    created = await service.create("e1", question())
    seen = [evaluation.state async for evaluation in service.watch("e1", created.sequence - 1)]
    found = await service.get("e1")
    assert seen[-1] is State.SUCCEEDED
    assert found.scores[0].ratio == pytest.approx(0.10)
    assert found.scores[0].ratio_low == pytest.approx(0.10)  # every unit lost the same: no spread
    assert 'retain_forgetting_ratio{retention_set="general",run="r1",stage="midtrain/code"} 0.1' in world.metrics()
    await service.stop()


async def test_the_baseline_and_the_result_are_measured_once_for_all_questions(world: World):
    service = world.service()
    await service.start()
    for number in range(3):
        await service.create(f"e{number}", question())
        await ended(service, f"e{number}")
    assert sorted(world.measurer.measured) == sorted([(digest("now"), "general"), (digest("base"), "general")])
    await service.stop()


async def test_the_same_id_is_the_same_evaluation_and_another_question_is_refused(world: World):
    service = world.service()
    await service.start()
    first = await service.create("e1", question())
    assert (await service.create("e1", question())).create_time_s == first.create_time_s
    with pytest.raises(AlreadyExists):
        await service.create("e1", question("good"))
    await ended(service, "e1")
    assert (await service.create("e1", question())).state is State.SUCCEEDED
    with pytest.raises(AlreadyExists):
        await service.create("e1", question("good"))
    with pytest.raises(NotFound):
        await service.get("e2")
    await service.stop()


async def test_what_was_left_unfinished_is_taken_up_by_the_next_process(world: World):
    world.measurer.gate.clear()
    first = world.service()
    await first.start()
    before = await first.create("e1", question())
    await first.create("e2", question("good"))
    await first.stop()
    world.measurer.gate.set()
    second = world.service()
    await second.start()
    assert (await ended(second, "e1")).sequence > before.sequence
    assert (await ended(second, "e2")).scores[0].ratio == 0.0
    assert len(await second.history("r1", None)) == 2
    await second.stop()
    assert not [key for key in world.store.objects if key.startswith("evaluator/unfinished/")]


async def test_a_store_that_is_away_is_waited_for_and_a_fault_fails_only_its_evaluation(world: World):
    world.measurer.faults = [Unavailable("away"), Unavailable("away"), FailedPrecondition("no", reason="TOKENIZER")]
    service = world.service()
    await service.start()
    await service.create("e1", question())
    failed = await ended(service, "e1")
    assert (failed.state, failed.error_reason) == (State.FAILED, "TOKENIZER")
    await service.create("e2", question())
    assert (await ended(service, "e2")).state is State.SUCCEEDED
    assert 'retain_evaluations_total{outcome="failed"} 1.0' in world.metrics()
    await service.stop()


async def test_a_broken_model_is_told_as_infinitely_bad_and_the_history_stays_json(world: World):
    service = world.service()
    await service.start()
    await service.create("e1", question("nan"))
    found = await ended(service, "e1")
    assert found.state is State.SUCCEEDED
    assert found.scores[0].ratio == math.inf
    assert math.isnan(found.results[0].nats)
    assert 'stage="midtrain/code"} +Inf' in world.metrics()
    assert b"NaN" not in world.store.objects["history/r1.json"]
    assert (await service.history("r1", None))[0].scores[0].ratio == math.inf
    await service.stop()


async def test_metrics_show_control_sets_of_the_present_stage_only(world: World):
    service = world.service()
    await service.start()
    sets = (set_ref("general"), set_ref("general", use=Use.REPORT), set_ref("code", Role.TARGET))
    await service.create("e1", question(sets=sets))
    await service.create("e2", question("good", sets=sets, stage="finetune"))
    await service.create("e3", question(run="r2", export=False))
    await service.create("e4", question(run="r3", weight=0.0))
    for name in ("e1", "e2", "e3", "e4"):
        await ended(service, name)
    text = world.metrics()
    assert 'retain_perplexity{role="target",run="r1",set="code",stage="finetune"}' in text
    assert 'run="r1",stage="midtrain/code"' not in text
    assert 'run="r2"' not in text
    assert await service.history("r3", None) == []  # a point of a line is no part of the history
    await service.stop()


async def test_gauges_return_after_a_restart_and_go_some_minutes_after_the_run(world: World):
    service = world.service()
    await service.start()
    await service.create("e1", question())
    await service.create("e2", question(run="gone"))
    await ended(service, "e1")
    await ended(service, "e2")
    await service.stop()
    world.service()  # a new process
    upkeep = world.upkeep(r1=False, gone=True)
    upkeep.restore()
    line = 'retain_forgetting_ratio{retention_set="general",run="r1",stage="midtrain/code"}'
    assert line in world.metrics()
    assert 'run="gone"' not in world.metrics()
    upkeep = world.upkeep(r1=True)
    upkeep.sweep()
    assert line in world.metrics()
    world.now_s += 601
    upkeep.sweep()
    assert line not in world.metrics()


async def test_while_the_orchestrator_is_away_the_gauges_stay_for_a_day(world: World):
    service = world.service()
    await service.start()
    await service.create("e1", question())
    await ended(service, "e1")
    await service.stop()
    upkeep = world.upkeep()
    for hours in (0, 23):
        world.now_s += hours * 3600
        upkeep.sweep()
    assert 'run="r1"' in world.metrics()
    world.now_s += 2 * 3600
    upkeep.sweep()
    world.now_s += 601
    upkeep.sweep()
    assert 'run="r1"' not in world.metrics()


async def test_a_damaged_result_is_measured_again_and_a_damaged_history_is_put_aside(world: World):
    service = world.service()
    await service.start()
    world.store.put_bytes(f"evaluations/{digest('now')}/{set_ref('general').digest}.json", b'{"version": 1}')
    world.store.put_bytes("history/r1.json", b"not json")
    await service.create("e1", question())
    assert (await ended(service, "e1")).scores[0].ratio == pytest.approx(0.10)
    assert len(await service.history("r1", None)) == 1
    assert world.store.objects["evaluator/damaged/history/r1.json"] == b"not json"
    await service.stop()
