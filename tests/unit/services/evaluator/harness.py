"""The evaluator's parts on a fake store, with a fake measurer: services that come and go on it, for tests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, generate_latest

from retain.values import EvalSetRef
from services.common.concurrency.blocking import Blocking
from services.common.concurrency.heart import beat
from services.common.concurrency.supervision import Supervisor
from services.common.metrics import EvaluatorMetrics
from services.evaluator.adapters.measuring.statistics import Bootstrap
from services.evaluator.adapters.metrics_exporter import PrometheusExporter
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.adapters.persistence.history_repository import StoredHistory, StoredShownRuns
from services.evaluator.adapters.persistence.object_store_repository import (
    StoredEvaluations,
    StoredFloors,
    StoredMeasurements,
)
from services.evaluator.application.evaluate_checkpoint import EvaluateCheckpoint
from services.evaluator.application.evaluation_loop import EvaluationLoop
from services.evaluator.application.evaluation_queue import EvaluationQueue
from services.evaluator.application.live import Live
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.metrics_retention import MetricsRetention
from services.evaluator.application.ports import Measurer, RunStates
from services.evaluator.application.service import EvaluatorService
from services.evaluator.domain.request import Model
from services.evaluator.domain.result import Measurement, NoiseFloor
from tests.fakes.object_store import FakeObjectStore
from tests.unit.services.evaluator.builders import digest, measurement

METHOD = "as the fake does"


class FakeMeasurer(Measurer):
    """Losses by weights; counts, fails and blocks as told."""

    def __init__(self, **losses: float) -> None:
        self.losses = {digest(name): loss for name, loss in losses.items()}
        self.measured: list[tuple[str, str]] = []
        self.faults: list[BaseException] = []
        self.gate = threading.Event()
        self.gate.set()
        self.rooms = 0
        self.floor_nats = 1e-6
        self.floors: list[tuple[str, str]] = []
        self.floor_faults: list[BaseException] = []

    def shape(self, model: Model) -> str:
        return digest("the one shape")

    def floor_method(self) -> str:
        return f"{METHOD}, often"

    def floor(self, model: Model, ref: EvalSetRef) -> NoiseFloor:
        if self.floor_faults:
            raise self.floor_faults.pop(0)
        self.floors.append((self.identify(model), ref.name))
        return NoiseFloor(nats=self.floor_nats, repeats=4, tokens=100)

    def identify(self, model: Model) -> str:
        return model.digest([end.weights_digest for end in model.ends])

    def identify_set(self, ref: EvalSetRef) -> str:
        return ref.digest

    def method(self) -> str:
        return METHOD

    def measure(self, model: Model, ref: EvalSetRef) -> Measurement:
        assert self.gate.wait(10)
        beat()
        if self.faults:
            raise self.faults.pop(0)
        weights = self.identify(model)
        self.measured.append((weights, ref.name))
        return measurement(self.losses[weights])

    def release(self) -> None:
        """Nothing to give back."""

    def make_room(self) -> None:
        self.rooms += 1


class KnownRuns(RunStates):
    def __init__(self, **ended: bool | None) -> None:
        self.known = ended

    def ended(self, run: str) -> bool | None:
        return self.known.get(run)


class Harness:
    """One store, and services that come and go on it."""

    def __init__(self, measurer: FakeMeasurer) -> None:
        self.store, self.measurer = FakeObjectStore(), measurer
        self.now_s = 1_000_000.0
        self.limit_s, self.retry_s = 600.0, 0.01

    def service(self) -> EvaluatorService:
        self.registry = CollectorRegistry()
        self.exporter = PrometheusExporter(EvaluatorMetrics(self.registry), clock=lambda: self.now_s)
        aside = Aside(self.store, on_unreadable=self.exporter.unreadable)
        self.history, self.shown = StoredHistory(self.store, aside), StoredShownRuns(self.store)
        self.thread = MeasuringThread("measure", limit_s=self.limit_s)
        results = StoredMeasurements(self.store, aside)
        return EvaluatorService(
            EvaluationLoop(
                evaluate_checkpoint=EvaluateCheckpoint(
                    measurer=self.measurer,
                    results=results,
                    floors=StoredFloors(self.store, aside),
                    statistics=Bootstrap(),
                ),
                evaluations=StoredEvaluations(self.store, aside),
                history=self.history,
                shown=self.shown,
                exporter=self.exporter,
                live=Live(on_change=lambda count, waiting: self.exporter.pending(count, waiting=waiting)),
                queue=EvaluationQueue(),
                thread=self.thread,
                calls=Blocking("store", threads=4, limit_s=10),
                retry_s=self.retry_s,
            )
        )

    def retention(self, **ended: bool | None) -> MetricsRetention:
        return MetricsRetention(
            history=self.history,
            shown=self.shown,
            exporter=self.exporter,
            run_states=KnownRuns(**ended),
            clock=lambda: self.now_s,
        )

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[EvaluatorService]:
        """A service at work; at the end it stops as a process does."""
        service = self.service()
        await self.begin(service)
        supervisor = Supervisor(on_change=self._told, first_pause_s=0.01)
        supervisor.keep("measuring", service.loop.run)
        try:
            yield service
        finally:
            await supervisor.stop()
            service.stop()

    async def begin(self, service: EvaluatorService) -> None:
        """What a process does first."""
        await service.start()

    async def _told(self, name: str, alive: bool) -> None:
        self.exporter.task(name, alive=alive)


async def ended(service: EvaluatorService, evaluation_id: str):
    async with asyncio.timeout(10):
        async for evaluation in service.watch(evaluation_id):
            last = evaluation
    return last


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # any condition, of threads too
            await asyncio.sleep(0.005)
