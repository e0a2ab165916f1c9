"""No wait without a limit: cancellations that come together with a wake-up, threads that hang, servers that trickle."""

import asyncio
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.common.concurrency.blocking import Blocking
from services.common.concurrency.tasks import end
from services.common.errors import Unavailable
from services.orchestrator.adapters.ray_jobs import RayJobs
from services.orchestrator.domain.run.events import Cancelled
from services.orchestrator.domain.run.state import Job, JobStatus
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def test_the_loop_ends_when_it_is_cancelled_together_with_a_wake_up(offline: Offline) -> None:
    """The wait for the wake-up is over, the loop has not been told yet, and the cancellation comes in between."""
    for pauses in range(4):
        task = asyncio.create_task(offline.app.reconciler.run())
        await asyncio.sleep(0.05)
        offline.app.reconciler._wake.set()
        for _ in range(pauses):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert task in done, f"after {pauses} turns of the event loop"
        assert task.cancelled()


async def test_whoever_waits_for_a_change_hears_a_cancellation_that_comes_with_it(offline: Offline) -> None:
    state = await offline.app.runs.create(spec(), "", digest="d")
    for pauses in range(4):
        waiting = asyncio.create_task(offline.app.run_store.wait_for_change(state.id, state.sequence, 30.0))
        await asyncio.sleep(0.05)
        offline.app.run_store._wake(state.id)
        for _ in range(pauses):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=5)
        assert waiting.cancelled(), f"after {pauses} turns of the event loop"


async def test_tasks_that_do_not_hear_are_told_again_and_then_left() -> None:
    heard = 0

    async def deaf(times: int) -> None:
        nonlocal heard
        while heard < times:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1

    task = asyncio.create_task(deaf(2))
    await asyncio.sleep(0)
    await end([task], limit_s=10.0)
    assert (task.done(), heard) == (True, 2)
    heard = 0
    stubborn = asyncio.create_task(deaf(1000))
    await asyncio.sleep(0)
    await end([stubborn], limit_s=0.05)
    assert not stubborn.done()
    heard = 1000
    await end([stubborn])


async def test_a_call_that_hangs_is_unavailable_and_keeps_no_other_side_from_its_threads() -> None:
    release = threading.Event()
    slow, other = Blocking("ray", threads=1, limit_s=0.1), Blocking("store", threads=1, limit_s=30)
    with pytest.raises(Unavailable, match=r"ray did not answer within 0.1 s"):
        await slow(release.wait)
    with pytest.raises(Unavailable) as caught:
        await slow(lambda: "waits for the only thread")
    assert caught.value.reason == "RAY_TOO_SLOW"
    assert await other(lambda: 1) == 1
    release.set()
    assert await slow(lambda: 2, limit_s=30) == 2
    with pytest.raises(TimeoutError):
        await other(_times_out)
    slow.close()
    other.close()


def _times_out() -> None:
    raise TimeoutError("the function's own")


class _Trickle(socketserver.BaseRequestHandler):
    """Answers a byte at a time, for ever: no single read is slow."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not self.server.closing.is_set():  # type: ignore[attr-defined]
            try:
                self.request.sendall(b"x")
            except OSError:
                return
            time.sleep(0.02)


@pytest.fixture
def trickling() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Trickle) as server:
        server.closing = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.closing.set()  # type: ignore[attr-defined]
        server.shutdown()


def test_a_job_server_that_never_ends_its_answer_is_unavailable(trickling: str) -> None:
    jobs = RayJobs(trickling, env={}, limit_s=0.3)
    with pytest.raises(Unavailable, match=r"did not end its answer within 0.3 s"):
        jobs.log("retain-r1-1")


async def test_a_wall_clock_that_is_put_back_makes_no_job_live_longer(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run ends, its job may leave by itself for some seconds, and the wall clock goes back by a day."""
    state = await offline.app.runs.create(spec(), "", digest="d")
    for _ in range(2):
        await offline.passed()
    state = await offline.app.run_store.get(state.id)
    assert state.jobs == (Job(submission=1, status=JobStatus.SUBMITTED),)
    now_s = offline.clock.now_s()
    await offline.app.run_store.apply(state.id, Cancelled(now_s=now_s))
    monkeypatch.setattr(offline.clock, "now_s", lambda: now_s - 86_400)
    await offline.passed()
    offline.clock.at_s += 31.0
    await offline.passed()
    assert offline.jobs.running == set()
