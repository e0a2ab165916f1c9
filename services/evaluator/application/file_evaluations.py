"""Measures checkpoints on files that people uploaded: one after the other, in a thread of its own beside the
evaluations that runs wait for.

A question is named by what it asks: whoever asks again, a second tab or a person that comes back, follows the same
work, and what was measured once is read from the store. It goes on while nobody listens, and who looks in now and then
hears how it ended. Nothing of it is kept over a restart but results: who asks again begins it again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from retain.values import EvaluateFileRequest, EvaluationState, FileEvaluation, FileResult
from retain.values.faults import mismatch
from services.common.concurrency.blocking import Blocking
from services.common.errors import InvalidInput, TooManyCalls, Unavailable, Violation
from services.common.identity.principal import current_principal
from services.common.logging import get_logger
from services.common.store.object_store import parse_s3_uri
from services.common.store.uploaded import uploaded_file
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.ports import (
    FileMeasured,
    FileMeasurer,
    FileName,
    FileOrder,
    FileResults,
    SourceRules,
    Statistics,
)
from services.evaluator.domain.request import Model, checkpoint_faults
from services.evaluator.domain.result import Measurement

MOST_WAITING = 8  # files of one project that are measured or wait
LOOK_S = 0.25  # a follower hears of progress so often
ENDED_S, MOST_ENDED = 60.0, 64  # how a question ended is known for so long, of so many
THREADS, LIMIT_S = 2, 30.0
log = get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class _Job:
    """One question under way. The measuring thread writes the counts, followers read them."""

    project: str
    order: FileOrder
    task: "asyncio.Task[FileResult]" = field(init=False)
    running: bool = False
    done: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """How a question ended. `at_s` on the clock."""

    task: "asyncio.Task[FileResult]"
    at_s: float


@dataclass(frozen=True, kw_only=True)
class FileEvaluations:
    """`thread` measures nothing else. `clock` counts seconds."""

    rules: SourceRules
    measurer: FileMeasurer
    results: FileResults
    statistics: Statistics
    thread: MeasuringThread
    clock: Callable[[], float] = time.monotonic
    _asking: Blocking = field(init=False, default_factory=lambda: Blocking("sources", threads=THREADS, limit_s=LIMIT_S))
    _jobs: dict[tuple[object, ...], _Job] = field(init=False, default_factory=dict)
    _ended: dict[tuple[object, ...], _Ended] = field(init=False, default_factory=dict)

    async def evaluate(self, request: EvaluateFileRequest, project: str) -> AsyncIterator[FileEvaluation]:
        """How far it is, at every change; the last one has the result. `project` may use the checkpoint. Raises
        InvalidInput, TooManyCalls, and what a FileMeasurer raises."""
        order = _order(request)
        why = await self._asking(self.rules.fault_of, request.uri, project)
        if why is not None:
            raise InvalidInput.at("uri", why)
        asked = _asked(request, order)
        ended = self._told_again(asked)
        if ended is not None:
            yield _told(replace(self._heard(asked, ended), kept=True), order)
            return
        job = self._job(asked, request, order, project)
        # What is kept or refused is so in a moment: the first that is heard of it is no word of progress.
        await asyncio.wait({job.task}, timeout=LOOK_S)
        said: FileEvaluation | None = None
        while not job.task.done():
            now = self._snapshot(job)
            if now != said:
                yield (said := now)
            await asyncio.wait({job.task}, timeout=LOOK_S)
        if job.task.cancelled():
            raise Unavailable("the evaluator ends; ask again, and it is measured by the next one")
        yield _told(self._heard(asked, job.task), order)

    def stop(self) -> None:
        """Gives up what is being measured."""
        self.thread.stop()
        for job in self._jobs.values():
            job.task.cancel()
        self._asking.close()

    def _told_again(self, asked: tuple[object, ...]) -> "asyncio.Task[FileResult] | None":
        """How it ended a moment ago."""
        for name in [name for name, ended in self._ended.items() if self.clock() - ended.at_s > ENDED_S]:
            del self._ended[name]
        ended = self._ended.get(asked)
        return None if ended is None else ended.task

    def _heard(self, asked: tuple[object, ...], task: "asyncio.Task[FileResult]") -> FileResult:
        """How it ended. A fault is told once: who asks after having heard of it wants it tried again."""
        if task.exception() is not None:
            self._ended.pop(asked, None)
        return task.result()

    def _job(self, asked: tuple[object, ...], request: EvaluateFileRequest, order: FileOrder, project: str) -> _Job:
        ref = request.checkpoint
        known = self._jobs.get(asked)
        if known is not None:
            return known
        waiting = sum(job.project == project for job in self._jobs.values())
        if waiting >= MOST_WAITING:
            raise TooManyCalls(f"{waiting} files of project {project} are measured or wait; try again when one is done")
        job = _Job(project=project, order=order)
        job.task = asyncio.create_task(self._measured(Model(checkpoint=ref), job))
        self._jobs[asked] = job
        caller = current_principal()
        log.info("a file is to be measured", checkpoint=ref.uri, file=order.uri, by=caller.subject if caller else "")

        def ended(task: "asyncio.Task[FileResult]") -> None:
            del self._jobs[asked]
            if task.cancelled():
                return
            error = task.exception()
            if error is not None:
                log.warning("a file was not measured", checkpoint=ref.uri, file=order.uri, error=str(error))
            if not isinstance(error, Unavailable):  # that may be otherwise when it is asked again
                self._ended[asked] = _Ended(task=task, at_s=self.clock())
                while len(self._ended) > MOST_ENDED:
                    del self._ended[next(iter(self._ended))]

        job.task.add_done_callback(ended)
        return job

    async def _measured(self, model: Model, job: _Job) -> FileResult:
        return await self.thread.run(self._measure, model, job)

    def _measure(self, model: Model, job: _Job) -> FileResult:
        """From the store, or measured and stored. Blocking; in the thread."""
        job.running = True
        order = job.order
        name = FileName(
            weights_digest=self.measurer.identify(model),
            sha256=order.sha256,
            read_as=_read_as(order),
            context=order.context or 0,
            documents=order.documents or 0,
            method=self.measurer.file_method(),
        )
        kept = self.results.get(name)
        if kept is not None:
            return replace(kept, kept=True)

        def progress(done: int, tokens: int) -> None:
            job.done, job.tokens = done, tokens

        began_s = time.monotonic()
        found = self.measurer.measure_file(model, order, progress)
        result = self._result(order, found, time.monotonic() - began_s)
        self.results.put(name, result)
        return result

    def _result(self, order: FileOrder, found: FileMeasured, seconds: float) -> FileResult:
        measured = found.measurement
        low, high = self._interval(measured)
        return FileResult(
            file_name=order.file_name,
            sha256=order.sha256,
            documents=found.documents,
            tokens=measured.tokens,
            bytes=measured.bytes,
            nats=measured.nats,
            loss_nats=measured.loss_nats,
            perplexity=measured.perplexity,
            perplexity_low=low,
            perplexity_high=high,
            bits_per_byte=measured.bits_per_byte,
            units=len(measured.unit_nats),
            context=found.context,
            measure_seconds=seconds,
        )

    def _interval(self, measured: Measurement) -> tuple[float | None, float | None]:
        """Of the perplexity: one more than its ratio to 1, the perplexity of whoever knows every token beforehand."""
        sure = replace(measured, nats=0.0, unit_nats=(0.0,) * len(measured.unit_nats))
        found = self.statistics.interval(measured, sure)
        return (1.0 + found[0], 1.0 + found[1]) if found is not None else (None, None)

    def _snapshot(self, job: _Job) -> FileEvaluation:
        if not job.running:
            ahead = list(self._jobs.values()).index(job)
            return FileEvaluation(state=EvaluationState.PENDING, ahead=ahead)
        return FileEvaluation(state=EvaluationState.RUNNING, tokens_done=job.done, tokens=job.tokens)


def _order(request: EvaluateFileRequest) -> FileOrder:
    """Raises InvalidInput with every fault."""
    faults = checkpoint_faults(request.checkpoint, "checkpoint")
    faults += [
        Violation(field=name, description=mismatch(getattr(request, name), "0 or more"))
        for name in ("context", "documents")
        if getattr(request, name) < 0
    ]
    found = None
    if request.uri.startswith("s3://"):
        found = uploaded_file(parse_s3_uri(request.uri)[1])
    if found is None:
        expected = "the s3:// URI of a file that was uploaded (CreateUpload)"
        faults.append(Violation(field="uri", description=mismatch(repr(request.uri), expected)))
    if faults or found is None:
        raise InvalidInput(faults)
    return FileOrder(
        uri=request.uri,
        sha256=found[0],
        file_name=found[1],
        context=request.context or None,
        documents=request.documents or None,
    )


def _asked(request: EvaluateFileRequest, order: FileOrder) -> tuple[object, ...]:
    """The name of a question."""
    ref = request.checkpoint
    return ref.uri, ref.manifest_sha256, ref.weights_digest, replace(order, file_name=_read_as(order))


def _told(found: FileResult, order: FileOrder) -> FileEvaluation:
    """The last word, under the name that the file has for who asks."""
    result = replace(found, file_name=order.file_name)
    return FileEvaluation(
        state=EvaluationState.SUCCEEDED, tokens_done=result.tokens, tokens=result.tokens, result=result
    )


def _read_as(order: FileOrder) -> str:
    """What of a name decides how a file is read: its last two suffixes."""
    return "".join(PurePath(order.file_name.lower()).suffixes[-2:])
