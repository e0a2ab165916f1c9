"""What is not as it should be in the runs at the moment, from what the orchestrator keeps of them.

The scores are raw, as those of the alerts of Prometheus are, and judged by the run's own thresholds; what a gauge does
not resolve, and what is only shown, raises nothing.
"""

from collections.abc import Iterable, Iterator

from retain.values import AlertKind, ForgettingScore, ForgettingSpec, RunAlert, RunState, Severity, StageState
from retain.values.severity import within_floor
from retain.values.thresholds import ACTION, MINOR, STOP, Thresholds
from services.orchestrator.domain.run.state import PipelineRun, StageRun

UPLOAD_FAILURES = 3  # from so many on they are told; one or two are retried unseen
_GRAVITY = {Severity.STOP: 0, Severity.ACTION: 1, Severity.MINOR: 3}
_OF_KIND = {AlertKind.NEEDS_PERSON: 0, AlertKind.WAITS: 1, AlertKind.UPLOADS_FAIL: 2}


def alerts_of(runs: Iterable[PipelineRun]) -> tuple[RunAlert, ...]:
    """The gravest first; of equal ones in the order of the runs."""
    found = [alert for run in runs if not run.status.ended for alert in _of_run(run)]
    return tuple(sorted(found, key=lambda alert: _OF_KIND.get(alert.kind, _GRAVITY.get(alert.severity, 4))))


def _of_run(run: PipelineRun) -> Iterator[RunAlert]:
    if run.status is RunState.SUSPENDED:
        yield RunAlert(run_id=run.id, kind=AlertKind.NEEDS_PERSON, message=run.message or run.reason)
    if run.waiting_for:
        yield RunAlert(run_id=run.id, kind=AlertKind.WAITS, message=run.waiting_for)
    for stage in run.stages:
        if stage.status in (StageState.RUNNING, StageState.SUSPENDED):
            yield from _of_stage(run, stage)


def _of_stage(run: PipelineRun, stage: StageRun) -> Iterator[RunAlert]:
    for score in stage.last.scores:
        alert = _of_score(run, stage, score, run.spec.forgetting)
        if alert is not None:
            yield alert
    if stage.last.upload_failures >= UPLOAD_FAILURES:
        said = f"{stage.last.upload_failures} uploads of checkpoints failed"
        yield RunAlert(run_id=run.id, stage=stage.plan.name, kind=AlertKind.UPLOADS_FAIL, message=said)


def _of_score(run: PipelineRun, stage: StageRun, score: ForgettingScore, rules: ForgettingSpec) -> RunAlert | None:
    if score.shown_only or within_floor(score.ratio, score.floor_ratio):
        return None
    thresholds = Thresholds(
        minor=MINOR if rules.minor is None else rules.minor,
        action=ACTION if rules.action is None else rules.action,
        stop=STOP if rules.stop is None else rules.stop,
    )
    severity = thresholds.severity(score.ratio)
    if severity is Severity.OK:
        return None
    return RunAlert(
        run_id=run.id,
        stage=stage.plan.name,
        kind=AlertKind.FORGETTING,
        severity=severity,
        retention_set=score.retention_set,
        ratio=score.ratio,
        threshold={Severity.MINOR: thresholds.minor, Severity.ACTION: thresholds.action}.get(severity, thresholds.stop),
        message=f"perplexity on {score.retention_set} is {score.ratio:+.1%} from its baseline",
    )
