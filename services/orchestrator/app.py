"""Puts the orchestrator together from its ports; opens and starts nothing. main.py gives it the real adapters."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as checkpoint_grpc
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as orchestrator_grpc
from retain.orchestrator.v1 import project_service_pb2_grpc as project_grpc
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as stage_grpc
from retain.values import GetLoginResponse
from services.common.concurrency.tasks import end
from services.common.grpc.server import GrpcServer
from services.common.grpc.standby import StandbyInterceptor
from services.common.identity.access import Access, AccessInterceptor, Guarded
from services.common.identity.tokens import Authenticator, FirstOf
from services.common.limits import Rate
from services.common.metrics import OrchestratorMetrics
from services.common.store.object_store import ObjectStore
from services.common.store.store_keys import IssueKeys, no_keys
from services.common.tls.settings import ServerTls
from services.orchestrator.adapters.base_reader import ConfigReader
from services.orchestrator.adapters.exporter import Exporter
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.application.audit import Auditor
from services.orchestrator.application.checkpoint_service import CheckpointService
from services.orchestrator.application.collector import Collector
from services.orchestrator.application.command_executor import CommandExecutor
from services.orchestrator.application.identity import JOIN_CODE_S, IdentityService
from services.orchestrator.application.logs.service import LogService
from services.orchestrator.application.observing.run_metrics import RunMetrics
from services.orchestrator.application.observing.system_status import SystemStatusService
from services.orchestrator.application.ports import (
    BaseReader,
    EvaluatorPort,
    JobLauncher,
    NoNotifier,
    Notifier,
    Repository,
)
from services.orchestrator.application.projects.project import ProjectRecords
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.application.projects.service import ProjectService
from services.orchestrator.application.queue import Queue
from services.orchestrator.application.reconciler import Reconciler, Timing
from services.orchestrator.application.run_store import Clock, RunStore, SystemClock
from services.orchestrator.application.runs import RunService
from services.orchestrator.application.sources import SourcePolicy
from services.orchestrator.application.stage_control_service import HOLD_S, StageControlService
from services.orchestrator.application.storage.benchmarks import BenchmarkService
from services.orchestrator.application.storage.store_keys import StoreKeyService
from services.orchestrator.application.watchdog import Watchdog
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory
from services.orchestrator.transport.audit_interceptor import AuditInterceptor
from services.orchestrator.transport.checkpoint_servicer import CheckpointServicer
from services.orchestrator.transport.identity_servicer import IdentityServicer
from services.orchestrator.transport.orchestrator_servicer import OrchestratorServicer
from services.orchestrator.transport.project_servicer import ProjectServicer
from services.orchestrator.transport.stage_servicer import StageControlServicer

SWEEP_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What is outside of this service, as it needs it."""

    repository: Repository
    executor: Executor
    launcher: JobLauncher
    evaluator: EvaluatorPort
    store: ObjectStore
    identity: SqlIdentity
    projects: ProjectRecords
    tokens: Authenticator  # of those who are known from the start, or by an identity provider
    login: GetLoginResponse = field(default_factory=GetLoginResponse)
    issue_keys: IssueKeys = no_keys  # narrower ones than the store's own
    notifier: Notifier = field(default_factory=NoNotifier)
    clock: Clock = field(default_factory=SystemClock)
    bases: BaseReader | None = None  # None reads config files from the store and from folders that this machine sees


@dataclass(frozen=True, kw_only=True)
class GarbageSchedule:
    """How often garbage is collected, and how old it must be, in seconds."""

    every_s: float
    older_than_s: float


class Orchestrator:
    """The assembled service: `start`, then `stop`."""

    def __init__(
        self,
        ports: Ports,
        *,
        bind: str,
        slots: int,
        memory: Memory = UNKNOWN_MEMORY,
        timing: Timing,
        hold_s: float = HOLD_S,
        evaluation_poll_s: float = 0.25,
        garbage: GarbageSchedule | None = None,
        sources: SourcePolicy | None = None,
        gpus: int | None = None,
        rate: Rate | None = None,
        join_code_s: float = JOIN_CODE_S,
        access: Access | None = None,  # None asks everybody for a token
        tls: ServerTls | None = None,  # None speaks plain text
    ) -> None:
        self.registry = CollectorRegistry()
        self.run_store = RunStore(ports.repository, ports.executor, ports.clock)
        self.queue = Queue(slots, ports.clock)
        self.exporter = Exporter(OrchestratorMetrics(self.registry), ports.clock)
        self.watchdog = Watchdog(ports.clock)
        self.auditor = Auditor(self.run_store, ports.identity)
        scoped = ScopedRunStore(self.run_store)  # what the use cases of people have, and nothing else
        self.projects = ProjectService(self.run_store, ports.projects, self.queue)
        self.identity = IdentityService(self.run_store, ports.identity, self.auditor, join_code_s=join_code_s)
        executor = CommandExecutor(
            self.run_store,
            issue_code=self.identity.issue_code,
            launcher=ports.launcher,
            evaluator=ports.evaluator,
            store=ports.store,
            notifier=ports.notifier,
            evaluation_poll_s=evaluation_poll_s,
            max_restarts=timing.max_restarts,
        )
        self.reconciler = Reconciler(self.run_store, self.queue, executor, self.watchdog, timing)
        self.stages = StageControlService(
            self.run_store, self.watchdog, hold_s=hold_s, on_upload=self.exporter.uploaded
        )
        self.system = SystemStatusService(
            self.queue, ports.clock, launcher=ports.launcher, evaluator=ports.evaluator, store=ports.store
        )
        for observer in (self.queue, self.exporter, self.stages, self.reconciler, self.system):
            self.run_store.subscribe(observer)
        self.runs = RunService(
            scoped,
            self.queue,
            ports.bases or ConfigReader(ports.store),
            self.projects,
            store_uri=f"s3://{ports.store.bucket}",
            memory=memory,
            sources=sources,
            gpus=gpus,
            on_delete=self.exporter.deleted,
        )
        keys = StoreKeyService(self.run_store, ports.store.bucket, ports.issue_keys)
        checkpoints = CheckpointService(scoped, ports.store, self.projects)
        logs = LogService(scoped, ports.launcher)
        benchmarks = BenchmarkService(scoped, ports.store)
        self.collector = Collector(self.run_store, ports.store, ports.evaluator, self.exporter)
        self._garbage = garbage
        self._closing = (executor, self.runs, checkpoints, benchmarks, logs, self.collector, keys, self.system)
        package = "retain.orchestrator.v1"
        self._standby = StandbyInterceptor("this orchestrator waits: another one leads, or it is still starting")
        self.server = GrpcServer(
            bind=bind,
            services={
                f"{package}.OrchestratorService": (
                    orchestrator_grpc.add_OrchestratorServiceServicer_to_server,
                    OrchestratorServicer(self.runs, checkpoints, logs, RunMetrics(scoped), self.system),
                ),
                f"{package}.StageControlService": (
                    stage_grpc.add_StageControlServiceServicer_to_server,
                    StageControlServicer(self.stages, keys),
                ),
                f"{package}.CheckpointService": (
                    checkpoint_grpc.add_CheckpointServiceServicer_to_server,
                    CheckpointServicer(checkpoints, self.collector, self.projects, benchmarks),
                ),
                f"{package}.IdentityService": (
                    identity_grpc.add_IdentityServiceServicer_to_server,
                    IdentityServicer(self.identity, self.auditor, self.projects, ports.login, keys),
                ),
                f"{package}.ProjectService": (
                    project_grpc.add_ProjectServiceServicer_to_server,
                    ProjectServicer(self.projects),
                ),
            },
            registry=self.registry,
            access=AccessInterceptor(
                access or Guarded(FirstOf([ports.tokens, self.identity])),
                registry=self.registry,
                certified=tls is not None and tls.is_mutual,
            ),
            tls=tls,
            interceptors=(self._standby, AuditInterceptor(self.auditor)),
            rate=rate,
        )
        self._port: int | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self) -> int:
        """Open the port: health says NOT_SERVING, and calls are refused, until `start`. Returns the port."""
        self._port = await self.server.start(serving=False)
        return self._port

    async def start(self) -> int:
        """Take over what is stored, take calls, begin to reconcile. Returns the port."""
        port = await self.listen() if self._port is None else self._port
        await self.identity.load()
        await self.projects.load()
        await self.reconciler.start()
        self._standby.open = True
        await self.server.set_serving(True)
        self._tasks = [asyncio.create_task(self.reconciler.run()), asyncio.create_task(self._sweep())]
        self._tasks.append(asyncio.create_task(self.system.run()))
        if self._garbage is not None:
            schedule = self.collector.on_schedule(self._garbage.every_s, self._garbage.older_than_s)
            self._tasks.append(asyncio.create_task(schedule))
        return port

    async def broke(self) -> None:
        """Returns or raises when work in the background has ended, which it never should before `stop`."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, grace_s: float) -> None:
        """Drain: no new calls, let those under way end, stop reconciling. Workers and their jobs continue."""
        self._standby.open = False
        await self.server.stop(grace_s)
        await end(self._tasks)
        await self.reconciler.close()
        await self.identity.close()
        for part in self._closing:
            part.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            self.exporter.sweep()
