"""Text from a checkpoint, piece by piece, beside the measuring: one text at a time, in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from services.common.errors import InvalidInput, Violation
from services.evaluator.application.ports import Sampler
from services.evaluator.domain.question import CheckpointRef

DEFAULT_TOKENS, MOST_TOKENS = 64, 1024


class Sampling:
    """Generates for one caller at a time; a caller that goes away stops its text at the next token."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sample")

    async def sample(
        self,
        checkpoint: CheckpointRef,
        *,
        prompt: str,
        max_new_tokens: int = 0,
        temperature: float = 0.0,
        top_k: int = 0,
        seed: int = 0,
        chat: bool = False,
    ) -> AsyncIterator[str]:
        """Pieces of text. `max_new_tokens` 0 is 64, over 1024 is 1024; `top_k` 0 is all. Raises InvalidInput."""
        violations = checkpoint.violations("checkpoint")
        for field, value in (("max_new_tokens", max_new_tokens), ("temperature", temperature), ("top_k", top_k)):
            if not value >= 0:
                violations.append(Violation(field=field, description=f"came {value}; allowed is 0 or more"))
        if violations:
            raise InvalidInput(violations)
        pieces = self._sampler.sample(
            checkpoint,
            prompt=prompt,
            max_new_tokens=min(max_new_tokens or DEFAULT_TOKENS, MOST_TOKENS),
            temperature=temperature,
            top_k=top_k or None,
            seed=seed,
            chat=chat,
        )
        async for piece in self._from_thread(pieces):
            yield piece

    def stop(self) -> None:
        """Lets go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _from_thread(self, pieces: Iterator[str]) -> AsyncIterator[str]:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | None]()
        gone = threading.Event()

        def run() -> None:
            try:
                for piece in pieces:
                    if gone.is_set():
                        return
                    loop.call_soon_threadsafe(queue.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        done = loop.run_in_executor(self._thread, run)
        try:
            while (piece := await queue.get()) is not None:
                yield piece
            await done  # raises what the sampler raised
        finally:
            gone.set()
