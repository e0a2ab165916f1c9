"""How tasks are ended: cancelled until they are done, with a limit, so that nobody waits for one that does not hear."""

import asyncio
from collections.abc import Iterable
from typing import Any

from services.common.logging import get_logger

ASK_EVERY_S = 1.0
LIMIT_S = 15.0


async def end(tasks: Iterable[asyncio.Task[Any]], *, limit_s: float = LIMIT_S) -> None:
    """Cancel tasks and wait for their ends, whatever these are. One cancellation may be lost in code of others (a
    library's wait that ends at the same moment), so it is said again."""
    left = {task for task in tasks if not task.done()}
    loop = asyncio.get_running_loop()
    until_s = loop.time() + limit_s
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=min(ASK_EVERY_S, max(0.0, until_s - loop.time())))
        for task in done:
            if not task.cancelled() and task.exception() is not None:
                get_logger().warning("a task ended with a fault", task=task.get_name(), error=repr(task.exception()))
        if left and loop.time() >= until_s:
            get_logger().error("tasks do not end", tasks=[task.get_name() for task in left], after_s=limit_s)
            return
