"""Blocking calls from asyncio code: threads of their own for each side that is called, and a limit for every wait.

    store = Blocking("store", threads=4, limit_s=120)
    await store(minio.stat, key)

A server that takes calls and never answers keeps the threads of its own side busy and nobody else's, and whoever waits
is told `Unavailable` after the limit. The thread itself runs until its client gives up: what it does may still take
effect, as after any lost reply.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.common.errors import Unavailable

T = TypeVar("T")


class Blocking:
    """The threads for one side. Waiting for a free thread counts towards `limit_s`, too."""

    def __init__(self, side: str, *, threads: int, limit_s: float) -> None:
        self.side, self.limit_s = side, limit_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=side)

    async def __call__(self, function: Callable[..., T], *args: Any, limit_s: float | None = None, **kwargs: Any) -> T:
        """Call on a thread. Raises Unavailable when there is no answer within the limit."""
        limit_s = self.limit_s if limit_s is None else limit_s
        done = asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))
        try:
            async with asyncio.timeout(limit_s):
                return await done
        except TimeoutError as error:
            if not done.cancelled():
                raise  # the function's own
            raise Unavailable(
                f"{self.side} did not answer within {limit_s:g} s", reason=f"{self.side.upper()}_TOO_SLOW"
            ) from error

    def close(self) -> None:
        """Take no more calls; those that wait for a thread are dropped, those under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
