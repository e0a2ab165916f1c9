"""Composition root of the evaluator: `python -m services.evaluator.main`. Settings: adapters/settings.py."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass

import grpc
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server

from retain.evaluator.v1 import service_pb2_grpc
from services.common.grpc_server import CLIENT_OPTIONS, GrpcServer
from services.common.logging import configure_logging, get_logger
from services.common.metrics import EvaluatorMetrics
from services.common.minio_store import MinioStore
from services.common.object_store import ObjectStore
from services.evaluator.adapters.disk_cache import DiskCache
from services.evaluator.adapters.exporter import PrometheusExporter
from services.evaluator.adapters.kept import StoredEvaluations, StoredHistory, StoredResults
from services.evaluator.adapters.lazy_torch import LazyTorch
from services.evaluator.adapters.run_states import OrchestratorRunStates
from services.evaluator.adapters.settings import Settings
from services.evaluator.adapters.statistics import Bootstrap
from services.evaluator.application.answering import Answering
from services.evaluator.application.sampling import Sampling
from services.evaluator.application.service import EvaluatorService
from services.evaluator.application.upkeep import Upkeep
from services.evaluator.application.writing import Writing
from services.evaluator.transport.servicer import EvaluatorServicer

STORE_PATIENCE_S = 20.0  # the service itself tries again, and a caller should not wait for minutes
SERVICE_NAME = "retain.evaluator.v1.EvaluatorService"


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """The assembled service."""

    service: EvaluatorService
    sampling: Sampling
    upkeep: Upkeep
    server: GrpcServer
    registry: CollectorRegistry


def build(settings: Settings, store: ObjectStore, orchestrator: grpc.Channel) -> Evaluator:
    """Puts the parts together; opens and starts nothing."""
    registry = CollectorRegistry()
    exporter = PrometheusExporter(EvaluatorMetrics(registry))
    cache = DiskCache(settings.cache_folder, max_bytes=settings.evaluator_cache_bytes)
    torch = LazyTorch(store, cache, threads=settings.evaluator_threads, device=settings.evaluator_device)
    history = StoredHistory(store)
    service = EvaluatorService(
        answering=Answering(measurer=torch, results=StoredResults(store), statistics=Bootstrap()),
        evaluations=StoredEvaluations(store),
        history=history,
        exporter=exporter,
    )
    sampling = Sampling(torch)
    run_states = OrchestratorRunStates(orchestrator, token=settings.token)
    servicer = EvaluatorServicer(service, sampling, Writing(writer=torch, service=service))
    server = GrpcServer(
        bind=settings.evaluator_bind,
        services={SERVICE_NAME: (service_pb2_grpc.add_EvaluatorServiceServicer_to_server, servicer)},
        registry=registry,
    )
    upkeep = Upkeep(history=history, exporter=exporter, run_states=run_states)
    return Evaluator(service=service, sampling=sampling, upkeep=upkeep, server=server, registry=registry)


async def serve(settings: Settings, store: ObjectStore) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    log = get_logger(__name__)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with grpc.insecure_channel(settings.server, options=CLIENT_OPTIONS) as orchestrator:
        parts = build(settings, store, orchestrator)
        ProcessCollector(registry=parts.registry)
        PlatformCollector(registry=parts.registry)
        await asyncio.to_thread(store.ensure_bucket)
        await asyncio.to_thread(parts.upkeep.restore)  # before the first scrape: an alert must not blink
        host, _, port = settings.metrics_bind.rpartition(":")
        metrics_server, _ = start_http_server(int(port), host, registry=parts.registry)
        await parts.service.start()
        upkeep = asyncio.create_task(parts.upkeep.run_forever())
        bound = await parts.server.start()
        log.info("evaluator serves", port=bound, metrics=metrics_server.server_address[1])
        await stopping.wait()
        log.info("evaluator ends")
        await parts.server.stop(settings.drain_s)
        upkeep.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await upkeep
        await parts.service.stop()
        parts.sampling.stop()
        metrics_server.shutdown()


def main() -> None:
    """Entry point."""
    configure_logging("evaluator")
    store = MinioStore.from_env(patience_s=STORE_PATIENCE_S)
    try:
        asyncio.run(serve(Settings(), store))
    finally:
        store.close()


if __name__ == "__main__":
    main()
