"""A job server whose jobs are threads that run `FakeWorker`.

launcher = FakeLauncher(lambda: f"127.0.0.1:{port}", simulated, store)
"""

import threading
from collections.abc import Callable, Iterator

import grpc

from services.common.errors import Unavailable
from services.common.store.object_store import ObjectStore
from services.orchestrator.application.logs.stream import LogStream
from services.orchestrator.application.ports import JobLauncher, JobRequest, JobState, JobView
from tests.fakes.simulated_training import SimulatedTraining
from tests.fakes.worker import FakeWorker, Killed


class FakeLog(LogStream):
    """Lines of a list that may grow."""

    def __init__(self, lines: list[str], last_lines: int | None = None, follow: bool = False) -> None:
        self._lines, self._follow, self._closed = lines, follow, threading.Event()
        self._at = 0 if last_lines is None else max(0, len(lines) - last_lines)

    def __iter__(self) -> Iterator[bytes]:
        while not self._closed.is_set():
            fresh = self._lines[self._at :]
            self._at += len(fresh)
            if fresh:
                yield "".join(f"{line}\n" for line in fresh).encode()
            elif not self._follow:
                return
            self._closed.wait(0 if fresh else 0.02)

    def close(self) -> None:
        self._closed.set()


class FakeLauncher(JobLauncher):
    """Jobs are threads. `lose_reply_of_next(n)` carries out n submissions and then fails, as a lost reply does."""

    def __init__(self, server: Callable[[], str], simulated: SimulatedTraining, store: ObjectStore) -> None:
        self._server, self._simulated, self._store = server, simulated, store
        self.workers: dict[str, FakeWorker] = {}
        self.threads: dict[str, threading.Thread] = {}
        self.submissions: list[str] = []
        self.failures: dict[str, str] = {}
        self.fail_prepare: tuple[str, str] | None = None
        self._lost = 0

    def lose_reply_of_next(self, count: int) -> None:
        """Let the next submissions take effect and then fail."""
        self._lost = count

    def submit(self, request: JobRequest) -> None:
        name = request.job_id
        if name not in self.threads:
            worker = FakeWorker(
                run_id=request.run_id,
                submission=request.submission,
                join_code=request.join_code,
                server=self._server(),
                simulated=self._simulated,
                store=self._store,
                fail_prepare=self.fail_prepare,
            )
            self.workers[name] = worker
            self.submissions.append(name)
            self.threads[name] = threading.Thread(target=self._main, args=(name, worker), daemon=True)
            self.threads[name].start()
        if self._lost > 0:
            self._lost -= 1
            raise Unavailable("the reply was lost", reason="RAY_UNAVAILABLE")

    def status(self, job: str) -> JobView:
        if job not in self.threads:
            return JobView(state=JobState.NOT_FOUND, message="unknown")
        if self.threads[job].is_alive():
            return JobView(state=JobState.RUNNING)
        return JobView(state=JobState.ENDED, message=self.failures.get(job, "the job SUCCEEDED"))

    def stop(self, job: str) -> None:
        if job in self.workers:
            self.workers[job].killed.set()

    def log(self, job: str, *, last_lines: int | None = None, follow: bool = False) -> LogStream:
        return FakeLog(self.workers[job].log if job in self.workers else [], last_lines, follow)

    def close(self) -> None:
        """End every job."""
        for name in list(self.workers):
            self.stop(name)
        for thread in self.threads.values():
            thread.join(timeout=5)

    def _main(self, name: str, worker: FakeWorker) -> None:
        try:
            worker.run()
        except Killed as error:
            self.failures[name] = f"killed: {error}"
        except grpc.RpcError as error:
            self.failures[name] = f"{error.code().name}: {error.details()}"
