"""The alerts, said once: Prometheus rules, Grafana-managed rules and the runbook's links are made from these.

An alert is a value (PromQL), a comparison and a threshold. Thresholds are inclusive, and always judge the raw score. A
score within the noise floor of its gauge is not resolved, and raises none; where no floor is known, every score counts.

Prometheus and Grafana fail open: a series that is gone resolves its alert. A dead evaluator must not clear a page, so

* a score that is missing while its stage still runs counts as it was when it was last seen (for six hours at most);
* `keep_firing_for` bridges gaps and keeps a score near the threshold from ringing twice;
* Grafana waits for several missing evaluations before it resolves;
* RetainForgettingMetricMissing and RetainEvaluatorDown say that nobody is watching.
"""

from dataclasses import dataclass

from retain.values.severity import SUSPICIOUS_BELOW
from retain.values.thresholds import ACTION, MINOR, STOP
from services.common import metrics

LAST_SEEN = "6h"


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What an installation may change. Durations in Prometheus' notation; thresholds as ratios."""

    minor: float = MINOR
    action: float = ACTION
    stop: float = STOP
    suspicious_below: float = SUSPICIOUS_BELOW
    minor_for: str = "2m"
    missing_for: str = "5m"
    down_for: str = "2m"
    stalled_for: str = "1m"
    stalled_after_s: int = 120
    upload_failures: int = 3
    keep_firing_for: str = "10m"
    evaluator_job: str = "retain-evaluator"
    interval: str = "15s"
    runbook: str = "deploy/docs/runbook.md"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert. `value` is compared with `threshold` by `comparison`; in texts {value} and {label} are filled in."""

    name: str
    value: str
    comparison: str
    threshold: float
    hold: str  # how long the comparison must be true: "0s" at once
    keep: str  # how long it continues after the comparison is no longer true
    severity: str  # info, warning, critical (pages)
    summary: str
    description: str
    labels: tuple[str, ...] = ()
    percent: bool = False  # {value} is a ratio, shown as per cent

    def expression(self) -> str:
        """The whole condition in PromQL."""
        return f"({self.value}) {self.comparison} {self.threshold:g}"


def alerts(parameters: Parameters) -> tuple[Alert, ...]:
    """Every alert of Retain, the gravest last of its kind."""
    p = parameters
    return (
        _forgetting("Minor", p.minor, p.minor_for, "info", "Nothing is needed yet: watch the next boundaries.", p),
        _forgetting(
            "Action", p.action, "0s", "critical", "Retain raises the replay share, then halves the learning rate.", p
        ),
        _forgetting("Stop", p.stop, "0s", "critical", "Retain rolls back if the stage would end there too.", p),
        Alert(
            name="RetainForgettingSuspicious",
            value=_doubtful(p.suspicious_below),
            comparison="<",
            threshold=0,
            hold="0s",
            keep=p.keep_firing_for,
            severity="warning",
            summary="{run} scores {value} on {retention_set}: too good to be true",
            description="Stage {stage} of run {run}: perplexity on {retention_set} is {value} from its baseline. "
            "Where that text is replayed it is being learned; else the baseline or the set is in doubt.",
            labels=("run", "stage", "retention_set"),
            percent=True,
        ),
        Alert(
            name="RetainForgettingMetricMissing",
            value=_missing(),
            comparison=">",
            threshold=0,
            hold=p.missing_for,
            keep="0s",
            severity="critical",
            summary="Nobody sees whether {run} forgets",
            description="Stage {stage} of run {run} had verdicts due, and there is no forgetting score of it.",
            labels=("run", "stage"),
        ),
        Alert(
            name="RetainEvaluatorDown",
            value=_evaluator(p.evaluator_job),
            comparison="<",
            threshold=1,
            hold=p.down_for,
            keep="0s",
            severity="critical",
            summary="The evaluator is down",
            description="No evaluator answers, or a task in it keeps dying: runs wait for verdicts, and forgetting is "
            "not measured.",
        ),
        Alert(
            name="RetainStageStalled",
            value=_stalled(),
            comparison=">",
            threshold=p.stalled_after_s,
            hold=p.stalled_for,
            keep="0s",
            severity="warning",
            summary="{run} makes no progress",
            description="Stage {stage} of run {run} has done no work for {value} s, and was not replaced.",
            labels=("run", "stage"),
        ),
        Alert(
            name="RetainCheckpointUploadFailing",
            value=f"sum by (run, stage) (increase({metrics.CHECKPOINT_UPLOAD_FAILURES.name}[10m]))",
            comparison=">=",
            threshold=p.upload_failures,
            hold="0s",
            keep="5m",
            severity="warning",
            summary="Checkpoints of {run} do not reach the store",
            description="Uploads of stage {stage} of run {run} failed {value} times in ten minutes.",
            labels=("run", "stage"),
        ),
    )


def _forgetting(level: str, threshold: float, hold: str, severity: str, then: str, parameters: Parameters) -> Alert:
    return Alert(
        name=f"RetainForgetting{level}",
        value=_score(),
        comparison=">=",
        threshold=threshold,
        hold=hold,
        keep=parameters.keep_firing_for,
        severity=severity,
        summary="{run} forgot {value} of {retention_set}",
        description=f"Stage {{stage}} of run {{run}}: perplexity on {{retention_set}} is {{value}} above its baseline "
        f"(threshold {threshold:.0%}). {then}",
        labels=("run", "stage", "retention_set"),
        percent=True,
    )


def _doubtful(floor: float) -> str:
    """Scores that the orchestrator holds for too good to be true, by the floor of their own run; and those below the
    usual floor, whoever is there to say so."""
    labels = "run, stage, retention_set"
    flag = f"max by ({labels}) ({metrics.FORGETTING_SUSPICIOUS.name}) > 0"
    return f"(({_score()}) and on ({labels}) ({flag})) or (({_score()}) < {floor:g})"


def _score() -> str:
    """The score now; where there is none although the stage runs, the last one seen. What its gauge does not resolve is
    left out: `abs(NaN) <= floor` is false, so that a broken score stays."""
    ratio, by = metrics.FORGETTING_RATIO.name, "max by (run, stage, retention_set)"
    last = f"{by} (last_over_time({ratio}[{LAST_SEEN}]))"
    running = f"max by (run, stage) ({metrics.STAGE_RUNNING.name} == 1)"
    floor = f"{by} (last_over_time({metrics.FORGETTING_FLOOR_RATIO.name}[{LAST_SEEN}]))"
    resolved = f"unless on (run, stage, retention_set) (abs({last}) <= on (run, stage, retention_set) {floor})"
    return f"(({by} ({ratio}) {resolved}) or ({last} and on (run, stage) {running} {resolved}))"


def _evaluator(job: str) -> str:
    """1 while it answers and all its background tasks live. A task that died counts as dead for a minute: one that
    keeps dying lives for moments in between."""
    tasks = f"min(min_over_time({metrics.EVALUATOR_TASK_UP.name}[1m]))"
    return f'(max(up{{job="{job}"}}) or vector(0)) * ({tasks} or vector(1))'


def _missing() -> str:
    due = f'max by (run, stage) ({metrics.STAGE_VERDICTS_DUE.name}{{kind!~"(?i).*pretrain"}})'
    running = f"max by (run, stage) ({metrics.STAGE_RUNNING.name} == 1)"
    score = f"max by (run, stage) ({metrics.FORGETTING_RATIO.name})"
    return f"{due} and on (run, stage) {running} unless on (run, stage) {score}"


def _stalled() -> str:
    progress = f"max by (run, stage) ({metrics.STAGE_LAST_PROGRESS.name})"
    running = f"max by (run, stage) ({metrics.STAGE_RUNNING.name} == 1)"
    return f"time() - ({progress} and on (run, stage) {running})"
