"""The orchestrator's own gate for experiments that run in one process, without a server, a store or a queue.

    python -m model.experiments --gate services.orchestrator.experiment_gate:experiment_gate

Nothing is decided here. A run of one mid-training is made, and every boundary goes through `step` as the events that a
worker group and the evaluator would send; what returns is the directive that a worker would hear. So an experiment
compares the controllers that the platform runs, their settling, rollbacks and retries included.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from model.errors import BadConfig
from model.experiments.arms import Arm
from model.experiments.gate import Measured, Start, Trial, Tried
from model.training.job import Directive, Verdict
from retain.values import (
    AnticipateSpec,
    BatchSpec,
    CheckpointRef,
    Controller,
    Decision,
    Domain,
    DurationSpec,
    EvalSetRef,
    EvaluationSpec,
    ForgettingScore,
    ForgettingSpec,
    GaugeSpec,
    IntervalSpec,
    LadderSpec,
    MixPoint,
    ModelSpec,
    PipelineSpec,
    PreparedData,
    PreparedFolder,
    PreparedStage,
    ProbeSpec,
    SetResult,
    SetRole,
    SetUse,
    StageData,
    StageKind,
    StageSpec,
    StageWork,
    StopOn,
)
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import RecordDecision
from services.orchestrator.domain.run.directives import directive_at
from services.orchestrator.domain.run.state import PipelineRun, RunState, StageState
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.step import step
from services.orchestrator.domain.values import Measurement

Bounds = TypeVar("Bounds", LadderSpec, AnticipateSpec)
STORE = "s3://experiments"
BASE = CheckpointRef(uri=f"{STORE}/base", manifest_sha256="0" * 64, weights_digest="base")
TARGET, GENERAL = "math", "general"  # what the stage is called here; the text is the experiment's


def experiment_gate(arm: Arm) -> "ExperimentGate":
    """The gate over the one stage of an arm."""
    return ExperimentGate(_new_state(arm))


class ExperimentGate:
    """See the module. Implements `model.experiments.gate.Gate`."""

    def __init__(self, state: PipelineRun) -> None:
        self._state, self._now_s, self._asked = state, 0.0, 0
        self.decisions: list[dict[str, Any]] = []
        self._send(e.Admitted(now_s=self._tick()))
        self._ask()
        at: Mapping[str, Any] = {"submission": self._state.submission, "attempt": self._state.prepare_attempt}
        prepared = _prepared()
        self._send(e.StageEnded(failed=False, prepared=prepared, stage_index=fence.PREPARING, now_s=self._tick(), **at))

    def begin(self) -> Start | None:
        """The next attempt: its boundary to resume from and its mix. None when the run is over or suspended."""
        self._ask()
        work = work_of(self._state)
        if not isinstance(work, StageWork):
            return None
        return self._start(work)

    def tried(self, mixes: Sequence[Tried], tokens: int) -> Start:
        """Hand in what a trial measured, and begin with the share that is chosen by it."""
        points = tuple(
            MixPoint(share=one.share, target_loss_nats=one.target_nats, forgetting_nats=one.forgetting_nats)
            for one in mixes
        )
        at: Mapping[str, Any] = {"submission": self._state.submission, "attempt": self._state.stages[0].attempt.number}
        self._send(e.MixTried(points=points, tokens=tokens, stage_index=0, now_s=self._tick(), **at))
        work = work_of(self._state)
        assert isinstance(work, StageWork), "the stage has begun"
        return self._start(work)

    def _start(self, work: StageWork) -> Start:
        given, trial = work.mix_trial, None
        if given is not None:
            trial = Trial(steps=given.steps, learning_rate=given.learning_rate, rank=given.rank, shares=given.shares)
        boundary = self._state.stages[0].attempt.resume_boundary
        return Start(boundary=boundary, shares=dict(work.shares), lr_scale=work.lr_scale, trial=trial)

    def judge(self, boundary: int, step: int, train_loss_nats: float, sets: Sequence[Measured]) -> Directive:
        """Register the checkpoint, hand in its evaluation, and give the directive that follows."""
        stage = self._state.stages[0]
        name = f"runs/{self._state.id}/{stage.plan.name}/attempt-{stage.attempt.number}/step-{step:09d}"
        ref = CheckpointRef(uri=f"{STORE}/{name}", manifest_sha256="0" * 64, weights_digest=name, step=step)
        attempt = stage.attempt.number
        at: Mapping[str, Any] = {
            "submission": self._state.submission, "attempt": attempt, "stage_index": 0, "now_s": self._tick(),
        }  # fmt: skip
        self._send(
            e.CheckpointReported(boundary=boundary, checkpoint=ref, parent="", train_loss_nats=train_loss_nats, **at)
        )
        self._send(
            e.EvaluationFinished(
                stage_index=0,
                attempt=stage.attempt.number,
                step=step,
                measurement=_measurement(sets),
                now_s=self._tick(),
            )
        )
        directive = directive_at(self._state.stages[0], boundary, decision_delay=0)
        assert directive is not None, "a boundary that was measured has a verdict"
        return Directive(
            verdict=Verdict(directive.verdict), shares=dict(directive.mix.shares), lr_scale=directive.mix.lr_scale
        )

    def broke(self, step: int, message: str) -> None:
        """Training came to a loss that is no number: a stop, as a worker reports it."""
        at: Mapping[str, Any] = {"submission": self._state.submission, "attempt": self._state.stages[0].attempt.number}
        ended = e.StageEnded(failed=True, reason="NON_FINITE", message=message, stage_index=0, now_s=self._tick(), **at)
        self._send(ended)

    @property
    def outcome(self) -> str:
        """ACCEPTED, SUSPENDED or FAILED; RUNNING before the end."""
        if self._state.stages[0].status is StageState.COMPLETE:
            return "ACCEPTED"
        return str(self._state.status) if self._state.status is not RunState.SUCCEEDED else "ACCEPTED"

    def _ask(self) -> None:
        self._asked += 1
        asked = e.AttemptAsked(submission=self._state.submission, request_id=str(self._asked), now_s=self._tick())
        if not self._state.status.ended and self._state.status is not RunState.SUSPENDED:
            self._send(asked)

    def _send(self, event: e.Event) -> None:
        made = step(self._state, event)
        self._state = made.run
        self.decisions += [_plain(record.decision) for record in made.records if isinstance(record, RecordDecision)]

    def _tick(self) -> float:
        self._now_s += 1.0
        return self._now_s


def _new_state(arm: Arm) -> PipelineRun:
    rules = arm.gate
    planned = StageSpec(
        kind=StageKind.MIDTRAIN,
        domain=Domain.MATH,
        data=StageData(domain="sample://math", general="sample://docs", general_share=arm.general_share),
        duration=DurationSpec(steps=arm.steps),
        learning_rate=arm.learning_rate,
        batch=BatchSpec(sequences=arm.rows),
    )
    spec = PipelineSpec(
        name="experiment",
        model=ModelSpec(huggingface=BASE.uri, context=arm.context),
        stages=(planned,),
        forgetting=ForgettingSpec(
            controller=Controller(rules.controller),
            budget=rules.budget if rules.mitigate else None,
            action=rules.action,
            stop=rules.stop,
            stop_on=StopOn(rules.stop_on),
            settle=rules.settle,
            max_retries=rules.max_retries,
            mitigate=rules.mitigate,
            ladder=_constants(arm, "ladder", LadderSpec),
            anticipate=_constants(arm, "anticipate", AnticipateSpec),
            probe=ProbeSpec(off=True),
            gauges=GaugeSpec(off=True),  # the experiments measure them afterwards (model/experiments/gauges.py)
        ),
        evaluation=EvaluationSpec(every=IntervalSpec(steps=arm.steps_per_boundary), decision_lag=0),
    )
    return new_run("experiment", fill(spec), store_uri=STORE, base=BASE, queue_number=1, now_s=0.0)


def _constants(arm: Arm, message: str, made: type[Bounds]) -> Bounds:
    """The message of that name below `forgetting`, with the constants that the arm changes. Raises BadConfig for one
    that it does not have."""
    changed: dict[str, Any] = {
        field: value for name, value in arm.gate.constants for of, _, field in [name.partition(".")] if of == message
    }
    known = {one.name for one in fields(made)}
    if unknown := sorted(set(changed) - known):
        raise BadConfig(f"constants: {message}", unknown, sorted(known))
    return made(**changed)


def _prepared() -> PreparedData:
    """The text is the experiment's own: only the names are told, and that there is something to read."""
    sets = tuple(_set(name, use) for name in (TARGET, GENERAL) for use in SetUse)
    shards = tuple(_folder(name) for name in (TARGET, GENERAL))
    stages = (PreparedStage(index=0, shards=shards, sets=sets),)
    return PreparedData(tokenizer=_folder("tokenizer"), stages=stages, base=BASE)


def _folder(name: str) -> PreparedFolder:
    return PreparedFolder(name=name, uri=f"{STORE}/{name}", digest=name, tokens=1, loss_tokens=1)


def _set(name: str, use: SetUse) -> EvalSetRef:
    role = SetRole.TARGET if name == TARGET else SetRole.RETENTION
    return EvalSetRef(name=name, uri=f"{STORE}/{name}/{use}", digest=f"{name}/{use}", role=role, use=use)


def _measurement(sets: Sequence[Measured]) -> Measurement:
    """The evaluator's answer. The target has the stage's name for it; the one retention set is general text."""
    return Measurement(
        results=tuple(_result(one) for one in sets), scores=tuple(_score(one) for one in sets if not one.target)
    )


def _use(one: Measured) -> SetUse:
    return SetUse.REPORT if one.report else SetUse.CONTROL


def _result(one: Measured) -> SetResult:
    nats = one.loss_nats * one.tokens
    return SetResult(
        set=_set(TARGET if one.target else one.name, _use(one)),
        nats=nats,
        tokens=one.tokens,
        bytes=one.bytes,
        loss_nats=one.loss_nats,
        perplexity=_exp(one.loss_nats),
        bits_per_byte=nats / math.log(2) / one.bytes,
        units=one.units,
    )


def _score(one: Measured) -> ForgettingScore:
    change = one.loss_nats - one.baseline_nats
    return ForgettingScore(
        retention_set=one.name,
        ratio=_exp(change) - 1.0,
        nats=change,
        ratio_low=one.ratio_low,
        ratio_high=one.ratio_high,
        baseline_perplexity=_exp(one.baseline_nats),
        perplexity=_exp(one.loss_nats),
        use=_use(one),
    )


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf  # NaN fails the comparison: not finite either way


def _plain(decision: Decision) -> dict[str, Any]:
    return {
        "number": decision.number,
        "attempt": decision.attempt,
        "boundary": decision.boundary,
        "step": decision.step,
        "verdict": str(decision.verdict),
        "severity": str(decision.severity),
        "forgetting": decision.forgetting,
        "projected": decision.projected,
        "shares": dict(decision.shares),
        "lr_scale": decision.lr_scale,
        "message": decision.message,
        **({"mixes": [asdict(mix) for mix in decision.mixes]} if decision.mixes else {}),
    }
