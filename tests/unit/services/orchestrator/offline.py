"""An orchestrator without workers, server or pauses of its own: a real database, jobs that only have a name, a clock
that a test moves. `passed` makes one full pass of the reconcile loop and waits for what it started."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import generate_latest

from services.common.errors import Unavailable
from services.orchestrator.adapters.database import connect, executor
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.adapters.persistence.projects import SqlProjects
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.app import Orchestrator, Ports
from services.orchestrator.application import run_store as engine_module
from services.orchestrator.application.logs.stream import LogStream
from services.orchestrator.application.ports import JobLauncher, JobRequest, JobState, JobView
from services.orchestrator.application.reconciler import Timing
from tests.fakes.evaluator import FakeEvaluator
from tests.fakes.launcher import FakeLog
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.simulated_training import SimulatedTraining
from tests.identity import KNOWN


class HandClock:
    """Both clocks in the hand of a test."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_s(self) -> float:
        return 1_700_000_000.0 + self.at_s

    def monotonic_s(self) -> float:
        return self.at_s


class NamedJobs(JobLauncher):
    """Jobs that run until they are stopped and do nothing."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.submitted: list[str] = []

    def submit(self, request: JobRequest) -> None:
        self.submitted.append(request.job_id)
        self.running.add(request.job_id)

    def status(self, job: str) -> JobView:
        return JobView(state=JobState.RUNNING if job in self.running else JobState.ENDED)

    def stop(self, job: str) -> None:
        self.running.discard(job)

    def log(self, job: str, *, last_lines: int | None = None, follow: bool = False) -> LogStream:
        return FakeLog([])


class Losing:
    """Wraps a call of the repository: the next `count` take effect (or none, with `away`), and their reply is lost."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.count, self.away = 0, False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.away:
            raise Unavailable("the database is away", reason="DATABASE_UNAVAILABLE")
        result = self._real(*args, **kwargs)
        if self.count > 0:
            self.count -= 1
            raise Unavailable("the reply was lost", reason="DATABASE_UNAVAILABLE")
        return result


class Offline:
    """The orchestrator and what is around it."""

    def __init__(self, folder: Path, monkeypatch: Any, *, slots: int = 1, timing: Timing | None = None) -> None:
        monkeypatch.setattr(engine_module, "SAVES", replace(engine_module.SAVES, interval_s=0.0))
        self.database = connect(f"sqlite:///{folder / 'retain.db'}")
        self.repository: Any = SqlRepository(self.database)
        self.saves, self.gets = Losing(self.repository.save), Losing(self.repository.get)
        self.creates, self.overviews = Losing(self.repository.create), Losing(self.repository.overview)
        for name, losing in (
            ("save", self.saves), ("get", self.gets), ("create", self.creates), ("overview", self.overviews),
        ):  # fmt: skip
            monkeypatch.setattr(self.repository, name, losing)
        self.clock, self.jobs, self.store = HandClock(), NamedJobs(), FakeObjectStore()
        self.evaluator = FakeEvaluator(SimulatedTraining())
        self._threads = executor(self.database)
        self.app = Orchestrator(
            Ports(
                repository=self.repository,
                executor=self._threads,
                launcher=self.jobs,
                evaluator=self.evaluator,
                store=self.store,
                clock=self.clock,
                identity=SqlIdentity(self.database),
                projects=SqlProjects(self.database),
                tokens=KNOWN,
            ),
            bind="127.0.0.1:0",
            slots=slots,
            timing=timing or Timing(),
        )

    async def passed(self) -> None:
        """One full pass, and what it started."""
        reconciler = self.app.reconciler
        await reconciler.once()
        while tasks := list(reconciler._tasks.values()):
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def spoil(self, run_id: str, body: str = "{") -> None:
        """Let a stored run be one that nobody can read."""
        with self.database.begin() as connection:
            update = sa.text("UPDATE runs SET body = :body, version = version + 1 WHERE id = :id")
            connection.execute(update, {"body": body, "id": run_id})

    def metrics(self) -> str:
        """Everything that is exported."""
        return generate_latest(self.app.registry).decode()

    async def close(self) -> None:
        """End it."""
        await self.app.reconciler.close()
        self._threads.shutdown(wait=True)
        self.database.dispose()
