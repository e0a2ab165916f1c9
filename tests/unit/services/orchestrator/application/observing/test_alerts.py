"""What is in alarm now, by the run's own thresholds: what the gauge does not resolve raises nothing."""

import math
from dataclasses import replace

import pytest

from retain.values import AlertKind, ForgettingScore, RunAlert, RunState, Severity, StageState
from services.orchestrator.application.observing.alerts import alerts_of
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.spec.defaults import fill
from tests.unit.services.orchestrator.specs import spec


def run(*scores: ForgettingScore, stage: int = 1, **changes: object) -> PipelineRun:
    """A run whose second stage is under way, with these scores."""
    made = new_run("r", fill(spec()), store_uri="s3://retain", base=None, queue_number=1, now_s=0.0)
    stages = list(made.stages)
    stages[stage] = replace(stages[stage], status=StageState.RUNNING, last=replace(stages[stage].last, scores=scores))
    return replace(made, status=RunState.RUNNING, stages=tuple(stages), **changes)


def score(ratio: float, name: str = "general", **how: object) -> ForgettingScore:
    return ForgettingScore(retention_set=name, ratio=ratio, **how)


def found(*runs: PipelineRun) -> list[tuple[AlertKind, Severity]]:
    return [(alert.kind, alert.severity) for alert in alerts_of(runs)]


@pytest.mark.parametrize(
    ("ratio", "severity", "threshold"),
    [
        (0.05, Severity.MINOR, 0.05),
        (0.0999, Severity.MINOR, 0.05),
        (0.10, Severity.ACTION, 0.10),
        (0.2, Severity.STOP, 0.20),
        (math.nan, Severity.STOP, 0.20),
        (math.inf, Severity.STOP, 0.20),
    ],
)
def test_a_threshold_is_inclusive_and_what_is_no_number_is_the_worst(ratio, severity, threshold) -> None:
    (alert,) = alerts_of([run(score(ratio))])
    assert (alert.run_id, alert.stage, alert.retention_set) == ("r", "midtrain/code", "general")
    assert (alert.severity, alert.threshold) == (severity, threshold)


def test_the_thresholds_are_those_of_the_run() -> None:
    lenient = run(score(0.25))
    rules = replace(lenient.spec.forgetting, minor=0.3, action=0.4, stop=0.5)
    assert found(replace(lenient, spec=replace(lenient.spec, forgetting=rules))) == []


def test_what_is_not_resolved_or_only_shown_or_over_raises_nothing() -> None:
    assert found(run(score(0.049))) == []
    assert found(run(score(0.15, floor_ratio=0.2))) == []
    assert found(run(score(0.3, shown_only=True))) == []
    done = run(score(0.3))
    assert found(replace(done, status=RunState.CANCELLED)) == []
    complete = replace(done.stages[1], status=StageState.COMPLETE)
    assert found(replace(done, stages=(done.stages[0], complete, *done.stages[2:]))) == []


def test_the_gravest_comes_first_and_a_person_who_is_waited_for_is_named() -> None:
    held = replace(run(), id="held", status=RunState.SUSPENDED, reason="RETRIES_USED_UP", message="it forgot 24 %")
    full = replace(run(), id="full", workers_wait_for="disk full at /var/retain")
    failing = run()
    stages = list(failing.stages)
    stages[1] = replace(stages[1], last=replace(stages[1].last, upload_failures=3))
    alerts = alerts_of([run(score(0.06)), replace(failing, stages=tuple(stages)), full, held, run(score(0.3))])
    assert [alert.kind for alert in alerts] == [
        AlertKind.NEEDS_PERSON,
        AlertKind.FORGETTING,
        AlertKind.WAITS,
        AlertKind.UPLOADS_FAIL,
        AlertKind.FORGETTING,
    ]
    assert alerts[0] == RunAlert(run_id="held", kind=AlertKind.NEEDS_PERSON, message="it forgot 24 %")
    assert alerts[2].message == "disk full at /var/retain"
