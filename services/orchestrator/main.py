"""Composition root of the orchestrator: `python -m services.orchestrator.main`. Settings: adapters/settings.py."""

import asyncio
from concurrent.futures import Executor

import grpc
import sqlalchemy as sa

from services.common.concurrency.tasks import end
from services.common.errors import RetainError, Unavailable
from services.common.grafana_annotations import GrafanaAnnotations
from services.common.grpc.server import CLIENT_OPTIONS
from services.common.identity.oidc_settings import OidcSettings
from services.common.identity.settings import IdentitySettings
from services.common.identity.tokens import FirstOf
from services.common.logging import get_logger
from services.common.process import run, serve_metrics, told_to_end
from services.common.store.minio_store import MinioStore
from services.common.store.narrow_access import NarrowAccess
from services.common.store.object_store import ObjectStore
from services.common.tls.channel import open_aio_channel
from services.common.tls.settings import TlsSettings
from services.orchestrator.adapters.database import executor, migrate, open_database
from services.orchestrator.adapters.evaluator_client import EvaluatorClient
from services.orchestrator.adapters.grafana_notifier import GrafanaNotifier
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.adapters.leadership import leadership_of
from services.orchestrator.adapters.persistence.projects import SqlProjects
from services.orchestrator.adapters.ray_jobs import RayJobs, environment, job_env
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.adapters.settings import Settings
from services.orchestrator.app import GarbageSchedule, Orchestrator, Ports
from services.orchestrator.application.leading import Leading
from services.orchestrator.application.ports import NoNotifier, Notifier
from services.orchestrator.application.reconciler import Timing
from services.orchestrator.application.sources import SourcePolicy
from services.orchestrator.domain.spec.teacher import Memory

BUCKET_AGAIN_S = 10.0


async def serve(settings: Settings, store: MinioStore) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    log = get_logger(__name__)
    stopping = told_to_end()
    asked = asyncio.create_task(stopping.wait())
    engine = open_database(settings.database)
    threads = executor(engine)
    leading = Leading(leadership_of(engine.url))
    async with open_aio_channel(settings.evaluator, options=CLIENT_OPTIONS) as evaluator:
        orchestrator = assembled(settings, store, engine, threads, evaluator)
        ready = orchestrator.server.is_serving
        metrics_server = serve_metrics(settings.metrics_bind, orchestrator.registry, ready=ready)
        bound = await orchestrator.listen()
        log.info("orchestrator listens", port=bound, metrics=metrics_server.server_address[1])
        leads = asyncio.create_task(leading.taken())
        bucket = asyncio.create_task(made(store))
        ends: set[asyncio.Task[None]] = set()
        try:
            await asyncio.wait({leads, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.is_set():
                await leads
                await asyncio.get_running_loop().run_in_executor(threads, migrate, engine)
                await orchestrator.start()
                log.info("orchestrator serves", port=bound)
                ends = {asyncio.create_task(orchestrator.broke()), asyncio.create_task(_lost(leading))}
                await asyncio.wait({asked, *ends}, return_when=asyncio.FIRST_COMPLETED)
            log.info("orchestrator ends")
        finally:
            # Who leads no more must not write any more; somebody else may have begun.
            await orchestrator.stop(settings.drain_s if stopping.is_set() else 0.0)
            leading.close()
            metrics_server.shutdown()
            await end({leads, asked, bucket, *(task for task in ends if not task.done())})
        for task in ends:
            if task.done() and not task.cancelled():
                task.result()  # a supervisor starts it again, and it continues where the database says
    engine.dispose()


def assembled(
    settings: Settings, store: MinioStore, engine: sa.Engine, threads: Executor, evaluator: grpc.aio.Channel
) -> Orchestrator:
    """The orchestrator on its real adapters; opens and starts nothing."""
    identity = IdentitySettings()
    provider = OidcSettings()
    people = provider.tokens()
    known = FirstOf([identity.known(), *([people] if people else [])])
    tls = TlsSettings().server(bind=settings.bind, internal_bind=settings.internal_bind)
    env = job_env(environment(), extra={"RETAIN_SERVER": settings.server})
    return Orchestrator(
        Ports(
            repository=SqlRepository(engine),
            executor=threads,
            launcher=RayJobs(settings.ray_address, env=env, python=settings.worker_python),
            evaluator=EvaluatorClient(evaluator, token=identity.service),
            store=store,
            identity=SqlIdentity(engine),
            projects=SqlProjects(engine),
            tokens=known,
            login=provider.login,
            notifier=notifier(),
            issue_keys=NarrowAccess.from_env().issue,
        ),
        bind=settings.bind,
        access=identity.access(known, bind=settings.bind) if identity.no_access_control else None,
        tls=tls,
        slots=settings.worker_slots,
        memory=Memory(slot_bytes=settings.slot_memory_bytes, gpu_bytes=settings.gpu_memory_bytes),
        join_code_s=settings.join_code_s,
        timing=Timing(
            job_poll_s=settings.job_poll_s,
            stall_timeout_s=settings.stall_timeout_s,
            start_timeout_s=settings.start_timeout_s,
            max_restarts=settings.max_job_restarts,
        ),
        garbage=GarbageSchedule(every_s=settings.garbage_every_s, older_than_s=settings.garbage_older_than_s)
        if settings.garbage_every_s
        else None,
        sources=SourcePolicy.parse(
            settings.sources,
            store_uri=f"s3://{store.bucket}",
            data_root=settings.data_root,
            is_loopback=settings.is_loopback,
        ),
        gpus=settings.worker_gpus,
        rate=settings.rate,
    )


async def made(store: ObjectStore, *, again_s: float = BUCKET_AGAIN_S) -> None:
    """Makes the bucket where there is none. A store that is away is asked again; the service begins without it."""
    log = get_logger(__name__)
    while True:
        try:
            await asyncio.to_thread(store.ensure_bucket)
        except Unavailable as error:
            log.warning("the bucket waits for its store", error=error.message, again_in_s=again_s)
            await asyncio.sleep(again_s)
        except RetainError as error:
            log.error("the bucket cannot be looked at", reason=error.reason, error=error.message)
            return
        else:
            return


async def _lost(leading: Leading) -> None:
    await leading.lost()
    raise Unavailable("this orchestrator leads no more: its lock is lost", reason="LEADERSHIP_LOST")


def notifier() -> Notifier:
    """Grafana, when the environment names one."""
    annotations = GrafanaAnnotations.from_env()
    return NoNotifier() if annotations is None else GrafanaNotifier(annotations)


def main() -> None:
    """Entry point."""
    run("orchestrator", lambda store: serve(Settings(), store))


if __name__ == "__main__":
    main()
