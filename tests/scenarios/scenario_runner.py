"""Runs scenarios: an event on the left and what the pure core makes of it on the right.

    checkpoint 10            => evaluate 10
    score 10 general=0.04    => CONTINUE
    directive 10             => CONTINUE general=0.1 lr=1

The stage under test is a mid-training on code, 100 steps with a boundary every 10, on top of an imported model; a
header line sets what differs (`lag=1 max_retries=0 settle=0`). Words on the left: admit, ask GROUP REQUEST, prepared,
progress, checkpoint STEP, score STEP SET=RATIO.. (low=, report=, floor=, unknown=, took= for the interval, the report
set, the noise floor, gauges that the baseline did not know, the seconds), directive STEP, end, fail REASON, cancel,
approve ACCEPT|CONTINUE, retry, job-ended GROUP, hung GROUP; of the line to the parent: point POINT SET=RATIO.., written
POINT, unwritten POINT, and `score 100 at=POINT` for the written one. `@G.A` after a word speaks for attempt A of group
G; without it for the present ones.
"""

import math
from dataclasses import dataclass, field, replace

from retain.values import ApproveAction, CheckpointRef, PointKind, PrepareWork, ReleaseWork, SetRole, SetUse
from services.common.errors import RetainError
from services.orchestrator.domain.due import due, evaluation_of
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.handlers.interpolation import interpolation_commands
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import (
    Annotate,
    Command,
    Evaluate,
    Prune,
    Record,
    RecordCheckpoint,
    RecordDecision,
    StopJob,
    SubmitJob,
    WritePoint,
    name_of,
    wait_of,
)
from services.orchestrator.domain.run.directives import directive_at
from services.orchestrator.domain.run.state import PipelineRun, StagePhase
from services.orchestrator.domain.spec.gauges import is_gauge
from services.orchestrator.domain.step import Step, step
from services.orchestrator.domain.values import Measurement
from tests.scenarios.builders import BASE, STORE, prepared, probe_of, result_of, run, score_of
from tests.scenarios.ledger import Ledger


@dataclass(kw_only=True)
class ScenarioRunner:
    """A run and the clock of its scenario."""

    state: PipelineRun
    now_s: float = 1000.0
    ledger: Ledger = field(default_factory=lambda: Ledger(files={BASE.uri}))

    def apply(self, line: str) -> str:
        """What one event leads to, as text."""
        before = self.state
        self.now_s += 1.0
        words = line.split()
        try:
            if words[0].split("@")[0] == "directive":
                return self._directive(words)
            if words[0] == "waiting":
                return self.state.waiting_for or "-"
            event = self._event(words)
            made = step(self.state, event)
            self._note(event)
            ordered = self._deal_with(made)
        except RetainError as error:
            return f"! {error.reason}"
        said = [text for one in ordered if (text := _shown(one))]
        if self.state.status is not before.status:
            said.append(f"run {self.state.status}" + (f" {self.state.reason}" if self.state.reason else ""))
        for old, new in zip(before.stages, self.state.stages, strict=True):
            if old.status is not new.status:
                said.append(f"stage {new.status}")
        if words[0] == "ask":
            said.append(_work(self.state))
            self.ledger.handed_out(self.state, words[2])
        self.ledger.check(self.state)
        return "; ".join(said) or "-"

    def _deal_with(self, made: Step) -> list[Record | Command]:
        """First the run and its records become durable, then what needs nobody's answer is done: jobs are submitted and
        stopped, files are deleted. Returns what was recorded and ordered, what came of it too."""
        self.state = made.run
        for record in made.records:
            self.ledger.record(record)
        ordered: list[Record | Command] = [*made.records, *made.commands_after_commit]
        for command in made.commands_after_commit:
            event = self.ledger.carry_out(command, self.now_s)
            if event is not None:
                ordered += self._deal_with(step(self.state, event))
        return ordered

    def _note(self, event: e.Event) -> None:
        """What the runner knows by an event that the core took."""
        match event:
            case e.CheckpointReported() | e.PointWritten():
                self.ledger.written(event.checkpoint.uri)
            case e.EvaluationFailed() if event.evaluation_id:
                self.ledger.answered.add(event.evaluation_id)
            case e.JobEnded():
                self.ledger.live_jobs.discard(event.submission)

    def _event(self, words: list[str]) -> e.Event:
        word, _, who = words[0].partition("@")
        stage = self.state.stages[0]
        group, attempt = (int(n) for n in who.split(".")) if who else (self.state.submission, stage.attempt.number)
        at = {"submission": group, "attempt": attempt, "stage_index": 0, "now_s": self.now_s}
        now = {"now_s": self.now_s}
        match word:
            case "admit":
                return e.Admitted(**now)
            case "ask":
                return e.AttemptAsked(submission=int(words[1]), request_id=words[2], **now)
            case "prepared":
                preparing = at | {"attempt": self.state.prepare_attempt, "stage_index": fence.PREPARING}
                return e.StageEnded(failed=False, prepared=prepared(self.state), **preparing)
            case "prepare-failed":
                preparing = at | {"attempt": self.state.prepare_attempt, "stage_index": fence.PREPARING}
                return e.StageEnded(failed=True, reason=words[1], message="bad", **preparing)
            case "progress":
                return e.ProgressReported(phase=StagePhase.TRAINING, step=int(words[1]), **at)
            case "checkpoint":
                return self._checkpoint(words, at)
            case "score":
                return self._score(words)
            case "unmeasured":
                found = next(c for c in stage.branch.checkpoints if c.ref.step == int(words[1]))
                return e.EvaluationFailed(
                    stage_index=0, attempt=found.attempt, step=int(words[1]),
                    reason=words[2] if words[2:] else "EVALUATION_FAILED", message="broken",
                    evaluation_id=evaluation_of(self.state, stage, found).evaluation_id, **now,
                )  # fmt: skip
            case "point":
                return self._point(words)
            case "written":
                result = next(c for c in stage.branch.checkpoints if c.boundary == 10)
                uri = f"{result.ref.uri}-point-{words[1]}"
                ref = CheckpointRef(uri=uri, manifest_sha256="e" * 64, weights_digest="point")
                return e.PointWritten(
                    stage_index=0, attempt=result.attempt, point=float(words[1]), checkpoint=ref, bytes=1, **now
                )
            case "unwritten":
                newest = stage.branch.checkpoints[-1]
                return e.EvaluationFailed(
                    stage_index=0, attempt=newest.attempt, step=100, reason="CORRUPT", message="broken",
                    point=float(words[1]), of_interpolation=True, evaluation_id=self._asked(float(words[1])), **now,
                )  # fmt: skip
            case "interim":
                return self._checkpoint(words, at, interim=True)
            case "interrupted-preparing":
                preparing = at | {"attempt": self.state.prepare_attempt, "stage_index": fence.PREPARING}
                return e.StageEnded(failed=False, interrupted=True, message="the node drains", **preparing)
            case "measuring-waits":
                asked = [a for a in due(self.state) if isinstance(a, Evaluate)]
                return e.EvaluationWaits(evaluation_id=asked[0].evaluation_id, waiting_for=" ".join(words[1:]), **now)
            case "interrupted":
                return e.StageEnded(failed=False, interrupted=True, message="the node drains", **at)
            case "unreadable":
                ref = self._ref(words[1])
                return e.StageEnded(failed=False, interrupted=True, damaged=ref, message="a file is cut", **at)
            case "unmeasurable":
                found = next(c for c in stage.branch.checkpoints if c.ref.step == int(words[1]))
                return e.EvaluationFailed(
                    stage_index=0, attempt=found.attempt, step=int(words[1]), reason="CHECKPOINT_DAMAGED",
                    message="a file is cut", damaged=self._ref(words[2] if words[2:] else words[1]),
                    evaluation_id=evaluation_of(self.state, stage, found).evaluation_id, **now,
                )  # fmt: skip
            case "void":
                return e.CheckpointVoided(checkpoint=self._ref(words[1]), reason="it looks odd", **now)
            case "waits":
                return e.ProgressReported(phase=StagePhase.SAVING, waiting_for=" ".join(words[1:]), **at)
            case "end":
                return e.StageEnded(failed=False, **at)
            case "fail":
                return e.StageEnded(failed=True, reason=words[1], message="because", **at)
            case "cancel":
                return e.Cancelled(**now)
            case "approve":
                return e.Approved(action=ApproveAction(words[1]), queue_number=7, **now)
            case "retry":
                return e.Retried(queue_number=8, **now)
            case "job-submitted":
                return e.JobSubmitted(submission=int(words[1]), **now)
            case "job-ended":
                return e.JobEnded(submission=int(words[1]), message="it died", max_restarts=2, **now)
            case "hung":
                return e.WorkersHung(submission=int(words[1]), message="no progress", max_restarts=2, **now)
        raise ValueError(f"no such event in a scenario: {word}")

    def _asked(self, point: float) -> str:
        """Name under which a point is asked about or ordered now."""
        asked = interpolation_commands(self.state, self.state.stages[0])
        return next((str(name_of(q)[1]) for q in asked if q.point == point), "nobody asked")

    def _ref(self, word: str) -> CheckpointRef:
        """A checkpoint by its step (the one that is used now, else one that was), `base`, or `other`."""
        if word == "base":
            return BASE
        if word == "other":
            return CheckpointRef(uri=f"{STORE}/other", manifest_sha256="f" * 64, weights_digest="other")
        stage = self.state.stages[0]
        interim = (stage.branch.interim,) if stage.branch.interim else ()
        known = (*stage.branch.damaged, *stage.branch.voided, *interim, *stage.branch.checkpoints)
        return [c.ref for c in known if c.ref.step == int(word)][-1]

    def _checkpoint(self, words: list[str], at: dict, *, interim: bool = False) -> e.CheckpointReported:
        at_step = int(words[1])
        options = dict(word.split("=") for word in words[2:])
        name = f"{self.state.id}/{self.state.stages[0].plan.name}/attempt-{at['attempt']}/step-{at_step:09d}"
        ref = CheckpointRef(
            uri=f"{STORE}/runs/{name}",
            manifest_sha256=options.get("sha", "0") * 64,
            weights_digest=options.get("weights", f"step {at_step}"),
            step=at_step,
        )
        return e.CheckpointReported(
            boundary=int(options.get("after", at_step // 10)) if interim else math.ceil(at_step / 10),
            interim=interim,
            checkpoint=ref,
            parent="",
            train_loss_nats=float(options.get("loss", 2.0)),
            bytes=int(options.get("bytes", 0)),
            upload_s=float(options.get("upload", 0.0)),
            **at,
        )

    def _score(self, words: list[str]) -> e.EvaluationFinished:
        at_step = int(words[1])
        values = {name: float(value) for name, value in (word.split("=") for word in words[2:])}
        low, report, point = values.pop("low", None), values.pop("report", None), values.pop("at", None)
        target, floor = values.pop("target", 2.0), values.pop("floor", None)
        unknown = bool(values.pop("unknown", 0))
        gauges = [name for name in values if is_gauge(name)]
        took_s = values.pop("took", 0.0)
        probe = probe_of(int(values.pop("lost")), int(values.pop("of", 80))) if "lost" in values else None
        checkpoints = [c for c in self.state.stages[0].branch.checkpoints if c.ref.step == at_step]
        attempt = checkpoints[-1].attempt if checkpoints else self.state.stages[0].attempt.number
        scores = [
            score_of(name, ratio, SetUse.CONTROL, low, unknown and is_gauge(name)) for name, ratio in values.items()
        ]
        if report is not None:
            scores.append(score_of("general", report, SetUse.REPORT, None))
            scores += [score_of(name, values[name], SetUse.REPORT, None, unknown) for name in gauges]
        results = [result_of("code", target, SetRole.TARGET), *(result_of(n, 2.0, SetRole.RETENTION) for n in values)]
        if report is not None:
            results.append(result_of("general", 2.0, SetRole.RETENTION, SetUse.REPORT))
        scores = [replace(score, floor_ratio=floor) for score in scores]
        return e.EvaluationFinished(
            stage_index=0,
            attempt=attempt,
            step=at_step,
            measurement=Measurement(results=tuple(results), scores=tuple(scores), measure_s=took_s, probe=probe),
            point=point,
            now_s=self.now_s,
        )

    def _point(self, words: list[str]) -> e.EvaluationFinished:
        """A point of the line before step 100 was measured."""
        found = self._score(["score", "100", *words[2:]])
        return replace(found, point=float(words[1]), of_interpolation=True)

    def _directive(self, words: list[str]) -> str:
        who = words[0].partition("@")[2]
        stage = self.state.stages[0]
        group, attempt = (int(n) for n in who.split(".")) if who else (self.state.submission, stage.attempt.number)
        fence.check_attempt(self.state, group, attempt, 0)
        decision_delay = self.state.spec.evaluation.decision_lag
        directive = directive_at(stage, math.ceil(int(words[1]) / 10), decision_delay=decision_delay)
        return "pending" if directive is None else f"{directive.verdict} {_mix(directive.mix)}"


def training(header: str = "") -> ScenarioRunner:
    """A run whose first attempt has begun: group 1, attempt 1."""
    runner = ScenarioRunner(state=run(header))
    for line in ("admit", "job-submitted 1", "ask 1 p", "prepared", "ask 1 a"):
        runner.apply(line)
    return runner


def _shown(one: Record | Command) -> str:
    """A record or a command as text; a pause before it is shown, but for a group that leaves by itself."""
    said = _ordered(one)
    waits = said and not isinstance(one, RecordDecision | RecordCheckpoint | StopJob)
    after_s = wait_of(one) if waits else 0.0  # type: ignore[arg-type]
    return f"{said} after {after_s:g} s" if after_s else said


def _ordered(action: Record | Command) -> str:
    match action:
        case RecordDecision():
            decision = action.decision
            to = ""
            if decision.verdict == "ROLL_BACK":
                to = f" to {decision.target.step if decision.target else 'start'}"
            changed = f" {_mix(Mix(shares=decision.shares, lr_scale=decision.lr_scale))}"
            return f"{decision.verdict}{to}" + (changed if decision.verdict in ("ADJUST", "ROLL_BACK") else "")
        case Evaluate() if action.of_interpolation:
            return f"measure {_kind(action.kind)}{action.point:g}"
        case WritePoint():
            return f"write {_kind(action.kind)}{action.point:g}"
        case Evaluate() if action.point is not None:
            return f"evaluate {action.point:g}"
        case Evaluate():
            return f"evaluate {action.checkpoint.step}"
        case SubmitJob():
            return f"submit {action.submission}"
        case StopJob():
            return f"stop {action.submission}"
        case Prune():
            return f"prune {action.checkpoint_id[-4:].lstrip('0')}"
        case Annotate():
            return ""
    return ""


def _kind(kind: PointKind) -> str:
    return "" if kind is PointKind.SEGMENT else f"{kind} "


def _work(state: PipelineRun) -> str:
    work = work_of(state)
    if isinstance(work, ReleaseWork):
        return "release"
    if isinstance(work, PrepareWork):
        return f"prepare {work.attempt}"
    start = work.resume.step if work.resume else "start"
    return f"attempt {work.attempt} from {start} {_mix(Mix(shares=work.shares, lr_scale=work.lr_scale))}"


def _mix(mix: Mix) -> str:
    return " ".join([*(f"{name}={share:g}" for name, share in mix.shares.items()), f"lr={mix.lr_scale:g}"])
