"""The child's side: its own bounds, and one request after another from standard input.

The first line of defence is here, in the process that reads foreign data: it limits its own memory (data, as
RLIMIT_DATA counts them, where the system does) and its processor time between two signs of progress. The second is the
parent, which waits only so long.
"""

from __future__ import annotations

import os
import queue
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from model.child_process.frames import HEAD_BYTES, lengths, packed
from model.errors import BadSource, RetainModelError, printable

SIGN_S = 0.5
_WAITING_REQUESTS = 8


class Parent:
    """What a child knows of its parent: its requests, and the way back."""

    def __init__(self) -> None:
        self.memory_bytes = int(sys.argv[1])
        self._patience_s = int(sys.argv[2])
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Whatever a library prints must not get between the frames.
        self._in, self._out = os.dup(0), os.dup(1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        self._signed_s = 0.0
        self._requests: queue.Queue[tuple[Any, bytes]] = queue.Queue(_WAITING_REQUESTS)
        bound(resource.RLIMIT_DATA, self.memory_bytes)
        bound(resource.RLIMIT_CORE, 0)
        self.got_on()
        threading.Thread(target=self._listen, name="requests", daemon=True).start()

    def requests(self) -> Iterator[tuple[Any, bytes]]:
        """One after another; the process ends when the parent's end of the pipe is closed."""
        while True:
            yield self._requests.get()

    def send(self, header: Any, blob: bytes = b"") -> None:
        """Answers."""
        for part in packed(header, blob):
            view = memoryview(part)
            while view:
                view = view[os.write(self._out, view) :]
        self.got_on()

    def got_on(self) -> None:
        """From here on there is new processor time."""
        self._signed_s = time.monotonic()
        used = resource.getrusage(resource.RUSAGE_SELF)
        bound(
            resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + 2 * self._patience_s * (os.cpu_count() or 1)
        )

    def sign(self) -> None:
        """Says that work continues, not more often than every SIGN_S."""
        if time.monotonic() - self._signed_s > SIGN_S:
            self.send({"sign": True})

    def _listen(self) -> None:
        import json

        while True:
            header, blob = lengths(self._exactly(HEAD_BYTES))
            head = json.loads(self._exactly(header))
            self._requests.put((head, self._exactly(blob)))

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            chunk = os.read(self._in, min(size, 1 << 20))
            if not chunk:
                os._exit(0)  # the parent has gone, whatever the other thread is doing
            parts.append(chunk)
            size -= len(chunk)
        return b"".join(parts)


def bound(what: int, most: int) -> None:
    """Lowers a limit of this process, as far as the system lets it."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def serve(answer: Callable[[Parent, Any, bytes], None]) -> None:
    """Answers requests until the parent goes away. Whatever is raised goes back as a fault."""
    parent = Parent()
    for header, blob in parent.requests():
        try:
            answer(parent, header, blob)
        except BaseException as error:  # noqa: BLE001 (a panic of a Rust library is no Exception)
            last = isinstance(error, MemoryError)
            parent.send({"fault": plain(error, parent.memory_bytes), "last": last})
            if last:
                os._exit(1)  # what is left of the heap is not worth having


def plain(error: BaseException, memory_bytes: int = 0) -> dict[str, str]:
    """An error as plain data."""
    if isinstance(error, RetainModelError):
        expected = error.expected if isinstance(error.expected, str) else ", ".join(map(str, _items(error.expected)))
        kind = next(base.__name__ for base in type(error).__mro__ if base.__module__ == RetainModelError.__module__)
        return {"kind": kind, "field": error.field, "got": str(error.got), "expected": expected}
    if isinstance(error, MemoryError):
        most = f"{memory_bytes >> 20:,} MiB"
        return {"kind": "BadSource", "field": "", "got": f"what takes more than {most} of memory", "expected": most}
    got = printable(f"what breaks the reader ({type(error).__name__}: {error})")
    return {"kind": "BadSource", "field": "", "got": got, "expected": "data that can be read"}


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple | set | frozenset | dict) else [value]


def raised(fault: dict[str, str], where: str) -> RetainModelError:
    """The error that a child's fault stands for; `where` is its place when the child knew none."""
    import model.errors

    kind = getattr(model.errors, fault["kind"], BadSource)
    return kind(fault["field"] or where, fault["got"], fault["expected"])
