"""A real orchestrator between faulty ports, kept alive as its supervisor would, with one user's session on it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from retain.values import Decision
from services.orchestrator.adapters.base_reader import ConfigReader
from services.orchestrator.adapters.database import connect, executor
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.adapters.persistence.projects import SqlProjects
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.app import Orchestrator, Ports
from services.orchestrator.application.ports import EvaluationProgress, EvaluationView, EvaluatorPort, Notifier
from services.orchestrator.application.reconciler import Timing
from services.orchestrator.domain.run.commands import Evaluate
from tests.fakes.evaluator import FakeEvaluator
from tests.fakes.launcher import FakeLauncher
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.simulated_training import SimulatedTraining
from tests.faults.injector import Injector
from tests.faults.session import Session
from tests.identity import KNOWN, aio_channel
from tests.ports import free_port

IDENTITY = "services.orchestrator.application.identity.IdentityRecords"
AUDIT = "services.orchestrator.application.audit.AuditRecords"  # the same object as the identity's
PORTS = "services.orchestrator.application.ports"
STORE = "services.common.store.object_store.ObjectStore"
TIMING = Timing(pass_every_s=0.1, job_poll_s=0.1, stall_timeout_s=45.0, start_timeout_s=60.0, max_restarts=5)
WITHIN_S = 100.0


class Remembering(Notifier):
    """Annotations in a list."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def annotate(self, decision: Decision) -> None:
        self.drawn.append(decision.number)


class Unhurried(FakeEvaluator):
    """Takes questions and answers them when it is asked again, as one that has to measure."""

    async def create(self, run_id: str, question: Evaluate) -> EvaluationView:
        await super().create(run_id, question)
        return EvaluationView(progress=EvaluationProgress.UNDER_WAY)


class Stage:
    """Everything around the orchestrator outlives it: database, store, job server, evaluator, as in reality."""

    def __init__(
        self,
        folder: Path,
        injector: Injector,
        *,
        evaluator: Callable[[SimulatedTraining], EvaluatorPort] = Unhurried,
        timing: Timing = TIMING,
    ) -> None:
        self.simulated, self._timing = SimulatedTraining(steps_per_s=2_000.0), timing
        self.store = FakeObjectStore()
        self.evaluator = evaluator(self.simulated)
        self.port = free_port()
        self.launcher = FakeLauncher(lambda: f"127.0.0.1:{self.port}", self.simulated, self.store)
        self.notifier = Remembering()
        self.injector = injector
        self.starts = 0
        self._orchestrator: Orchestrator | None = None
        self._database = f"sqlite:///{folder / 'retain.db'}"

    async def session(self, name: str) -> dict[str, Any]:
        """The whole session, with the orchestrator started again whenever it ends by itself."""
        return await self._with(lambda session: session.whole(name))

    async def run(self, name: str) -> dict[str, Any]:
        """One run to its end."""
        return await self._with(lambda session: session.one_run(name))

    async def _with(self, what: Callable[[Session], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        async with (
            asyncio.timeout(WITHIN_S),
            aio_channel(f"127.0.0.1:{self.port}", options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel,
        ):
            supervisor = asyncio.create_task(self._keep_alive())
            try:
                session = Session(channel, put=self.store.put_bytes, left=self._left, losses=self.simulated.losses_of)
                return await what(session)
            finally:
                supervisor.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await supervisor
                await asyncio.to_thread(self.launcher.close)

    async def _left(self, prefix: str) -> bool:
        """Whether files are there, or are still to be deleted."""
        with contextlib.suppress(Exception):  # between two starts nobody knows
            assert self._orchestrator is not None
            repository = self._orchestrator.run_store.repository
            waiting = await self._orchestrator.run_store.call(getattr(repository, "_target", repository).garbage)
            return bool(waiting) or any(key.startswith(prefix) for key in list(self.store.objects))
        return True

    async def _keep_alive(self) -> None:
        while True:
            self.starts += 1
            assert self.starts < 20, "the orchestrator does not stay up"
            with contextlib.suppress(Exception):  # its end is what a supervisor sees; why is in its log
                await self._serve()
            await asyncio.sleep(0.1)

    async def _serve(self) -> None:
        wrap = self.injector.wrap
        engine = connect(self._database)
        threads = executor(engine)
        try:
            orchestrator = self._orchestrator = Orchestrator(
                Ports(
                    repository=wrap(f"{PORTS}.Repository", SqlRepository(engine)),
                    executor=threads,
                    launcher=wrap(f"{PORTS}.JobLauncher", self.launcher),
                    evaluator=wrap(f"{PORTS}.EvaluatorPort", self.evaluator),
                    store=wrap(STORE, self.store),
                    notifier=wrap(f"{PORTS}.Notifier", self.notifier),
                    identity=wrap(AUDIT if self.injector.port == AUDIT else IDENTITY, SqlIdentity(engine)),
                    projects=SqlProjects(engine),
                    tokens=KNOWN,
                    bases=wrap(f"{PORTS}.BaseReader", ConfigReader(self.store)),
                ),
                bind=f"127.0.0.1:{self.port}",
                slots=2,
                timing=self._timing,
                hold_s=1.0,
                evaluation_poll_s=0.02,
            )
            await orchestrator.start()
            try:
                await orchestrator.broke()
            finally:
                await orchestrator.stop(0.2)
        finally:
            threads.shutdown(wait=True)
            engine.dispose()
