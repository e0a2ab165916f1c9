"""The parent's side of a bounded child: start it, ask it, wait for it while it gets on, and say how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.child_process.frames import HEAD_BYTES, lengths, packed

PATIENCE_S = 60.0  # without a byte from a child that is waited for
_TURN_S = 0.2
_PIPE_BYTES = 1 << 20
_SEEN = ("HF_", "PYTHON", "LC_", "LANG", "SSL_", "REQUESTS_CA", "CURL_CA")
_SEEN_NAMES = {
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "RETAIN_APART_PATIENCE_S",
    "RETAIN_HUB_TRIES",
}
_SOURCES = Path(__file__).resolve().parents[2]
Waiting = Callable[[], None]


class Ended(Exception):
    """A child that ended, or was ended, before it answered. The text says how, for people."""


class Apart:
    """One child that runs a module of ours. Not for several threads at once.

    memory_bytes: of data that it may hold; patience_s: how long it may be waited for without a sign of it;
    waiting: called some times a second while it is waited for, so that the caller can show that it is alive; it may
    raise, to end the waiting.
    """

    def __init__(self, module: str, *, memory_bytes: int, patience_s: float | None = None, threads: int = 1) -> None:
        self.memory_bytes = memory_bytes
        self.patience_s = patience_s or float(os.environ.get("RETAIN_APART_PATIENCE_S") or PATIENCE_S)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        # -P: no folder here shadows a module. A session of its own: Ctrl-C is the parent's to act on.
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(memory_bytes), str(int(self.patience_s))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(threads),
            start_new_session=True,
            close_fds=True,
        )
        self._owner = os.getpid()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._in, self._out = self._child.stdin.fileno(), self._child.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        _widen(self._in)
        _widen(self._out)
        self._buffer = bytearray()
        self._frames: deque[tuple[Any, bytes]] = deque()

    def is_ready(self) -> bool:
        """Whether it can be asked: it lives, and this process has started it (not one that it was forked off from)."""
        return os.getpid() == self._owner and self._child.poll() is None

    def send(self, header: Any, blob: bytes = b"", *, waiting: Waiting | None = None) -> None:
        """Asks. Raises Ended when the child does not take the question."""
        for part in packed(header, blob):
            view = memoryview(part)
            since = time.monotonic()
            while view:
                try:
                    view = view[os.write(self._in, view) :]
                    since = time.monotonic()
                except BlockingIOError:
                    self._turn(writes=True, since=since, waiting=waiting)
                except BrokenPipeError:
                    raise self._how_it_ended() from None

    def receive(self, *, waiting: Waiting | None = None, patience_s: float | None = None) -> tuple[Any, bytes]:
        """The next answer. Raises Ended when the child ended, and when it gave no sign for `patience_s`."""
        since = time.monotonic()
        while not self._frames:
            if self._turn(writes=False, since=since, waiting=waiting, patience_s=patience_s):
                since = time.monotonic()
        return self._frames.popleft()

    def end(self) -> None:
        """Ends the child. It may be called again."""
        if os.getpid() == self._owner:
            self._child.kill()
            self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:  # nothing of ours is in its buffer
                    continue

    def _turn(self, *, writes: bool, since: float, waiting: Waiting | None, patience_s: float | None = None) -> bool:
        """Waits a moment. True when something came. Raises Ended."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if writes:
            poll.register(self._in, select.POLLOUT)
        came = False
        for descriptor, _ in poll.poll(_TURN_S * 1_000):
            came = came or (self._read() if descriptor == self._out else True)
        if waiting is not None:
            waiting()
        if not came and time.monotonic() - since > (patience_s or self.patience_s):
            self._child.kill()
            raise Ended(f"gave no sign for {patience_s or self.patience_s:g} s")
        return came

    def _read(self) -> bool:
        chunk = os.read(self._out, _PIPE_BYTES)
        if not chunk:
            raise self._how_it_ended()
        buffer = self._buffer
        buffer += chunk
        begin = 0
        while len(buffer) - begin >= HEAD_BYTES:
            header, blob = lengths(buffer[begin : begin + HEAD_BYTES])
            middle = begin + HEAD_BYTES + header
            if len(buffer) < middle + blob:
                break
            head = json.loads(buffer[begin + HEAD_BYTES : middle])
            self._frames.append((head, bytes(memoryview(buffer)[middle : middle + blob])))
            begin = middle + blob
        del buffer[:begin]
        return True

    def _how_it_ended(self) -> Ended:
        try:
            code = self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 2_000))
        last = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        said = next((line.strip() for line in reversed(last) if "panicked" in line or "memory" in line), "")
        said = said or (last[-1].strip() if last else "")
        if code == -signal.SIGXCPU:
            return Ended("used more processor time than it may without getting on")
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return Ended(f"{how}: {said[:300]}" if said else how)


def _environment(threads: int) -> dict[str, str]:
    """What a child sees of ours: no keys, no tokens but those of the hub, few threads, one heap."""
    seen = {n: v for n, v in os.environ.items() if n.upper().startswith(_SEEN) or n.upper() in _SEEN_NAMES}
    # What can be imported here can be imported there, and nothing that lies in the current folder.
    paths = [str(_SOURCES), *(path for path in sys.path if path and os.path.isabs(path))]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    one_heap = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONDONTWRITEBYTECODE": "1"}
    return {
        **seen,
        **dict.fromkeys(names, str(threads)),
        **one_heap,
        "PYTHONPATH": os.pathsep.join(paths),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
    }


def _widen(descriptor: int) -> None:
    """A pipe that holds a whole frame lets both sides work at once, where the system has such pipes."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except PermissionError:  # the user's pipes together are limited; a narrow one only costs speed
            return
