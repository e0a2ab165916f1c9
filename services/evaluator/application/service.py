"""The evaluator: takes questions, answers them one after the other, and tells how far it is. It never decides.

One measuring thread, so that evaluations share neither cores nor caches and the same question gives the same bits. What
is asked is kept in the store before the caller hears of it; a restart takes up what was left. A store that is away is
no failure: the evaluation waits and is tried again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.common.errors import AlreadyExists, NotFound, RetainError, Unavailable
from services.common.logging import get_logger
from services.evaluator.application.answering import Answering
from services.evaluator.application.ports import EvaluationKey, Evaluations, Exporter, History
from services.evaluator.domain.answer import Evaluation, Record, State
from services.evaluator.domain.question import Question, check

RETRY_S = 5.0  # before a question is taken up again whose store was away
RELEASE_AFTER_S = 60.0  # idle seconds after which models are dropped from memory
T = TypeVar("T")
log = get_logger(__name__)


class EvaluatorService:
    """Application service. `start` takes up what was left; `stop` leaves what is unfinished to the next start."""

    def __init__(
        self,
        *,
        answering: Answering,
        evaluations: Evaluations,
        history: History,
        exporter: Exporter,
        clock: Callable[[], float] = time.time,
        retry_s: float = RETRY_S,
        release_after_s: float = RELEASE_AFTER_S,
    ) -> None:
        self._answering, self._evaluations = answering, evaluations
        self._history, self._exporter = history, exporter
        self._clock, self._retry_s, self._release_after_s = clock, retry_s, release_after_s
        self._live: dict[str, Evaluation] = {}  # unfinished ones; ended ones are read from the store
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._creating = asyncio.Lock()
        self._measuring = ThreadPoolExecutor(1, thread_name_prefix="measure")
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Takes up what an earlier process left unfinished, and begins to work."""
        for evaluation in await asyncio.to_thread(self._evaluations.unfinished):
            self._enqueue(evaluation.to(State.PENDING, now_s=self._clock()))
        self._spawn(self._work())

    async def stop(self) -> None:
        """Ends at once; what was being measured is measured again after the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._measuring.shutdown(wait=False, cancel_futures=True)

    async def create(self, evaluation_id: str, question: Question) -> Evaluation:
        """Takes a question. The same id and question: the first one. Another question: AlreadyExists."""
        check(evaluation_id, question)
        async with self._creating:
            new = Evaluation(id=evaluation_id, question=question, create_time_s=self._clock())
            new = new.to(State.PENDING, now_s=self._clock())
            kept = self._live.get(evaluation_id)
            if kept is None:
                kept = await asyncio.to_thread(self._evaluations.create, new)
                if kept.question == question and not kept.state.ended:
                    self._enqueue(kept)  # also after a crash between the record and its place in the queue
        if kept.question != question:
            raise AlreadyExists(
                f"evaluation {evaluation_id} asks another question; take another id or ask the same",
                metadata={"evaluation_id": evaluation_id},
            )
        return kept

    async def get(self, evaluation_id: str) -> Evaluation:
        """One evaluation. Raises NotFound."""
        found = self._live.get(evaluation_id) or await asyncio.to_thread(self._evaluations.load, evaluation_id)
        if found is None:
            raise NotFound(f"there is no evaluation {evaluation_id}", metadata={"evaluation_id": evaluation_id})
        return found

    async def keys(self, run: str | None) -> list[EvaluationKey]:
        """Every evaluation (of a run), newest first."""
        keys = await asyncio.to_thread(self._evaluations.keys, run)
        return sorted(keys, key=lambda key: (key.created_ms, key.id), reverse=True)

    async def watch(self, evaluation_id: str, sequence: int = 0) -> AsyncIterator[Evaluation]:
        """A snapshot unless the caller has it already, then every change, until the evaluation ends."""
        current = await self.get(evaluation_id)
        while True:
            if current.sequence > sequence:
                yield current
                sequence = current.sequence
            if current.state.ended:
                return
            async with self._changed:
                while not self._moved(evaluation_id, sequence):
                    await self._changed.wait()
            current = await self.get(evaluation_id)

    async def history(self, run: str, stage: str | None) -> list[Record]:
        """The measured history of a run, oldest first; empty for a run that was never measured."""
        records = await asyncio.to_thread(self._history.load, run)
        return [record for record in records if stage is None or record.stage == stage]

    async def between_measurements(self, call: Callable[..., T], *arguments: Any) -> T:
        """Runs something else that needs the models in memory, in turn with what is measured."""
        return await self._in_measuring_thread(call, *arguments)

    def _moved(self, evaluation_id: str, sequence: int) -> bool:
        live = self._live.get(evaluation_id)
        return live is None or live.sequence > sequence

    def _enqueue(self, evaluation: Evaluation) -> None:
        self._live[evaluation.id] = evaluation
        self._queue.put_nowait(evaluation.id)
        self._exporter.pending(len(self._live))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._release_after_s):  # wait_for of Python 3.11 can swallow a cancellation
                    evaluation_id = await self._queue.get()
            except TimeoutError:
                await self._in_measuring_thread(self._answering.measurer.release)
                continue
            await self._evaluate(self._live[evaluation_id])

    async def _evaluate(self, evaluation: Evaluation) -> None:
        began_s = self._clock()
        running = evaluation.to(State.RUNNING, now_s=began_s)
        await self._tell(running)
        try:
            ended = await self._answered(running)
            await self._keep(ended)
        except Exception as error:  # noqa: BLE001  # the store is away, or the answer could not be kept: try again
            log.warning("evaluation waits for the store", evaluation=evaluation.id, error=repr(error))
            await self._tell(running.to(State.PENDING, now_s=self._clock()))
            self._spawn(self._again(evaluation.id))
            return
        self._exporter.count(succeeded=ended.state is State.SUCCEEDED, duration_s=self._clock() - began_s)
        self._live.pop(ended.id, None)
        self._exporter.pending(len(self._live))
        await self._notify()

    async def _answered(self, running: Evaluation) -> Evaluation:
        """The ended evaluation. Raises Unavailable, which is no fault; anything else fails this evaluation only."""
        try:
            answer = await self._in_measuring_thread(self._answering.answer, running.question)
        except Unavailable:
            raise
        except Exception as error:  # a fault of one evaluation must not end the service
            reason = error.reason if isinstance(error, RetainError) else "INTERNAL"
            log.error("evaluation failed", evaluation=running.id, reason=reason, exc_info=error)
            text = str(error) or type(error).__name__
            return running.to(State.FAILED, now_s=self._clock(), error=text, error_reason=reason)
        measured = {"results": answer.results, "scores": answer.scores, "measure_s": answer.measure_s}
        scores = {f"{score.retention_set}/{score.use}": score.ratio for score in answer.scores}
        log.info("evaluation done", evaluation=running.id, measure_s=round(answer.measure_s, 3), scores=scores)
        return running.to(State.SUCCEEDED, now_s=self._clock(), **measured)

    async def _keep(self, ended: Evaluation) -> None:
        """History and metrics first: what is ended in the store has been shown. Told twice, a record is kept once."""
        question = ended.question
        if ended.state is State.SUCCEEDED and question.run and question.model.line is None:
            record = Record.of(ended)
            await asyncio.to_thread(self._history.append, record)
            if question.export_metrics:
                self._exporter.export(record)
        await asyncio.to_thread(self._evaluations.save, ended)

    async def _again(self, evaluation_id: str) -> None:
        await asyncio.sleep(self._retry_s)
        self._queue.put_nowait(evaluation_id)

    async def _tell(self, evaluation: Evaluation) -> None:
        self._live[evaluation.id] = evaluation
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _in_measuring_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._measuring, call, *arguments)
