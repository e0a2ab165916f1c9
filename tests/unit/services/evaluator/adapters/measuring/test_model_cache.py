"""Models in memory: loaded once for all threads, dropped while others use them, not waited for when a loader hangs."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.concurrency.heart import Heart
from services.evaluator.adapters.measuring.model_cache import ModelCache


def test_many_threads_get_the_right_model_while_others_are_dropped():
    """Two places, six models, eight threads: nothing raises, and nobody gets another's model."""
    cache: ModelCache[list[str]] = ModelCache(2)
    begin = threading.Barrier(8)

    def hammer(thread: int) -> int:
        begin.wait(10)
        for turn in range(400):
            name = f"m{(thread * 7 + turn * 5) % 6}"
            model = cache.get(name, lambda name=name: [name])
            assert model == [name]
            if turn % 50 == thread:
                cache.clear()
        return thread

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(hammer, range(8))) == list(range(8))


def test_what_two_want_at_once_is_loaded_once():
    cache: ModelCache[object] = ModelCache(2)
    loading, resume, loads = threading.Event(), threading.Event(), []

    def load() -> object:
        loads.append(1)
        loading.set()
        assert resume.wait(10)
        return object()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "m", load)
        assert loading.wait(10)
        second = pool.submit(cache.get, "m", load)
        resume.set()
        assert first.result(10) is second.result(10)
    assert len(loads) == 1


def test_a_loader_that_fails_fails_alone():
    cache: ModelCache[str] = ModelCache(2)

    def broken() -> str:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        cache.get("m", broken)
    assert cache.get("m", lambda: "there") == "there"


def test_a_loader_that_hangs_and_was_given_up_is_waited_for_no_longer():
    cache: ModelCache[str] = ModelCache(2)
    heart, loading, released = Heart(), threading.Event(), threading.Event()

    def hang() -> str:
        loading.set()
        assert released.wait(20)
        return "late"

    def hanging_thread() -> None:
        with heart.here():
            cache.get("m", hang)

    thread = threading.Thread(target=hanging_thread)
    thread.start()
    assert loading.wait(10)
    heart.give_up()
    assert cache.get("m", lambda: "mine") == "mine"
    released.set()
    thread.join(10)
    assert not thread.is_alive()
