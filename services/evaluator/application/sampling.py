"""Text from a checkpoint, piece by piece, beside the measuring: one text at a time, in a thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from retain.values import SampleTextRequest, SampleTextResponse
from retain.values.faults import mismatch
from services.common.concurrency.heart import beat
from services.common.errors import InvalidInput, Violation
from services.common.logging import get_logger
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.ports import Sampler
from services.evaluator.domain.request import checkpoint_faults

log = get_logger(__name__)
DEFAULT_TOKENS, MOST_TOKENS = 64, 1024
ROLES = ("system", "user", "assistant")


class Sampling:
    """Generates for one caller at a time; a caller that goes away stops its text at the next token."""

    def __init__(self, sampler: Sampler, thread: MeasuringThread) -> None:
        self._sampler, self._thread = sampler, thread

    async def sample(self, order: SampleTextRequest) -> AsyncIterator[SampleTextResponse]:
        """The numbers of the prompt, then pieces of text. `max_new_tokens` 0 is 64, over 1024 is 1024; `top_k` 0 is
        all. Raises InvalidInput."""
        violations = checkpoint_faults(order.checkpoint, "checkpoint")
        for field in ("max_new_tokens", "temperature", "top_k"):
            if not getattr(order, field) >= 0:
                description = mismatch(getattr(order, field), "0 or more")
                violations.append(Violation(field=field, description=description))
        violations += _turn_faults(order)
        if violations:
            raise InvalidInput(violations)
        tokens = min(order.max_new_tokens or DEFAULT_TOKENS, MOST_TOKENS)
        pieces = self._sampler.sample(replace(order, max_new_tokens=tokens))
        async for piece in self._from_thread(pieces):
            yield piece

    def stop(self) -> None:
        """Gives up what is being generated."""
        self._thread.stop()

    async def _from_thread(self, pieces: Iterator[SampleTextResponse]) -> AsyncIterator[SampleTextResponse]:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[SampleTextResponse | None]()

        def run() -> None:
            for piece in pieces:
                beat("sampling")
                loop.call_soon_threadsafe(queue.put_nowait, piece)

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.debug("a text ended with a fault", error=repr(error))  # its reader hears of it, if there is one
            queue.put_nowait(None)

        work = asyncio.create_task(self._thread.run(run))
        work.add_done_callback(ended)
        try:
            while (piece := await queue.get()) is not None:  # the end of `work`, which has a limit, ends this too
                yield piece
            await work  # raises what the sampler raised
        finally:
            work.cancel()


def _turn_faults(order: SampleTextRequest) -> list[Violation]:
    """A conversation is a template's to put together: without `chat` there is none that could."""
    if order.turns and not order.chat:
        return [Violation(field="turns", description=mismatch(f"{len(order.turns)} without chat", "none, or chat"))]
    return [
        Violation(field=f"turns[{number}].role", description=mismatch(repr(turn.role), ", ".join(ROLES)))
        for number, turn in enumerate(order.turns)
        if turn.role not in ROLES
    ]
