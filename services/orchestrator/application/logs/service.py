"""The log lines of a run's workers, of all its worker groups in order."""

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass

from retain.values.faults import mismatch
from services.common.concurrency.blocking import Blocking
from services.common.errors import InvalidInput, TooManyCalls, Unavailable, Violation
from services.common.logging import get_logger
from services.orchestrator.application.logs.stream import LogStream, lines_of
from services.orchestrator.application.ports import JobLauncher, job_id
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.application.run_store import StoredRun

POLL_S = 1.0
LIMIT_S = 60.0  # for one piece
READERS, FOLLOWERS = 4, 32
MOST_LINES, MOST_FOUND, DEFAULT_FOUND = 10_000, 10_000, 400
MOST_HELD_BYTES = 4_000_000  # of the lines that one caller asked for; what is over it is left out at the beginning
QUIET_POLLS = 2  # a group that is over has written its last words by then
MARK_BYTES = 8192  # the end of what was read, by which a broken stream is taken up again
LOOK_BACK_LINES = 5000
MOST_TRIES = 5  # to take up the log of a group that is over
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """Some text of one worker group; `line`: its number, where single lines were searched for."""

    submission: int
    text: str
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class LogQuestion:
    """What of the logs is wanted: see StreamLogsRequest. 0 and empty stand for nothing asked."""

    follow: bool = False
    last_lines: int = 0
    skip_lines: int = 0
    submission: int = 0
    containing: str = ""

    def check(self) -> None:
        """Raises InvalidInput with every fault."""
        faults = [
            Violation(field=name, description=mismatch(value, f"0 to {most:,}"))
            for name, value, most in (
                ("last_lines", self.last_lines, MOST_LINES),
                ("skip_lines", self.skip_lines, 2**31 - 1),
                ("submission", self.submission, 2**31 - 1),
            )
            if not 0 <= value <= most
        ]
        if self.follow and (self.skip_lines or self.submission or self.containing):
            faults.append(Violation(field="follow", description="goes with last_lines alone"))
        if self.skip_lines and not self.last_lines:
            faults.append(Violation(field="skip_lines", description="goes with last_lines"))
        if faults:
            raise InvalidInput(faults)


class LogService:
    """Reads logs through the job server. It keeps them as long as its head lives."""

    def __init__(self, run_store: ScopedRunStore, launcher: JobLauncher) -> None:
        self._run_store = run_store
        self._launcher = launcher
        self._calls = Blocking("ray", threads=READERS, limit_s=LIMIT_S)
        self._followers = ThreadPoolExecutor(FOLLOWERS, thread_name_prefix="log")
        self._following = 0

    async def stream(self, run_id: str, asked: LogQuestion) -> AsyncGenerator[LogPiece, None]:
        """What was printed so far, or the part that is asked for; with `follow` also what comes, until the run ends.

        A follower reads what is new and nothing twice. Raises InvalidInput, TooManyCalls, Unavailable.
        """
        asked.check()
        state = await self._run_store.get(run_id)
        if asked.follow:
            async with aclosing(self._follow(run_id, asked.last_lines)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        groups = [asked.submission] if asked.submission else list(range(1, state.submission + 1))
        if asked.containing:
            for found in await self._found(run_id, groups, asked):
                yield found
        elif asked.last_lines:
            for found in await self._last(run_id, groups, asked):
                yield found
        else:
            for group in groups:
                async with aclosing(self._whole(run_id, group)) as pieces:
                    async for piece in pieces:
                        yield piece

    def close(self) -> None:
        """Give up the threads."""
        self._calls.close()
        self._followers.shutdown(wait=False, cancel_futures=True)

    async def _whole(self, run_id: str, group: int) -> AsyncGenerator[LogPiece, None]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        stream = await self._calls(self._launcher.log, job_id(run_id, group))
        try:
            pieces = iter(stream)
            while (piece := await self._calls(next, pieces, None)) is not None:
                if text := decoder.decode(piece):
                    yield LogPiece(submission=group, text=text)
        finally:
            stream.close()

    async def _last(self, run_id: str, groups: list[int], asked: LogQuestion) -> list[LogPiece]:
        """From the newest group back, until there are so many lines."""
        found: list[LogPiece] = []
        lines, skip = asked.last_lines, asked.skip_lines
        for group in reversed(groups):
            kept, total = await self._calls(self._part, job_id(run_id, group), lines, skip)
            if kept:
                found.append(LogPiece(submission=group, text=b"".join(kept).decode("utf-8", "replace")))
            lines, skip = lines - len(kept), max(0, skip - total)
            if lines <= 0:
                break
        return found[::-1]

    def _part(self, job: str, lines: int, skip: int) -> tuple[list[bytes], int]:
        """(the last `lines` before the last `skip` of a job, the lines that were looked at). Blocking."""
        stream = self._launcher.log(job, last_lines=lines + skip)
        kept: deque[bytes] = deque()
        total = held = 0  # complete lines, bytes
        line = b"\n"
        try:
            for line in lines_of(stream):
                if total < lines:
                    kept.append(line)
                    held += len(line)
                while held > MOST_HELD_BYTES:
                    held -= len(kept.popleft())
                total += line.endswith(b"\n")
        finally:
            stream.close()
        total += not line.endswith(b"\n")
        wanted = max(0, total - skip)
        for _ in range(min(len(kept), max(0, min(total, lines) - wanted))):
            kept.pop()
        return list(kept), total

    async def _found(self, run_id: str, groups: list[int], asked: LogQuestion) -> list[LogPiece]:
        """The last lines with the words, of all groups. Each group passes once, and what is found alone is held."""
        most = min(asked.last_lines or DEFAULT_FOUND, MOST_FOUND)
        found: deque[LogPiece] = deque(maxlen=most)
        wanted = asked.containing.casefold()
        for group in groups:
            number = 0
            stream = await self._calls(self._launcher.log, job_id(run_id, group))
            lines = lines_of(stream)
            try:
                while batch := await self._calls(_searched, lines, wanted, number):
                    number, matches = batch
                    found.extend(LogPiece(submission=group, text=text, line=line) for line, text in matches)
            finally:
                stream.close()
        return list(found)

    async def _follow(self, run_id: str, last_lines: int) -> AsyncGenerator[LogPiece, None]:
        if self._following >= FOLLOWERS:
            raise TooManyCalls(f"{self._following} readers follow logs; try again when one has left")
        self._following += 1
        try:
            done, lines = 0, last_lines or None
            while True:
                state = await self._run_store.get(run_id)
                if lines is not None and done == 0:
                    done = max(0, state.submission - 1)
                for group in range(done + 1, state.submission + 1):
                    async with aclosing(self._followed(run_id, group, lines)) as pieces:
                        async for piece in pieces:
                            yield piece
                    done, lines = group, None
                if _is_over(state):
                    return
                await asyncio.sleep(POLL_S)
        finally:
            self._following -= 1

    async def _followed(self, run_id: str, group: int, lines: int | None) -> AsyncGenerator[LogPiece, None]:
        """One group until it is over; a stream that breaks is taken up behind what was read."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        mark, tries = b"", 0
        while tries < MOST_TRIES:
            reader = _Reader(self._launcher, job_id(run_id, group), self._followers)
            try:
                async with aclosing(reader.pieces(LOOK_BACK_LINES if mark else lines, mark)) as pieces:
                    async for piece in pieces:
                        if piece:
                            mark = (mark + piece)[-MARK_BYTES:]
                            yield LogPiece(submission=group, text=decoder.decode(piece))
                        elif reader.quiet >= QUIET_POLLS and await self._group_is_over(run_id, group):
                            return
            except Unavailable as error:
                log.debug("a log is asked for again in a moment", run=run_id, error=error.message)
            if await self._group_is_over(run_id, group):
                if not mark:
                    return
                tries += 1  # its head is gone, and may come back
            await asyncio.sleep(POLL_S)

    async def _group_is_over(self, run_id: str, group: int) -> bool:
        state = await self._run_store.get(run_id)
        return state.submission > group or _is_over(state)


class _Reader:
    """Follows one job in a thread; between pieces it says each POLL_S that nothing came, by an empty piece."""

    def __init__(self, launcher: JobLauncher, job: str, threads: ThreadPoolExecutor) -> None:
        self._launcher, self._job, self._threads = launcher, job, threads
        self.quiet = 0

    async def pieces(self, lines: int | None, mark: bytes) -> AsyncGenerator[bytes, None]:
        """From the last `lines` on; with a mark, what stands behind it there."""
        loop = asyncio.get_running_loop()
        stream: LogStream = await loop.run_in_executor(
            self._threads, lambda: self._launcher.log(self._job, last_lines=lines, follow=True)
        )
        iterator, held = iter(stream), b""
        waiting = loop.run_in_executor(self._threads, next, iterator, None)
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=POLL_S)
                piece = waiting.result() if done else b""
                if done and piece:
                    self.quiet = 0
                    waiting = loop.run_in_executor(self._threads, next, iterator, None)
                    held += piece
                    if mark and len(held) < MOST_HELD_BYTES:
                        continue  # until the whole end has come
                if mark:
                    held, mark = held[held.rfind(mark) + len(mark) :] if mark in held else held, b""
                if held:
                    yield held
                    held = b""
                if piece is None:
                    return
                if not done:
                    self.quiet += 1
                    yield b""
        finally:
            stream.close()


def _searched(lines: Iterator[bytes], wanted: str, number: int) -> tuple[int, list[tuple[int, str]]] | None:
    """The next part of a log: (lines seen so far, what was found there); None at its end. Blocking."""
    matches: list[tuple[int, str]] = []
    seen = 0
    for line in lines:
        number += 1
        seen += 1
        text = line.decode("utf-8", "replace")
        if wanted in text.casefold():
            matches.append((number, text.rstrip("\n")))
        if seen >= MOST_LINES:
            return number, matches
    return (number, matches) if seen else None


def _is_over(state: StoredRun) -> bool:
    return state.status.ended and not state.jobs
