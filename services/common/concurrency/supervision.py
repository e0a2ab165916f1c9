"""Keeps the background tasks of a service going: one that dies is begun again, and nobody can fail to notice.

A task that asyncio runs in the background dies in silence: its exception is kept for somebody who never asks. Here each
of them has a name; when it ends, for whatever reason, that is logged with its traceback, told to `on_change` (health,
metrics) and mended after a pause, which doubles while it keeps dying.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from retain.values.faults import mismatch
from services.common.concurrency.tasks import end
from services.common.logging import get_logger

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STEADY_S = 60.0  # what ran so long and then died is no task that cannot be begun
log = get_logger(__name__)


class Supervisor:
    """`on_change(name, alive)` is awaited at every begin and every death. Its own faults are logged and end nothing."""

    def __init__(
        self,
        *,
        on_change: Callable[[str, bool], Awaitable[None]],
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._on_change = on_change
        self._first_pause_s, self._longest_pause_s = first_pause_s, longest_pause_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._alive: dict[str, bool] = {}

    @property
    def all_alive(self) -> bool:
        """Whether every task is at work."""
        return all(self._alive.values())

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begins `work` and begins it again whenever it ends, until `stop`. Raises ValueError."""
        if name in self._tasks:
            raise ValueError(f"a supervised task: {mismatch(f'{name!r} twice', 'each name once')}")
        self._alive[name] = False
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=f"supervised-{name}")

    async def stop(self) -> None:
        """Ends all of them."""
        await end(self._tasks.values())

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause_s = self._first_pause_s
        while True:
            began_s = time.monotonic()
            await self._tell(name, alive=True)
            error: BaseException | None = None
            try:
                await work()
            except asyncio.CancelledError as cancelled:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                error = cancelled  # something inside was cancelled, not this task: a death like another
            except Exception as fault:  # noqa: BLE001  # whatever it is, the task begins again
                error = fault
            if time.monotonic() - began_s > STEADY_S:
                pause_s = self._first_pause_s
            log.error("a background task died", task=name, again_in_s=pause_s, exc_info=error)
            await self._tell(name, alive=False)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._longest_pause_s)

    async def _tell(self, name: str, *, alive: bool) -> None:
        self._alive[name] = alive
        try:
            await self._on_change(name, alive)
        except Exception as fault:  # telling must not kill what is told about
            log.error("the state of a background task could not be told", task=name, alive=alive, exc_info=fault)
