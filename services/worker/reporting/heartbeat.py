"""Signs of work of the ranks that do not talk to the orchestrator, and of long loops over many small pieces.

The first rank reports the group's heartbeat. While the others load (a checkpoint of many gigabytes, on machines of
their own) it may have nothing to do itself: what they do is counted in the process group's own key-value store, and the
first rank beats when the count has grown. Nothing beats by the clock alone: a group that hangs is silent.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from model.training.process_group import ProcessGroup
from services.common.logging import get_logger

T = TypeVar("T")

BEATS, LEAVE = "retain/beats", "retain/leave"
RELAY_S = 1.0


def beating(items: Iterable[T], beat: Callable[[], None]) -> Iterator[T]:
    """The items, with a beat after each has been dealt with."""
    for item in items:
        yield item
        beat()


class Counters(Protocol):
    """What is used of torch's store: counters that all ranks see."""

    def add(self, key: str, amount: int) -> int:
        """Add, and return the new value."""
        ...


class BeatSender:
    """On every rank but the first. `beat` only counts; a thread sends what was counted, if anything was, so that a
    loop that beats a thousand times a second costs one message a second. `leave` is sent at once."""

    def __init__(self, counters: Counters, *, every_s: float = RELAY_S, told: Callable[[], bool]) -> None:
        self._counters, self._told = counters, told
        self._count = 0
        self._thread = _Ticker(self._send, every_s)
        self._sent_leave = False

    def beat(self) -> None:
        """A bit of work was done."""
        self._count += 1

    def close(self) -> None:
        """Send nothing more."""
        self._thread.close()

    def _send(self) -> None:
        count, self._count = self._count, 0
        if count:
            self._counters.add(BEATS, count)
        if self._told() and not self._sent_leave:
            self._sent_leave = True
            self._counters.add(LEAVE, 1)


class BeatReceiver:
    """On the first rank: beats when others have done something, and leaves when one of them was told to."""

    def __init__(
        self,
        counters: Counters,
        *,
        beat: Callable[[], None],
        leave: Callable[[], None],
        every_s: float = RELAY_S,
    ) -> None:
        self._counters, self._beat, self._leave = counters, beat, leave
        self._seen = 0
        self._thread = _Ticker(self._look, every_s)

    def close(self) -> None:
        """Look no more."""
        self._thread.close()

    def _look(self) -> None:
        count = self._counters.add(BEATS, 0)
        if count != self._seen:
            self._seen = count
            self._beat()
        if self._counters.add(LEAVE, 0):
            self._leave()


def counters_of(group: ProcessGroup) -> Counters | None:
    """The process group's store; None for a group of one."""
    if group.size == 1:
        return None
    from torch.distributed.distributed_c10d import _get_default_store

    store: Any = _get_default_store()
    result: Counters | None = store.clone() if hasattr(store, "clone") else store
    return result


class _Ticker:
    """Calls a function every so often, on a thread, until closed or until the group's store is gone."""

    def __init__(self, call: Callable[[], None], every_s: float) -> None:
        self._call, self._every_s = call, every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beats", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                self._call()
            except RuntimeError as error:  # the rank that keeps the store is gone, and with it the group
                get_logger(__name__).warning("the ranks' counters are gone", error=str(error))
                return
