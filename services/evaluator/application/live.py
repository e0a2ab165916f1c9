"""The evaluations that have not ended, and who waits for news of them."""

import asyncio
from collections.abc import Callable

from retain.values import Evaluation

LOOK_AGAIN_S = 30.0  # a watcher looks again after so long even when nobody told it anything


class Live:
    """In memory; ended ones are read from the store. `on_change(count, waiting)` is called at every change."""

    def __init__(self, *, on_change: Callable[[int, int], None]) -> None:
        self._known: dict[str, Evaluation] = {}
        self._changed = asyncio.Condition()
        self._on_change = on_change

    def get(self, evaluation_id: str) -> Evaluation | None:
        return self._known.get(evaluation_id)

    def of_run(self, run: str) -> list[Evaluation]:
        """Those of a run."""
        return [evaluation for evaluation in self._known.values() if evaluation.request.run_id == run]

    async def tell(self, evaluation: Evaluation) -> None:
        """A new one, or a new version of one."""
        self._known[evaluation.id] = evaluation
        await self._notify()

    async def drop(self, evaluation_id: str) -> None:
        """It ended and is kept, or its run was deleted."""
        self._known.pop(evaluation_id, None)
        await self._notify()

    async def news(self, evaluation_id: str, sequence: int) -> None:
        """Returns when there is a later version than `sequence`, when it is live no more, or after a while."""
        try:
            async with asyncio.timeout(LOOK_AGAIN_S), self._changed:
                while not self._moved(evaluation_id, sequence):
                    await self._changed.wait()
        except TimeoutError:
            return

    def _moved(self, evaluation_id: str, sequence: int) -> bool:
        live = self._known.get(evaluation_id)
        return live is None or live.sequence > sequence

    async def _notify(self) -> None:
        self._on_change(len(self._known), sum(bool(known.waiting_for) for known in self._known.values()))
        async with self._changed:
            self._changed.notify_all()
