"""The evaluator: takes requests, and tells how far they are. It never decides.

What is asked is stored before the caller hears of it; a restart takes up what was left. evaluation_loop.py
evaluates; metrics_retention.py keeps what Prometheus shows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from retain.values import Evaluation, EvaluationRequest, EvaluationState, ForgettingRecord
from services.common.errors import AlreadyExists, NotFound
from services.common.logging import get_logger
from services.evaluator.application.evaluation_loop import EvaluationLoop
from services.evaluator.application.ports import EvaluationKey
from services.evaluator.domain.request import check, check_run, same_result
from services.evaluator.domain.result import next_version

DELETE_LIMIT_S = 600.0  # a run may have thousands of evaluations
T = TypeVar("T")
log = get_logger(__name__)


class EvaluatorService:
    """Application service. `start` takes up what was left; keep `loop.run` going; `stop` leaves what is unfinished
    to the next start."""

    def __init__(self, loop: EvaluationLoop) -> None:
        self.loop = loop
        self._evaluations, self._history, self._shown = loop.evaluations, loop.history, loop.shown
        self._live, self._queue, self._clock = loop.live, loop.queue, loop.clock
        self._calls, self._creating = loop.calls, asyncio.Lock()

    async def start(self) -> None:
        """Takes up what an earlier process left unfinished."""
        for evaluation in await self._calls(self._evaluations.unfinished):
            await self._enqueue(next_version(evaluation, EvaluationState.PENDING, now_s=self._clock()))

    async def leave(self) -> None:
        """Call before `stop` when the process ends in good order and the loop has ended."""
        await self.loop.leave()

    def stop(self) -> None:
        """Ends at once; what was being measured is measured again after the next start."""
        self.loop.thread.stop()
        self._calls.close()

    async def create(self, evaluation_id: str, request: EvaluationRequest) -> Evaluation:
        """Takes a request. The same id and request: the first one. Another request: AlreadyExists."""
        check(evaluation_id, request)
        async with self._creating:
            new = Evaluation(id=evaluation_id, request=request, create_time_s=self._clock())
            new = next_version(new, EvaluationState.PENDING, now_s=self._clock())
            stored = self._live.get(evaluation_id)
            if stored is None:
                stored = await self._calls(self._evaluations.create, new)
                if same_result(stored.request, request) and not stored.state.ended:
                    await self._enqueue(stored)  # also after a crash between the record and its place in the queue
        if not same_result(stored.request, request):
            raise AlreadyExists(
                f"evaluation {evaluation_id} is of another request; take another id or send the same",
                metadata={"evaluation_id": evaluation_id},
            )
        return stored

    async def get(self, evaluation_id: str) -> Evaluation:
        """One evaluation. Raises NotFound."""
        found = self._live.get(evaluation_id) or await self._calls(self._evaluations.load, evaluation_id)
        if found is None:
            raise NotFound(f"there is no evaluation {evaluation_id}", metadata={"evaluation_id": evaluation_id})
        return found

    async def keys(self, run: str | None) -> list[EvaluationKey]:
        """Every evaluation (of a run), newest first."""
        keys = await self._calls(self._evaluations.keys, run)
        return sorted(keys, key=lambda key: (key.created_ms, key.id), reverse=True)

    async def found(self, keys: list[EvaluationKey]) -> list[Evaluation]:
        """The evaluations of these keys that are still there: others were deleted, or cannot be read."""
        found = []
        for key in keys:
            try:
                found.append(await self.get(key.id))
            except NotFound:
                log.debug("a listed evaluation is not there", evaluation=key.id)
        return found

    async def watch(self, evaluation_id: str, sequence: int = 0) -> AsyncIterator[Evaluation]:
        """A snapshot unless the caller has it already, then every change, until the evaluation ends. Raises NotFound,
        also when its run is deleted meanwhile."""
        while True:
            current = await self.get(evaluation_id)
            if current.sequence > sequence:
                yield current
                sequence = current.sequence
            if current.state.ended:
                return
            await self._live.news(evaluation_id, sequence)

    async def history(self, run: str, stage: str | None) -> list[ForgettingRecord]:
        """The measured history of a run, oldest first; empty for a run that was never measured."""
        rows = await self._calls(self._history.load, run)
        return [row.record for row in rows if stage is None or row.record.stage == stage]

    async def delete_run(self, run: str) -> None:
        """Forgets a run that was deleted: what waits for its turn, evaluations, history, series. Again is no error.
        Kept measurements stay: they belong to weights, not to runs."""
        check_run(run)
        async with self._creating, self.loop.records:
            for evaluation in self._live.of_run(run):
                self._queue.drop(evaluation.id)
                await self._live.drop(evaluation.id)
            await self._calls(self._evaluations.delete_run, run, limit_s=DELETE_LIMIT_S)
            await self._calls(self._history.delete, run)
            self.loop.exporter.drop(run)
            await self._calls(self._shown.remove, run)
        log.info("the records of a run are deleted", run=run)

    async def between_measurements(self, call: Callable[..., T], *arguments: Any) -> T:
        """Runs something else that needs the models in memory, in turn with what is measured."""
        return await self.loop.thread.run(call, *arguments)

    async def _enqueue(self, evaluation: Evaluation) -> None:
        self._queue.put(evaluation.id)  # first: what is told of is in the queue, whatever telling comes to
        await self._live.tell(evaluation)
