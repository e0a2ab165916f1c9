"""A simulation in which the core is driven by workers that train, an evaluator that answers, a launcher and a store:
all of them deterministic, all of them able to lose replies, break and die.

Weights are a chain of hashes: each step hashes the weights before it with the mix that it was told. So two ways of
getting to a checkpoint gave the same bits exactly if their digests are equal. Scores are a function of the weights.
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass, field

from retain.values import CheckpointRef, Decision, PrepareWork, ReleaseWork, SetRole, SetUse, StageWork, Verdict
from services.common.errors import RetainError, Stale
from services.orchestrator.adapters import codec
from services.orchestrator.application.ports import StoredRun
from services.orchestrator.application.queue import Queue
from services.orchestrator.domain.due import due
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import (
    Command,
    Evaluate,
    RecordDecision,
    StopJob,
    SubmitJob,
    WritePoint,
)
from services.orchestrator.domain.run.directives import directive_at
from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.step import Step, step
from services.orchestrator.domain.values import Measurement
from tests.scenarios.builders import BASE, prepared, result_of, run, score_of
from tests.scenarios.ledger import Ledger

SLOTS = 1
Told = tuple[str, float | None]  # reason of a failure, or the score


def trained(weights: str, mix: Mix) -> str:
    """Weights one step later."""
    said = json.dumps([weights, sorted(mix.shares.items()), mix.lr_scale])
    return hashlib.sha256(said.encode()).hexdigest()


@dataclass
class Worker:
    """One worker group's first rank. `work` None: it asks next. `unheard`: the reply to its last request was lost."""

    submission: int
    requests: int = 0
    unheard: bool = False
    work: StageWork | None = None
    weights: str = ""
    step: int = 0
    mix: Mix = field(default_factory=Mix)
    asks: bool = False


@dataclass
class Simulation:
    """Everything around one run. `worst`: the highest score that weights may give."""

    header: str
    worst: float = 0.25
    state: PipelineRun = field(init=False)
    ledger: Ledger = field(default_factory=lambda: Ledger(files={BASE.uri}))
    contents: dict[str, tuple[str, Mix]] = field(default_factory=lambda: {BASE.uri: ("base", Mix())})
    broken: set[str] = field(default_factory=set)
    answers: dict[str, Told] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    queue: Queue = field(default_factory=lambda: Queue(SLOTS))
    decisions: list[Decision] = field(default_factory=list)
    heard: list[e.Event] = field(default_factory=list)
    refusal: str = "nothing was refused"
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self.state = run(self.header)
        self.queue.load([self.state])

    # ---- events ------------------------------------------------------------------------------------------------------
    def apply(self, event: e.Event) -> Step:
        """The core takes an event; who looks at changes hears of it. Every event may come twice."""
        self.now_s += 1.0
        before, made = self.state, step(self.state, event)
        after = made.run
        twice = step(after, event) if not isinstance(event, e.Retried | e.Approved) else Step(run=after)
        decided = [record for record in twice.records if isinstance(record, RecordDecision)]
        assert not decided, f"{event} came twice and decided twice"
        assert twice.run.submission == after.submission, f"{event} came twice and started two groups"
        self.state = StoredRun(after)
        self.queue.changed(before, self.state, made.records)
        self.heard.append(event)
        for record in made.records:
            self.ledger.record(record)
            if isinstance(record, RecordDecision):
                self.decisions.append(record.decision)
        self.ledger.check(self.state)
        return made

    def restart(self) -> None:
        """The orchestrator starts again, with what the database holds and nothing else."""
        stored = codec.loads(PipelineRun, codec.dumps(self.state))
        assert stored == self.state
        self.state, self.queue = stored, Queue(SLOTS)
        self.queue.load([stored])

    def outstanding(self) -> tuple[Command, ...]:
        """What the reconcile loop would find."""
        return due(self.state)

    def carry_out(self, effect: Command, *, lost: bool = False, told: Told | None = None) -> None:
        """An effect takes place. `lost`: its reply does not arrive. `told` is what an evaluator says that did not know
        the question: an evaluation that is asked about again is answered as before."""
        event: e.Event | None
        match effect:
            case SubmitJob():
                if effect.submission not in self.workers and effect.submission not in self.ledger.submitted:
                    self.ledger.submitted.add(effect.submission)
                    self.workers[effect.submission] = Worker(effect.submission)
                event = e.JobSubmitted(submission=effect.submission, now_s=self.now_s)
            case StopJob():
                self.workers.pop(effect.submission, None)
                event = e.JobEnded(submission=effect.submission, now_s=self.now_s)
            case Evaluate():
                event = self._measured(effect, told)
            case WritePoint():
                event = self._written(effect)
            case _:
                event = self.ledger.carry_out(effect, self.now_s)
        if event is not None and not lost:
            self.apply(event)
            if isinstance(event, e.EvaluationFailed):
                asked = {q.evaluation_id for q in self.outstanding() if isinstance(q, Evaluate)}
                assert event.evaluation_id not in asked, f"{event.evaluation_id} is asked about twice"

    def _measured(self, question: Evaluate, told: Told | None) -> e.Event:
        place = {"stage_index": question.stage_index, "attempt": question.attempt, "step": question.checkpoint.step}
        line = {"point": question.point, "of_interpolation": question.of_interpolation}
        unreadable = next((r for r in (question.checkpoint, question.parent) if r and r.uri in self.broken), None)
        fresh = ("CHECKPOINT_DAMAGED", None) if unreadable else told or ("", self.score_of(self._weights(question)))
        reason, ratio = self.answers.setdefault(question.evaluation_id, fresh)
        if reason:
            return e.EvaluationFailed(
                **place, **line, reason=reason, message="told by the simulation", now_s=self.now_s,
                evaluation_id=question.evaluation_id, damaged=unreadable if reason == "CHECKPOINT_DAMAGED" else None,
            )  # fmt: skip
        assert ratio is not None
        names = [b.set_name for b in question.baselines]
        uses = (SetUse.CONTROL, SetUse.REPORT)
        scores = tuple(score_of(name, ratio, use, None) for use in uses for name in names)
        results = (
            result_of("target", 2.0 + ratio - (question.point or 0.0), SetRole.TARGET),
            *(result_of(name, 2.0, SetRole.RETENTION, use) for use in uses for name in names),
        )
        return e.EvaluationFinished(
            **place, **line, measurement=Measurement(results=results, scores=scores), now_s=self.now_s
        )

    def _weights(self, question: Evaluate) -> str:
        return (
            f"{question.checkpoint.weights_digest}@{question.point}"
            if question.of_interpolation
            else (question.checkpoint.weights_digest)
        )

    def score_of(self, weights: str) -> float:
        """Forgetting of some weights: from -0.02 to `worst`."""
        share = int(hashlib.sha256(f"score {weights}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
        return -0.02 + (self.worst + 0.02) * share**3

    def _written(self, order: WritePoint) -> e.Event:
        weights = f"{order.result.weights_digest}@{order.point}"
        self._put(order.uri, weights, Mix())
        ref = CheckpointRef(uri=order.uri, manifest_sha256="e" * 64, weights_digest=weights)
        return e.PointWritten(
            stage_index=order.stage_index, attempt=order.attempt, point=order.point, checkpoint=ref, now_s=self.now_s
        )

    def _put(self, uri: str, weights: str, mix: Mix) -> None:
        self.ledger.written(uri)
        self.contents[uri] = (weights, mix)

    # ---- workers -----------------------------------------------------------------------------------------------------
    def advance(self, worker: Worker, *, lost: bool = False) -> None:
        """A worker does one thing. A refusal of an old attempt makes it ask again, of an old group leave."""
        try:
            if worker.work is None:
                self._ask(worker, lost=lost)
            elif worker.asks:
                self._hear(worker)
            else:
                self._train(worker, worker.work)
        except RetainError as error:
            worker.work, self.refusal = None, str(error)
            if error.reason != "STALE_ATTEMPT":
                self.workers.pop(worker.submission, None)

    def _ask(self, worker: Worker, *, lost: bool) -> None:
        worker.requests += 0 if worker.unheard else 1
        worker.unheard = lost
        request = f"{worker.submission}.{worker.requests}"
        self.apply(e.AttemptAsked(submission=worker.submission, request_id=request, now_s=self.now_s))
        self.ledger.handed_out(self.state, request)
        if lost:
            return
        work = work_of(self.state)
        match work:
            case ReleaseWork():
                self.workers.pop(worker.submission, None)
            case PrepareWork():
                self.apply(self._end(worker, work.attempt, fence.PREPARING, prepared=prepared(self.state)))
            case StageWork():
                self._load(worker, work)

    def _load(self, worker: Worker, work: StageWork) -> None:
        start = work.resume or work.parent
        assert start is not None
        if start.uri in self.broken:
            self.apply(self._end(worker, work.attempt, work.index, interrupted=True, damaged=start))
            return
        worker.mix = Mix(shares=work.shares, lr_scale=work.lr_scale)
        worker.work, worker.step = work, work.resume.step if work.resume else 0
        worker.weights, mix = self.contents[start.uri]
        between = worker.step % work.steps_per_boundary != 0 and worker.step != work.total_steps
        worker.asks = work.resume is not None and not between
        if between:
            worker.mix = mix  # an interim checkpoint continues with what the interval began with

    def _end(self, worker: Worker, attempt: int, index: int, **how: object) -> e.StageEnded:
        told = {"failed": False, **how}
        return e.StageEnded(submission=worker.submission, attempt=attempt, stage_index=index, now_s=self.now_s, **told)  # type: ignore[arg-type]

    def _hear(self, worker: Worker) -> None:
        work = worker.work
        assert work is not None
        boundary = -(-worker.step // work.steps_per_boundary)
        fence.check_attempt(self.state, worker.submission, work.attempt, work.index)
        if self.state.status.ended and self.state.status != "SUCCEEDED":
            self.workers.pop(worker.submission, None)
            return
        heard = directive_at(self.state.stages[work.index], boundary, decision_delay=work.decision_lag)
        if heard is None:
            return
        if heard.verdict is Verdict.ACCEPT:
            self.apply(self._end(worker, work.attempt, work.index))
        if heard.verdict in (Verdict.ACCEPT, Verdict.ROLL_BACK):
            worker.work = None
        elif heard.verdict is Verdict.STOP:
            self.workers.pop(worker.submission, None)
        else:
            worker.mix, worker.asks = heard.mix, False

    def _train(self, worker: Worker, work: StageWork) -> None:
        end = min((worker.step // work.steps_per_boundary + 1) * work.steps_per_boundary, work.total_steps)
        while worker.step < end:
            worker.weights, worker.step = trained(worker.weights, worker.mix), worker.step + 1
        worker.asks = True
        self.report(worker, boundary=-(-end // work.steps_per_boundary))

    def report(self, worker: Worker, *, boundary: int, interim: bool = False) -> None:
        """Put a checkpoint into the store and register it."""
        work = worker.work
        assert work is not None
        uri = f"{work.output_uri}/step-{worker.step:09d}"
        if uri not in self.contents:
            self._put(uri, worker.weights, worker.mix)
        sha = hashlib.sha256(f"{uri} {worker.weights}".encode()).hexdigest()
        ref = CheckpointRef(uri=uri, manifest_sha256=sha, weights_digest=worker.weights, step=worker.step)
        self.apply(
            e.CheckpointReported(
                submission=worker.submission,
                attempt=work.attempt,
                stage_index=work.index,
                boundary=boundary,
                checkpoint=ref,
                parent="",
                interim=interim,
                now_s=self.now_s,
            )
        )

    def leave(self, worker: Worker, steps: int) -> None:
        """The worker is told to leave after some steps between two boundaries."""
        work = worker.work
        if work is None or worker.asks:
            if work is not None:
                self._try(self._end(worker, work.attempt, work.index, interrupted=True))
            self.workers.pop(worker.submission, None)
            return
        boundary = worker.step // work.steps_per_boundary
        least = min((boundary + 1) * work.steps_per_boundary, work.total_steps) - 1
        while worker.step < min(worker.step + steps, least):
            worker.weights, worker.step, steps = trained(worker.weights, worker.mix), worker.step + 1, steps - 1
        try:
            if worker.step > boundary * work.steps_per_boundary and (
                work.resume is None or worker.step > work.resume.step
            ):
                self.report(worker, boundary=boundary, interim=True)
            self.apply(self._end(worker, work.attempt, work.index, interrupted=True))
        except RetainError:
            pass  # it is fenced off: the present group does without it
        finally:
            self.workers.pop(worker.submission, None)

    def _try(self, event: e.Event) -> None:
        with contextlib.suppress(Stale):  # it is fenced off
            self.apply(event)

    def admit(self) -> None:
        """The queue's head starts, if its workers fit."""
        if self.queue.head() == self.state.id:
            self.apply(e.Admitted(now_s=self.now_s))

    def gone(self) -> None:
        """Jobs whose group is gone are noticed."""
        for job in self.state.jobs:
            if job.submission in self.ledger.submitted and job.submission not in self.workers:
                self.apply(e.JobEnded(submission=job.submission, max_restarts=1000, now_s=self.now_s))

    def settle(self, *, rounds: int = 400) -> None:
        """Everybody does what they have to, until the run has ended or waits for a person."""
        for _ in range(rounds):
            before = self.state.sequence, [(w.step, w.asks, w.work) for w in self.workers.values()]
            self.admit()
            for effect in self.outstanding():
                if effect in self.outstanding():
                    self.carry_out(effect)
            for worker in list(self.workers.values()):
                self.advance(worker)
            self.gone()
            still = before == (self.state.sequence, [(w.step, w.asks, w.work) for w in self.workers.values()])
            if still and not self.outstanding():
                return
        raise AssertionError(f"no end in {rounds} rounds: {self.state.status} {self.state.message}; {self.refusal}")
