"""The loop that answers: begun again when it dies, patient with what returns, done with what hangs."""

import asyncio
import errno
import threading

import pytest

from retain.values import EvaluationState
from services.common.concurrency.heart import GivenUp, beat
from services.common.errors import CheckpointDamaged, StorageFull, Unavailable
from services.evaluator.application.measuring_thread import MeasuringThread, NoProgress
from tests.unit.services.evaluator.builders import checkpoint, request
from tests.unit.services.evaluator.harness import Harness, ended, until


async def test_a_dead_loop_is_begun_again_and_what_it_was_at_is_not_left_running(harness: Harness):
    """The exporter raises once, in the middle of keeping an answer: the loop dies, and continues with the same one."""
    async with harness.serving() as service:
        deaths, count = [KeyError("a bug of ours")], harness.exporter.count

        def dies_once(**how) -> None:
            if deaths:
                raise deaths.pop()
            count(**how)

        harness.exporter.count = dies_once
        await service.create("e1", request())
        await service.create("e2", request("good"))
        assert (await ended(service, "e1")).state is EvaluationState.SUCCEEDED
        assert (await ended(service, "e2")).state is EvaluationState.SUCCEEDED
    assert 'retain_evaluator_task_deaths_total{task="measuring"} 1.0' in harness.metrics()
    assert 'retain_evaluator_task_up{task="measuring"} 1.0' in harness.metrics()


async def test_an_evaluation_that_kills_the_loop_every_time_fails_and_the_others_are_answered(harness: Harness):
    async with harness.serving() as service:
        append = harness.history.append

        def kills(record) -> None:
            if record.evaluation_id == "poison":
                raise RuntimeError("a bug that one request meets")
            append(record)

        harness.history.append = kills
        await service.create("poison", request())
        await service.create("e2", request("good"))
        failed = await ended(service, "poison")
        assert (failed.state, failed.error_reason) == (EvaluationState.FAILED, "INTERNAL")
        assert "died of it 3 times" in failed.error
        assert (await ended(service, "e2")).state is EvaluationState.SUCCEEDED
    assert 'retain_evaluator_task_deaths_total{task="measuring"} 3.0' in harness.metrics()


async def test_measuring_that_hangs_fails_its_evaluation_and_not_the_service(harness: Harness):
    harness.limit_s, hanging = 0.2, threading.Event()
    measure = harness.measurer.measure

    def hangs_once(model, ref):
        if not hanging.is_set():
            hanging.set()
            assert released.wait(20)
            beat()  # raises: nobody waits any more
        return measure(model, ref)

    released = threading.Event()
    harness.measurer.measure = hangs_once
    async with harness.serving() as service:
        await service.create("hangs", request())
        failed = await ended(service, "hangs")
        assert (failed.state, failed.error_reason) == (EvaluationState.FAILED, "NO_PROGRESS")
        assert "no sign of life for 0.2 s while measuring s3://retain/now on general" in failed.error
        await service.create("next", request())
        assert (await ended(service, "next")).state is EvaluationState.SUCCEEDED
        assert len(await service.history("r1", None)) == 1
        released.set()
    assert await asyncio.to_thread(harness.thread.ended, 10)
    assert len(harness.history.load("r1")) == 1, "what was given up keeps nothing"


async def test_work_that_continues_slowly_is_not_given_up():
    thread = MeasuringThread("measure", limit_s=0.4)

    def slow() -> str:
        for _ in range(12):
            threading.Event().wait(0.1)
            beat("measuring")
        return "done"

    assert await thread.run(slow) == "done"


async def test_who_goes_away_gives_the_work_up():
    thread, began, ends = MeasuringThread("measure"), threading.Event(), []

    def work() -> None:
        began.set()
        try:
            while True:
                threading.Event().wait(0.01)
                beat()
        except GivenUp:
            ends.append(True)
            raise

    task = asyncio.create_task(thread.run(work))
    await until(began.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(thread.ended, 10)
    assert ends == [True]
    assert await thread.run(lambda: "next") == "next"


async def test_a_hanging_thread_does_not_hold_its_turn():
    thread, released = MeasuringThread("measure", limit_s=0.1), threading.Event()
    with pytest.raises(NoProgress):
        await thread.run(lambda: released.wait(20))
    assert await thread.run(lambda: "next") == "next"
    released.set()
    assert await asyncio.to_thread(thread.ended, 10)


@pytest.mark.parametrize(
    "full",
    [
        StorageFull("disk full at /var/retain"),
        OSError(errno.ENOSPC, "No space left on device", "/var/retain"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "/var/retain"),
    ],
    ids=["told", "ENOSPC", "EDQUOT"],
)
async def test_a_full_disk_is_waited_for_and_said_and_the_others_have_their_turn(harness: Harness, full: Exception):
    harness.measurer.faults = [full] * 4
    harness.retry_s = 0.1
    async with harness.serving() as service:
        await service.create("e1", request())
        waiting = None
        async with asyncio.timeout(10):
            async for evaluation in service.watch("e1"):
                waiting = waiting or evaluation.waiting_for
                if waiting:
                    break
        assert waiting == "disk full at /var/retain"
        assert "retain_evaluations_waiting 1.0" in harness.metrics()
        found = await ended(service, "e1")
        assert (found.state, found.waiting_for) == (EvaluationState.SUCCEEDED, "")
        assert harness.measurer.rooms == 4
    assert "retain_evaluations_waiting 0.0" in harness.metrics()


async def test_pauses_grow_while_a_store_stays_away(harness: Harness):
    harness.measurer.faults = [Unavailable("the object store could not be reached")] * 5
    harness.retry_s = 0.01
    async with harness.serving() as service:
        queue, pauses = service.loop.queue, []
        service.loop.longest_retry_s = 0.05
        put = queue.put

        def remember(name: str, *, after_s: float = 0.0) -> None:
            pauses.append(after_s)
            put(name, after_s=after_s)

        queue.put = remember
        await service.create("e1", request())
        assert (await ended(service, "e1")).state is EvaluationState.SUCCEEDED
    assert pauses == [0.0, 0.01, 0.02, 0.04, 0.05, 0.05]


@pytest.mark.parametrize("which", ["now", "base"])
async def test_a_damaged_checkpoint_is_named_whichever_it_is(harness: Harness, which: str):
    ref = checkpoint(which)
    where = {"uri": ref.uri, "manifest_sha256": ref.manifest_sha256}
    harness.measurer.faults = [CheckpointDamaged(f"{ref.uri}: cut", metadata=where)]
    async with harness.serving() as service:
        await service.create("e1", request())
        failed = await ended(service, "e1")
        assert (failed.state, failed.error_reason, failed.damaged) == (
            EvaluationState.FAILED,
            "CHECKPOINT_DAMAGED",
            ref,
        )
        assert (await service.get("e1")).damaged == ref, "also when it is read from the store"


async def test_what_one_process_after_the_other_dies_of_fails_in_the_end(harness: Harness):
    """`serving` leaves without a word, as a process does whose memory runs out."""
    harness.measurer.gate.clear()
    for number in range(5):
        async with harness.serving() as service:
            if not number:
                await service.create("deadly", request())
            await until(lambda: service.loop.live.get("deadly").state is EvaluationState.RUNNING)
            begun = str(number + 1).encode()
            await until(lambda begun=begun: harness.store.objects["evaluator/unfinished/deadly"] == begun)
    async with harness.serving() as service:
        failed = await ended(service, "deadly")
        assert (failed.state, failed.error_reason) == (EvaluationState.FAILED, "EVALUATOR_DIED")
        assert failed.error.startswith("5 processes of the evaluator ended while they measured it")
        harness.measurer.gate.set()
        await service.create("next", request("good"))
        assert (await ended(service, "next")).state is EvaluationState.SUCCEEDED


async def test_processes_that_end_in_good_order_are_not_counted(harness: Harness):
    harness.measurer.gate.clear()
    for number in range(8):
        async with harness.serving() as service:
            if not number:
                await service.create("e1", request())
            await until(lambda: harness.store.objects["evaluator/unfinished/e1"] == b"1")
            await service.leave()
            assert harness.store.objects["evaluator/unfinished/e1"] == b"0"
    harness.measurer.gate.set()
    async with harness.serving() as service:
        assert (await ended(service, "e1")).state is EvaluationState.SUCCEEDED
