"""The loop that evaluates: one request after the other, for as long as the service lives.

A store that is away and a disk that is full are no faults: the evaluation says what it waits for and is tried again
after a pause that grows, while others have their turn. Anything else fails one evaluation and nothing more. The loop
itself may die of a fault of its own; begun again it takes up what it was at, and fails an evaluation that it died of
three times. So it is with the whole process (its memory ran out, say): what five processes died of is failed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retain.values import CheckpointRef, Evaluation, EvaluationRequest, EvaluationState
from services.common.cache.disk_space import full_place, is_disk_full
from services.common.concurrency.blocking import Blocking
from services.common.errors import CheckpointDamaged, RetainError, StorageFull, Unavailable
from services.common.logging import get_logger
from services.evaluator.application.evaluate_checkpoint import EvaluateCheckpoint
from services.evaluator.application.evaluation_queue import EvaluationQueue
from services.evaluator.application.live import Live
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.ports import Evaluations, Exporter, History, ShownRuns
from services.evaluator.domain.request import checkpoints_of, in_history
from services.evaluator.domain.result import EvaluationResult, HistoryRow, base_id, next_version

RETRY_S, LONGEST_RETRY_S = 2.0, 60.0  # before a request is taken up again whose store was away
RELEASE_AFTER_S = 60.0  # idle seconds after which models are dropped from memory
MOST_DEATHS = 3  # of the loop
MOST_BEGINNINGS = 5  # by processes that did not end in good order
log = get_logger(__name__)


@dataclass(kw_only=True)
class EvaluationLoop:
    """`records` is held while a result is stored: whoever deletes a run takes it too."""

    evaluate_checkpoint: EvaluateCheckpoint
    evaluations: Evaluations
    history: History
    shown: ShownRuns
    exporter: Exporter
    live: Live
    queue: EvaluationQueue
    thread: MeasuringThread
    calls: Blocking
    clock: Callable[[], float] = time.time
    retry_s: float = RETRY_S
    longest_retry_s: float = LONGEST_RETRY_S
    release_after_s: float = RELEASE_AFTER_S
    records: asyncio.Lock = field(default_factory=asyncio.Lock)
    _at: Evaluation | None = None
    _begun: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _deaths: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Works until cancelled. May be begun again after it died."""
        if self._at is not None:
            await self._take_up(self._at)
        while True:
            evaluation_id = await self.queue.take(self.release_after_s)
            if evaluation_id is None:
                await self.thread.run(self.evaluate_checkpoint.measurer.release)
            elif (evaluation := self.live.get(evaluation_id)) is not None:
                self._at = evaluation
                await self._evaluate(evaluation)
                self._at = None

    async def _take_up(self, evaluation: Evaluation) -> None:
        """What the loop died of must neither stay RUNNING nor kill it for ever."""
        deaths = self._deaths[evaluation.id] = self._deaths.get(evaluation.id, 0) + 1
        now = self.live.get(evaluation.id)
        if now is not None and deaths < MOST_DEATHS:
            self.queue.put(now.id)
            await self.live.tell(next_version(now, EvaluationState.PENDING, now_s=self.clock()))
        elif now is not None:
            text = f"the evaluator's working task died of it {deaths} times; its log has the tracebacks"
            await self._end(
                next_version(now, EvaluationState.FAILED, now_s=self.clock(), error=text, error_reason="INTERNAL")
            )
        self._at = None

    async def _evaluate(self, evaluation: Evaluation) -> None:
        began_s = time.monotonic()
        running = next_version(evaluation, EvaluationState.RUNNING, now_s=self.clock())
        await self.live.tell(running)
        try:
            if await self._deadly(running):
                return
            with_base = await self._lacks_base(running.request)
            ended, result = await self._evaluated(running, with_base=with_base)
            await self._keep(ended, result)
        except Unavailable as error:
            await self._put_off(running, error)
            return
        self._tries.pop(ended.id, None)
        self._begun.discard(ended.id)
        self._deaths.pop(ended.id, None)
        self.exporter.count(succeeded=ended.state is EvaluationState.SUCCEEDED, duration_s=time.monotonic() - began_s)
        await self.live.drop(ended.id)

    async def leave(self) -> None:
        """The process ends in good order: what it had begun is not held against the evaluations."""
        for evaluation_id in self._begun:
            try:
                await self.calls(self.evaluations.leave, evaluation_id)
            except RetainError as error:
                log.warning("a beginning stays counted", evaluation=evaluation_id, error=error.message)

    async def _deadly(self, running: Evaluation) -> bool:
        """Ends an evaluation that one process after the other died of."""
        if running.id in self._begun:
            return False
        beginnings = await self.calls(self.evaluations.begin, running.id)
        self._begun.add(running.id)
        if beginnings <= MOST_BEGINNINGS:
            return False
        text = f"{beginnings - 1} processes of the evaluator ended while they measured it (is there memory enough?)"
        await self._end(
            next_version(running, EvaluationState.FAILED, now_s=self.clock(), error=text, error_reason="EVALUATOR_DIED")
        )
        self._begun.discard(running.id)
        return True

    async def _put_off(self, running: Evaluation, error: Unavailable) -> None:
        if self.live.get(running.id) is None:
            self._tries.pop(running.id, None)
            return  # its run was deleted meanwhile
        tries = self._tries[running.id] = self._tries.get(running.id, 0) + 1
        pause_s = min(self.longest_retry_s, self.retry_s * 2 ** min(tries - 1, 20))
        log.warning("evaluation waits", evaluation=running.id, waits_for=error.message, again_in_s=pause_s)
        self.queue.put(running.id, after_s=pause_s)
        await self.live.tell(
            next_version(running, EvaluationState.PENDING, now_s=self.clock(), waiting_for=error.message)
        )
        if isinstance(error, StorageFull):
            try:
                await self.thread.run(self.evaluate_checkpoint.measurer.make_room)
            except (OSError, RetainError) as fault:  # on a full disk even deleting may need room
                log.warning("no room could be made", error=repr(fault))

    async def _evaluated(self, running: Evaluation, *, with_base: bool) -> tuple[Evaluation, EvaluationResult | None]:
        """The ended evaluation. Raises Unavailable, which is no fault; anything else fails this evaluation only."""
        try:
            result = await self.thread.run(lambda: self.evaluate_checkpoint.run(running.request, with_base=with_base))
        except Unavailable:
            raise
        except Exception as error:  # a fault of one evaluation must not end the service
            if is_disk_full(error):
                raise StorageFull(f"disk full at {full_place(error, Path('the evaluator'))}") from error
            reason = error.reason if isinstance(error, RetainError) else "INTERNAL"
            log.error("evaluation failed", evaluation=running.id, reason=reason, exc_info=error)
            said = {"error": str(error) or type(error).__name__, "error_reason": reason}
            damaged = damaged_of(running.request, error)
            return next_version(running, EvaluationState.FAILED, now_s=self.clock(), damaged=damaged, **said), None
        measured: dict[str, Any] = {"results": result.results, "scores": result.scores, "probe": result.probe}
        measured["measure_seconds"] = result.measure_s
        scores = {f"{score.retention_set}/{score.use.lower()}": score.ratio for score in result.scores}
        log.info("evaluation done", evaluation=running.id, measure_s=round(result.measure_s, 3), scores=scores)
        return next_version(running, EvaluationState.SUCCEEDED, now_s=self.clock(), **measured), result

    async def _lacks_base(self, request: EvaluationRequest) -> bool:
        """Whether the history of this stage still wants its first row."""
        if request.base is None or not in_history(request):
            return False
        known = await self.calls(self.history.load, request.run_id)
        return all(row.evaluation_id != base_id(request.stage) for row in known)

    async def _keep(self, ended: Evaluation, result: EvaluationResult | None) -> None:
        """History and metrics first: what is ended in the store has been shown. Told twice, a record is stored once."""
        async with self.records:
            if self.live.get(ended.id) is None:
                return  # its run was deleted meanwhile
            if ended.state is EvaluationState.SUCCEEDED and in_history(ended.request):
                if result is not None and result.base is not None:
                    await self.calls(self.history.append, HistoryRow.of_base(ended, result.base))
                row = HistoryRow.of(ended)
                await self.calls(self.history.append, row)
                if row.exported:
                    if row.record.run_id not in self.exporter.exported_runs():
                        await self.calls(self.shown.add, row.record.run_id)
                    self.exporter.export(row.record)
            await self.calls(self.evaluations.save, ended)

    async def _end(self, ended: Evaluation) -> None:
        """Ends an evaluation without a result, and stores that as soon as the store takes it."""
        await self.live.tell(ended)
        async with self.records:
            await self.calls(self.evaluations.save, ended)
        self.exporter.count(succeeded=False, duration_s=0.0)
        await self.live.drop(ended.id)


def damaged_of(request: EvaluationRequest, error: Exception) -> CheckpointRef | None:
    """The checkpoint of the request that an error calls damaged."""
    if not isinstance(error, CheckpointDamaged):
        return None
    place = error.metadata.get("uri"), error.metadata.get("manifest_sha256")
    return next((ref for ref in checkpoints_of(request) if (ref.uri, ref.manifest_sha256) == place), None)
