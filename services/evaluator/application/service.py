"""The evaluator: takes questions, and tells how far their answers are. It never decides.

What is asked is kept in the store before the caller hears of it; a restart takes up what was left. Who answers is
working.py; what is shown to Prometheus afterwards is upkeep.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from services.common.errors import AlreadyExists, NotFound
from services.common.logging import get_logger
from services.evaluator.application.ports import EvaluationKey
from services.evaluator.application.working import Working
from services.evaluator.domain.answer import Evaluation, Record, State
from services.evaluator.domain.question import Question, check, check_run

DELETE_LIMIT_S = 600.0  # a run may have thousands of evaluations
T = TypeVar("T")
log = get_logger(__name__)


class EvaluatorService:
    """Application service. `start` takes up what was left; keep `working.run` going; `stop` leaves what is unfinished
    to the next start."""

    def __init__(self, working: Working) -> None:
        self.working = working
        self._evaluations, self._history, self._shown = working.evaluations, working.history, working.shown
        self._live, self._line, self._clock = working.live, working.line, working.clock
        self._calls, self._creating = working.calls, asyncio.Lock()

    async def start(self) -> None:
        """Takes up what an earlier process left unfinished."""
        for evaluation in await self._calls(self._evaluations.unfinished):
            await self._enqueue(evaluation.to(State.PENDING, now_s=self._clock()))

    async def leave(self) -> None:
        """Call before `stop` when the process ends in good order and the working task has ended."""
        await self.working.leave()

    def stop(self) -> None:
        """Ends at once; what was being measured is measured again after the next start."""
        self.working.thread.stop()
        self._calls.close()

    async def create(self, evaluation_id: str, question: Question) -> Evaluation:
        """Takes a question. The same id and question: the first one. Another question: AlreadyExists."""
        check(evaluation_id, question)
        async with self._creating:
            new = Evaluation(id=evaluation_id, question=question, create_time_s=self._clock())
            new = new.to(State.PENDING, now_s=self._clock())
            kept = self._live.get(evaluation_id)
            if kept is None:
                kept = await self._calls(self._evaluations.create, new)
                if kept.question.same_as(question) and not kept.state.ended:
                    await self._enqueue(kept)  # also after a crash between the record and its place in the line
        if not kept.question.same_as(question):
            raise AlreadyExists(
                f"evaluation {evaluation_id} asks another question; take another id or ask the same",
                metadata={"evaluation_id": evaluation_id},
            )
        return kept

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

    async def history(self, run: str, stage: str | None) -> list[Record]:
        """The measured history of a run, oldest first; empty for a run that was never measured."""
        records = await self._calls(self._history.load, run)
        return [record for record in records if stage is None or record.stage == stage]

    async def delete_run(self, run: str) -> None:
        """Forgets a run that was deleted: what waits for its turn, evaluations, history, series. Again is no error.
        Kept measurements stay: they belong to weights, not to runs."""
        check_run(run)
        async with self._creating, self.working.records:
            for evaluation in self._live.of_run(run):
                self._line.drop(evaluation.id)
                await self._live.drop(evaluation.id)
            await self._calls(self._evaluations.delete_run, run, limit_s=DELETE_LIMIT_S)
            await self._calls(self._history.delete, run)
            self.working.exporter.drop(run)
            await self._calls(self._shown.remove, run)
        log.info("the records of a run are deleted", run=run)

    async def between_measurements(self, call: Callable[..., T], *arguments: Any) -> T:
        """Runs something else that needs the models in memory, in turn with what is measured."""
        return await self.working.thread.run(call, *arguments)

    async def _enqueue(self, evaluation: Evaluation) -> None:
        self._line.put(evaluation.id)  # first: what is told of is in the line, whatever telling comes to
        await self._live.tell(evaluation)
