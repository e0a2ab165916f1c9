"""Signs of work: they come from work alone, from every rank, and from long calls that compute."""

import threading
import time
from collections.abc import Callable

from services.worker.preparation.computing import BUSY_SHARE, ComputingWatch, family_cpu_s
from services.worker.reporting.heartbeat import BeatReceiver, BeatSender, beating


class FakeCounters:
    """A process group's store."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.lock = threading.Lock()
        self.gone = False

    def add(self, key: str, amount: int) -> int:
        with self.lock:
            if self.gone:
                raise RuntimeError("Broken pipe")
            self.values[key] = self.values.get(key, 0) + amount
            return self.values[key]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_other_ranks_do_beats_here_and_nothing_beats_by_itself() -> None:
    counters, beats, left, told = FakeCounters(), [], [], threading.Event()
    receiver = BeatReceiver(counters, beat=lambda: beats.append(None), leave=lambda: left.append(None), every_s=0.01)
    sender = BeatSender(counters, told=told.is_set, every_s=0.01)
    try:
        time.sleep(0.1)
        assert (beats, left) == ([], [])
        for _ in range(1000):
            sender.beat()
        until(lambda: len(beats) >= 1)
        settled = counters.values["retain/beats"]
        assert settled == 1000
        time.sleep(0.1)
        before = len(beats)
        time.sleep(0.1)
        assert len(beats) == before
        told.set()
        until(lambda: bool(left))
    finally:
        sender.close()
        receiver.close()


def test_a_store_that_is_gone_ends_the_relay_quietly() -> None:
    counters = FakeCounters()
    receiver = BeatReceiver(counters, beat=lambda: None, leave=lambda: None, every_s=0.01)
    counters.gone = True
    receiver.close()
    assert not receiver._thread._thread.is_alive()


def test_items_beat_once_dealt_with() -> None:
    beats: list[str] = []
    for item in beating("abc", lambda: beats.append("beat")):
        assert len(beats) == "abc".index(item)
    assert len(beats) == 3


class Cpu:
    """CPU seconds, as a test says."""

    def __init__(self) -> None:
        self.spent_s, self.asked = 0.0, 0
        self.grows_by_s = 0.0

    def __call__(self) -> float:
        self.asked += 1
        self.spent_s += self.grows_by_s
        return self.spent_s


def test_computing_is_a_sign_of_work_and_waiting_is_not() -> None:
    beats: list[None] = []
    cpu = Cpu()
    watch = ComputingWatch(lambda: beats.append(None), look_s=0.01, cpu_s=cpu).start()
    try:
        until(lambda: cpu.asked > 10)
        assert beats == []
        cpu.grows_by_s = 10 * BUSY_SHARE
        until(lambda: len(beats) > 3)
        cpu.grows_by_s = 0.0
        asked = cpu.asked
        until(lambda: cpu.asked > asked + 2)
        still = len(beats)
        until(lambda: cpu.asked > asked + 20)
        assert len(beats) == still
    finally:
        watch.stop()


def test_a_loop_without_an_end_is_no_work_for_ever() -> None:
    cpu = Cpu()
    cpu.grows_by_s = 100.0
    watch = ComputingWatch(lambda: None, look_s=0.01, limit_s=0.2, cpu_s=cpu).start()
    watch._thread.join(timeout=10)
    assert not watch._thread.is_alive()


def test_this_process_computes() -> None:
    before, deadline = family_cpu_s(), time.monotonic() + 30
    while family_cpu_s() - before < 0.2:
        assert time.monotonic() < deadline
        sum(range(100_000))
