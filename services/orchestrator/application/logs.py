"""The log lines of a run's workers, of all its worker groups in order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.common.concurrency.blocking import Blocking
from services.common.errors import Unavailable
from services.orchestrator.application.ports import JobLauncher, job_id
from services.orchestrator.application.projects.scope import ScopedRunStore

POLL_S = 1.0
LIMIT_S = 60.0
PIECE_CHARACTERS = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """Some text of one worker group."""

    submission: int
    text: str


class LogService:
    """Reads logs through the job server. It keeps them as long as its head lives."""

    def __init__(self, run_store: ScopedRunStore, launcher: JobLauncher) -> None:
        self._run_store = run_store
        self._launcher = launcher
        self._calls = Blocking("ray", threads=4, limit_s=LIMIT_S)

    async def stream(self, run_id: str, *, follow: bool) -> AsyncIterator[LogPiece]:
        """What was printed so far; with `follow` also what comes, until the run ends."""
        sent: dict[int, int] = {}
        while True:
            state = await self._run_store.get(run_id)
            for submission in range(1, state.submission + 1):
                text = await self._text(run_id, submission, patient=follow)
                start = sent.get(submission, 0)
                for at in range(start, len(text), PIECE_CHARACTERS):
                    yield LogPiece(submission=submission, text=text[at : at + PIECE_CHARACTERS])
                sent[submission] = max(start, len(text))
            if not follow or (state.status.ended and not state.jobs):
                return
            await asyncio.sleep(POLL_S)

    def close(self) -> None:
        """Give up the threads."""
        self._calls.close()

    async def _text(self, run_id: str, submission: int, *, patient: bool) -> str:
        try:
            return await self._calls(self._launcher.logs, job_id(run_id, submission))
        except Unavailable:
            if patient:
                return ""  # asked again in a moment
            raise
