"""Composition root of the evaluator: `python -m services.evaluator.main`. Settings: adapters/settings.py."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from retain.evaluator.v1 import service_pb2_grpc
from services.common.concurrency.blocking import Blocking
from services.common.concurrency.supervision import Supervisor
from services.common.errors import Unavailable
from services.common.grpc.server import CLIENT_OPTIONS, GrpcServer
from services.common.identity.access import AccessInterceptor
from services.common.identity.settings import IdentitySettings
from services.common.identity.tokens import FirstOf
from services.common.logging import get_logger
from services.common.metrics import EvaluatorMetrics
from services.common.process import run, serve_metrics, told_to_end
from services.common.store.object_store import ObjectStore
from services.common.tls.channel import open_channel
from services.common.tls.settings import TlsSettings
from services.evaluator.adapters.callers import AskOrchestrator
from services.evaluator.adapters.local_cache import open_cache
from services.evaluator.adapters.measuring.lazy_torch import LazyTorch
from services.evaluator.adapters.measuring.statistics import Bootstrap
from services.evaluator.adapters.metrics_exporter import PrometheusExporter
from services.evaluator.adapters.owners import AskOwners
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.adapters.persistence.file_repository import StoredFileResults
from services.evaluator.adapters.persistence.history_repository import StoredHistory, StoredShownRuns
from services.evaluator.adapters.persistence.object_store_repository import (
    StoredEvaluations,
    StoredFloors,
    StoredMeasurements,
)
from services.evaluator.adapters.persistence.probe_repository import StoredProbes
from services.evaluator.adapters.previewer import SourcePreviewer
from services.evaluator.adapters.run_states import OrchestratorRunStates
from services.evaluator.adapters.settings import Settings
from services.evaluator.adapters.source_rules import AskSourceRules
from services.evaluator.adapters.store_keys import evaluator_keys
from services.evaluator.application.ask_probe import AskProbe
from services.evaluator.application.evaluate_checkpoint import EvaluateCheckpoint
from services.evaluator.application.evaluation_loop import EvaluationLoop
from services.evaluator.application.evaluation_queue import EvaluationQueue
from services.evaluator.application.export_interpolation import ExportInterpolation
from services.evaluator.application.file_evaluations import FileEvaluations
from services.evaluator.application.live import Live
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.metrics_retention import MetricsRetention
from services.evaluator.application.previews import Previews
from services.evaluator.application.sampling import Sampling
from services.evaluator.application.scoped import ScopedEvaluator
from services.evaluator.application.service import EvaluatorService
from services.evaluator.transport.servicer import EvaluatorServicer

STORE_THREADS, STORE_LIMIT_S = 8, 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
LAST_WORDS_S = 10.0  # a thread that does not end within so long after the drain is left behind
SERVICE_NAME = "retain.evaluator.v1.EvaluatorService"
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """The assembled service."""

    service: EvaluatorService
    sampling: Sampling
    previews: Previews
    files: FileEvaluations
    metrics_retention: MetricsRetention
    exporter: PrometheusExporter
    server: GrpcServer
    registry: CollectorRegistry
    threads: tuple[MeasuringThread, ...]


def build(settings: Settings, store: ObjectStore, orchestrator: grpc.Channel, identity: IdentitySettings) -> Evaluator:
    """Puts the parts together; opens and starts nothing."""
    registry = CollectorRegistry()
    exporter = PrometheusExporter(EvaluatorMetrics(registry))
    cache = open_cache(settings.cache_folder, max_bytes=settings.evaluator_cache_bytes)
    torch = LazyTorch(store, cache, threads=settings.evaluator_threads, device=settings.evaluator_device)
    aside = Aside(store, on_unreadable=exporter.unreadable)
    evaluations, history, shown = StoredEvaluations(store, aside), StoredHistory(store, aside), StoredShownRuns(store)
    measuring, sampling_thread, files_thread = (
        MeasuringThread(name, limit_s=settings.evaluator_progress_limit_s) for name in ("measure", "sample", "file")
    )
    calls = Blocking("store", threads=STORE_THREADS, limit_s=STORE_LIMIT_S)
    loop = EvaluationLoop(
        evaluate_checkpoint=EvaluateCheckpoint(
            measurer=torch,
            results=StoredMeasurements(store, aside),
            floors=StoredFloors(store, aside),
            statistics=Bootstrap(),
            probe=AskProbe(measurer=torch, prober=torch, answers=StoredProbes(store, aside), statistics=Bootstrap()),
        ),
        evaluations=evaluations,
        history=history,
        shown=shown,
        exporter=exporter,
        live=Live(on_change=lambda count, waiting: exporter.pending(count, waiting=waiting)),
        queue=EvaluationQueue(),
        thread=measuring,
        calls=calls,
    )
    service = EvaluatorService(loop)
    sampling = Sampling(torch, sampling_thread)
    run_states = OrchestratorRunStates(orchestrator, token=identity.service)
    rules = AskSourceRules(orchestrator, token=identity.service)
    files = FileEvaluations(
        rules=rules,
        measurer=torch,
        results=StoredFileResults(store, aside),
        statistics=Bootstrap(),
        thread=files_thread,
    )
    owners = AskOwners(orchestrator, token=identity.service)
    scoped = ScopedEvaluator(service, sampling, owners, files)
    previews = Previews(rules, SourcePreviewer(store), owners)
    export = ExportInterpolation(writer=torch, service=service)
    servicer = EvaluatorServicer(service, scoped, export, previews)
    tls = TlsSettings().server(bind=settings.evaluator_bind, internal_bind=settings.evaluator_internal_bind)
    server = GrpcServer(
        bind=settings.evaluator_bind,
        tls=tls,
        services={SERVICE_NAME: (service_pb2_grpc.add_EvaluatorServiceServicer_to_server, servicer)},
        registry=registry,
        access=AccessInterceptor(
            identity.access(FirstOf([identity.known(), AskOrchestrator(orchestrator)]), bind=settings.evaluator_bind),
            registry=registry,
            certified=tls is not None and tls.is_mutual,
        ),
    )
    metrics_retention = MetricsRetention(history=history, shown=shown, exporter=exporter, run_states=run_states)
    return Evaluator(
        service=service,
        sampling=sampling,
        previews=previews,
        files=files,
        metrics_retention=metrics_retention,
        exporter=exporter,
        server=server,
        registry=registry,
        threads=(measuring, sampling_thread, files_thread),
    )


async def serve(settings: Settings, store: ObjectStore) -> bool:
    """Serves until SIGTERM or SIGINT, then drains. Returns whether every thread of its own has ended."""
    stopping = told_to_end()
    with open_channel(settings.server, options=CLIENT_OPTIONS) as orchestrator:
        parts = build(settings, store, orchestrator, IdentitySettings())
        begun = (
            await patiently("the bucket", asyncio.to_thread, store.ensure_bucket, stopping=stopping)
            # Before the first scrape: an alert must not blink.
            and await patiently(
                "the series of runs", asyncio.to_thread, parts.metrics_retention.restore, stopping=stopping
            )
            and await patiently("what was left unfinished", parts.service.start, stopping=stopping)
        )
        if not begun:
            return True
        metrics_server = serve_metrics(settings.metrics_bind, parts.registry, ready=parts.server.is_serving)
        bound = await parts.server.start()
        supervisor = supervised(parts)
        log.info("evaluator serves", port=bound, metrics=metrics_server.server_address[1])
        await stopping.wait()
        log.info("evaluator ends")
        await parts.server.stop(settings.drain_s)
        await supervisor.stop()
        await parts.service.leave()
        parts.service.stop()
        parts.sampling.stop()
        parts.previews.stop()
        parts.files.stop()
        metrics_server.shutdown()
        return all([await asyncio.to_thread(thread.ended, LAST_WORDS_S) for thread in parts.threads])


async def patiently(
    what: str, call: Callable[..., Awaitable[object]], *arguments: Any, stopping: asyncio.Event
) -> bool:
    """Does what a start needs from a store that may not be there yet: again and again, until it is done (True) or the
    process is told to end (False)."""
    pause_s = FIRST_PAUSE_S
    while not stopping.is_set():
        try:
            await call(*arguments)
        except Unavailable as error:
            log.warning("the start waits for the store", wanted=what, error=error.message, again_in_s=pause_s)
        else:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stopping.wait()
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return False


def supervised(parts: Evaluator) -> Supervisor:
    """Keeps the background tasks going; while one is dead health says NOT_SERVING and a metric says which."""

    async def on_change(name: str, alive: bool) -> None:
        parts.exporter.task(name, alive=alive)
        await parts.server.set_serving(supervisor.all_alive)

    supervisor = Supervisor(on_change=on_change)
    supervisor.keep("measuring", parts.service.loop.run)
    supervisor.keep("metrics_retention", parts.metrics_retention.run_forever)
    return supervisor


def main() -> None:
    """Entry point."""
    all_ended = run(
        "evaluator",
        lambda store: serve(Settings(), store),
        keys=lambda: evaluator_keys(Settings().server, token=IdentitySettings().service),
    )
    if not all_ended:
        # A thread that hangs would hang the end of the interpreter too, or be torn down in the middle of torch.
        log.error("a measuring thread does not end; the process ends without it")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
