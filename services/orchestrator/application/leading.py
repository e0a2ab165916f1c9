"""One orchestrator leads, the others wait: two that admit runs would give the same slots away twice."""

import asyncio

from services.common.concurrency.blocking import Blocking
from services.common.errors import Unavailable
from services.common.logging import get_logger
from services.orchestrator.application.ports import Leadership

ASK_EVERY_S = 2.0
SAY_EVERY_S = 60.0
LIMIT_S = 15.0


class Leading:
    """Takes the lead when it is free, and notices when it is lost."""

    def __init__(self, leadership: Leadership, *, ask_every_s: float = ASK_EVERY_S) -> None:
        self._leadership = leadership
        self._ask_every_s = ask_every_s
        self._calls = Blocking("leadership", threads=1, limit_s=LIMIT_S)

    async def taken(self) -> None:
        """Returns once this process leads. Says now and then what it waits for."""
        loop = asyncio.get_running_loop()
        say_at_s = 0.0
        while True:
            try:
                if await self._calls(self._leadership.take):
                    return
                why = "another orchestrator leads"
            except Unavailable as error:
                why = error.message
            if loop.time() >= say_at_s:
                say_at_s = loop.time() + SAY_EVERY_S
                get_logger().warning("this orchestrator waits and serves no calls", why=why)
            await asyncio.sleep(self._ask_every_s)

    async def lost(self) -> None:
        """Returns when this process does not lead any more: it must stop at once."""
        while True:
            await asyncio.sleep(self._ask_every_s)
            try:
                if not await self._calls(self._leadership.held):
                    return
            except Unavailable as error:
                get_logger().error("nobody can tell whether this orchestrator still leads", error=error.message)
                return

    def close(self) -> None:
        """Give the lead back."""
        self._leadership.give_back()
        self._calls.close()
