"""Every Prometheus metric of Retain: its name, type, labels and help, said once.

Two services export: the evaluator what it measures, the orchestrator what it decides and what workers report to it
(workers come and go, so nothing scrapes them). Both export the gRPC metrics under their usual names. Base units only:
seconds, bytes, nats; a `ratio` is a plain number (0.10 is 10 %).

    registry = CollectorRegistry()
    metrics = EvaluatorMetrics(registry)
    metrics.forgetting_ratio.labels(run="r1", stage="midtrain/code", retention_set="general").set(0.04)

Labels that name a run would pile up for ever, so `RunSeries` takes the series of a run away some minutes after it ended
(long enough to be scraped once more, and for a person who looks at a dashboard to see the end).

A Prometheus gauge may hold NaN, and `NaN >= 0.10` is false there too: a broken model would be silent. Whoever sets
`retain_forgetting_*` therefore exports +Inf in place of NaN (`finite_or_infinite`), which every threshold catches.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # a second series for each counter that nothing here reads

SERIES_KEPT_S = 600.0  # how long the series of a run outlive it


class Kind(StrEnum):
    """Type of a metric."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Definition of one metric. `buckets` are upper ends, for histograms only."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    help: str
    buckets: tuple[float, ...] = ()

    def register(self, registry: CollectorRegistry) -> Gauge | Counter | Histogram:
        """Creates the collector on `registry`; a second one of the same name there is an error of prometheus_client."""
        if self.kind is Kind.HISTOGRAM:
            return Histogram(self.name, self.help, self.labels, registry=registry, buckets=self.buckets)
        kind = Gauge if self.kind is Kind.GAUGE else Counter
        return kind(self.name, self.help, self.labels, registry=registry)


_SCORE = ("run", "stage", "retention_set")
_PROBE = ("run", "stage", "kind")
_SET = ("run", "stage", "set", "role")
_STAGE = ("run", "stage")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _gauge(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, labels=labels, help=text)


def _counter(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, labels=labels, help=text)


def _histogram(name: str, labels: tuple[str, ...], text: str, buckets: tuple[float, ...] = _SECONDS) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, labels=labels, help=text, buckets=buckets)


# ---- evaluator -------------------------------------------------------------------------------------------------------
FORGETTING_RATIO = _gauge(
    "retain_forgetting_ratio",
    _SCORE,
    "(ppl_now - ppl_baseline) / ppl_baseline on the control set, signed; +Inf when it is not a number.",
)
FORGETTING_RATIO_CI_LOW = _gauge(
    "retain_forgetting_ratio_ci_low", _SCORE, "Lower end of the ratio's 95 % interval; absent with under 50 units."
)
FORGETTING_RATIO_CI_HIGH = _gauge(
    "retain_forgetting_ratio_ci_high", _SCORE, "Upper end of the ratio's 95 % interval; absent with under 50 units."
)
FORGETTING_NATS = _gauge(
    "retain_forgetting_nats", _SCORE, "ln(ppl_now / ppl_baseline) on the control set; +Inf when it is not a number."
)
FORGETTING_NATS_CI_LOW = _gauge("retain_forgetting_nats_ci_low", _SCORE, "Lower end of the 95 % interval in nats.")
FORGETTING_NATS_CI_HIGH = _gauge("retain_forgetting_nats_ci_high", _SCORE, "Upper end of the 95 % interval in nats.")
FORGETTING_FLOOR_RATIO = _gauge(
    "retain_forgetting_floor_ratio",
    _SCORE,
    "Noise floor of the ratio on this device: a score no further from 0 is not resolved, and is no alert; absent where "
    "it is not known.",
)
PERPLEXITY = _gauge("retain_perplexity", _SET, "exp(nats / tokens) of the last checkpoint; role: target or retention.")
LOSS_NATS = _gauge("retain_loss_nats", _SET, "Mean loss of the last checkpoint in nats a token.")
BASELINE_PERPLEXITY = _gauge("retain_baseline_perplexity", _SET, "Perplexity that a retention set is compared with.")
PROBE_ACCURACY = _gauge(
    "retain_probe_accuracy", _PROBE, "Share of the probe's items that the last checkpoint got right."
)
PROBE_BASELINE_ACCURACY = _gauge("retain_probe_baseline_accuracy", _PROBE, "The same of the stage's start.")
PROBE_LOSS = _gauge(
    "retain_probe_loss",
    _PROBE,
    "Share of the probe's items lost since the stage's start; absent where it knew nothing.",
)
PROBE_LOSS_CI_LOW = _gauge("retain_probe_loss_ci_low", _PROBE, "Lower end of the loss's 95 % interval.")
PROBE_LOSS_CI_HIGH = _gauge("retain_probe_loss_ci_high", _PROBE, "Upper end of the loss's 95 % interval.")
FORGETTING_SUSPICIOUS = _gauge(
    "retain_forgetting_suspicious",
    _SCORE,
    "1 while the last score is too good to be true (below its run's forgetting.suspicious_below, or below -1), else 0.",
)
EVALUATIONS = _counter("retain_evaluations_total", ("outcome",), "Evaluations that ended: succeeded or failed.")
EVALUATION_DURATION = _histogram(
    "retain_evaluation_duration_seconds", (), "Seconds from taking an evaluation up to its end."
)
EVALUATIONS_PENDING = _gauge("retain_evaluations_pending", (), "Evaluations that wait or are being measured.")
EVALUATIONS_WAITING = _gauge(
    "retain_evaluations_waiting", (), "Evaluations that wait for a store that is away or a disk that is full."
)
EVALUATOR_TASK_UP = _gauge(
    "retain_evaluator_task_up", ("task",), "1 while a background task works, 0 while it is dead and to be begun again."
)
EVALUATOR_TASK_DEATHS = _counter(
    "retain_evaluator_task_deaths_total", ("task",), "Deaths of background tasks; each was begun again."
)
EVALUATOR_UNREADABLE = _counter(
    "retain_evaluator_unreadable_documents_total",
    ("kind",),
    "Stored documents that could not be read and were put aside: evaluation, history or result.",
)

# ---- orchestrator ----------------------------------------------------------------------------------------------------
PIPELINE_RUNS = _gauge("retain_pipeline_runs", ("state",), "Pipeline runs by state.")
UNREADABLE_RECORDS = _gauge(
    "retain_unreadable_records", ("kind",), "Stored runs, checkpoints and decisions that are set aside, found so far."
)
GARBAGE_FREED_BYTES = _counter(
    "retain_garbage_freed_bytes_total", ("kind",), "Bytes in the store that nothing referred to and that were deleted."
)
STAGE_ATTEMPTS = _counter("retain_stage_attempts_total", ("stage",), "Attempts begun, by name of the stage.")
DECISIONS = _counter("retain_decisions_total", ("decision",), "Decisions of the gate or of a person, by verdict.")
TRAIN_LOSS_NATS = _gauge("retain_train_loss_nats", _STAGE, "Training loss in nats a token, as last reported.")
TRAIN_TOKENS = _counter("retain_train_tokens_total", _STAGE, "Tokens trained, rolled-back ones included.")
TRAIN_TOKENS_PER_SECOND = _gauge(
    "retain_train_tokens_per_second", _STAGE, "Training speed over the steps' own time; 0 while nothing moves."
)
STAGE_TIME_LEFT = _gauge(
    "retain_stage_time_left_seconds", _STAGE, "Time to the stage's end at the present pace, boundaries included."
)
STAGE_BOUNDARY_RATIO = _gauge(
    "retain_stage_boundary_ratio",
    _STAGE,
    "Share of the stage's time in which workers waited for uploads and verdicts or stood still for copies.",
)
LEARNING_RATE = _gauge("retain_learning_rate", _STAGE, "Learning rate now.")
GENERAL_SHARE = _gauge("retain_general_share", _STAGE, "Share of general text among the target tokens.")
CURRICULUM_LEVEL = _gauge("retain_curriculum_level", _STAGE, "Curriculum level, from 1; 0 without a curriculum.")
STAGE_RUNNING = _gauge(
    "retain_stage_running", ("run", "stage", "kind"), "1 while a stage is trained; the series goes when it is not."
)
STAGE_LAST_PROGRESS = _gauge(
    "retain_stage_last_progress_timestamp_seconds",
    ("run", "stage", "kind"),
    "Unix time of the last report with work done.",
)
STAGE_VERDICTS_DUE = _gauge(
    "retain_stage_verdicts_due", ("run", "stage", "kind"), "Boundaries of the running stage whose verdict was due."
)
CHECKPOINT_BYTES = _counter("retain_checkpoint_bytes_total", _STAGE, "Bytes of the checkpoints that were registered.")
CHECKPOINT_UPLOAD_FAILURES = _counter(
    "retain_checkpoint_upload_failures_total", _STAGE, "Uploads of checkpoint files that failed and were tried again."
)
CHECKPOINT_UPLOAD_SECONDS = _histogram("retain_checkpoint_upload_seconds", _STAGE, "Seconds of uploading a checkpoint.")
CHECKPOINT_STALL_SECONDS = _histogram(
    "retain_checkpoint_stall_seconds", _STAGE, "Seconds that training stood still for a checkpoint."
)

# ---- both ------------------------------------------------------------------------------------------------------------
_CALL = ("grpc_type", "grpc_service", "grpc_method")  # unary or server_stream
GRPC_HANDLED = _counter("grpc_server_handled_total", (*_CALL, "grpc_code"), "Calls completed, by status code.")
GRPC_HANDLING_SECONDS = _histogram(
    "grpc_server_handling_seconds", _CALL, "Seconds until a call was completed.", _CALL_SECONDS
)


REFUSED_LOGINS = _counter(
    "retain_refused_logins_total", ("reason",), "Calls that showed no good token, by what was wrong with it."
)


class _Group:
    """A set of metrics on one registry. Attributes are named by `_members`; see the definitions above for labels."""

    _members: ClassVar[dict[str, Metric]] = {}

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._collectors = {name: metric.register(registry) for name, metric in self._members.items()}

    @classmethod
    def definitions(cls) -> tuple[Metric, ...]:
        """The group's metrics, without registering them."""
        return tuple(cls._members.values())

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_collectors"][name]
        except KeyError:
            raise AttributeError(f"{name}: no such metric; there are {', '.join(self._members)}") from None

    def remove_series(self, **labels: str) -> None:
        """Takes away every series of the group whose labels hold these values, e.g. `run="r1"`."""
        for name, metric in self._members.items():
            if set(labels) <= set(metric.labels):
                self._collectors[name].remove_by_labels(dict(labels))


class GrpcMetrics(_Group):
    """Calls that a gRPC server handled."""

    _members: ClassVar = {"handled": GRPC_HANDLED, "handling_seconds": GRPC_HANDLING_SECONDS}


class AccessMetrics(_Group):
    """Who was not let in."""

    _members: ClassVar = {"refused_logins": REFUSED_LOGINS}


class EvaluatorMetrics(_Group):
    """What the evaluator exports."""

    _members: ClassVar = {
        "forgetting_ratio": FORGETTING_RATIO,
        "forgetting_ratio_ci_low": FORGETTING_RATIO_CI_LOW,
        "forgetting_ratio_ci_high": FORGETTING_RATIO_CI_HIGH,
        "forgetting_nats": FORGETTING_NATS,
        "forgetting_nats_ci_low": FORGETTING_NATS_CI_LOW,
        "forgetting_nats_ci_high": FORGETTING_NATS_CI_HIGH,
        "forgetting_floor_ratio": FORGETTING_FLOOR_RATIO,
        "perplexity": PERPLEXITY,
        "loss_nats": LOSS_NATS,
        "baseline_perplexity": BASELINE_PERPLEXITY,
        "probe_accuracy": PROBE_ACCURACY,
        "probe_baseline_accuracy": PROBE_BASELINE_ACCURACY,
        "probe_loss": PROBE_LOSS,
        "probe_loss_ci_low": PROBE_LOSS_CI_LOW,
        "probe_loss_ci_high": PROBE_LOSS_CI_HIGH,
        "evaluations": EVALUATIONS,
        "evaluation_duration": EVALUATION_DURATION,
        "evaluations_pending": EVALUATIONS_PENDING,
        "evaluations_waiting": EVALUATIONS_WAITING,
        "task_up": EVALUATOR_TASK_UP,
        "task_deaths": EVALUATOR_TASK_DEATHS,
        "unreadable_documents": EVALUATOR_UNREADABLE,
    }


class OrchestratorMetrics(_Group):
    """What the orchestrator exports."""

    _members: ClassVar = {
        "pipeline_runs": PIPELINE_RUNS,
        "unreadable_records": UNREADABLE_RECORDS,
        "garbage_freed_bytes": GARBAGE_FREED_BYTES,
        "stage_attempts": STAGE_ATTEMPTS,
        "decisions": DECISIONS,
        "forgetting_suspicious": FORGETTING_SUSPICIOUS,
        "train_loss_nats": TRAIN_LOSS_NATS,
        "train_tokens": TRAIN_TOKENS,
        "train_tokens_per_second": TRAIN_TOKENS_PER_SECOND,
        "stage_time_left": STAGE_TIME_LEFT,
        "stage_boundary_ratio": STAGE_BOUNDARY_RATIO,
        "learning_rate": LEARNING_RATE,
        "general_share": GENERAL_SHARE,
        "curriculum_level": CURRICULUM_LEVEL,
        "stage_running": STAGE_RUNNING,
        "stage_last_progress": STAGE_LAST_PROGRESS,
        "stage_verdicts_due": STAGE_VERDICTS_DUE,
        "checkpoint_bytes": CHECKPOINT_BYTES,
        "checkpoint_upload_failures": CHECKPOINT_UPLOAD_FAILURES,
        "checkpoint_upload_seconds": CHECKPOINT_UPLOAD_SECONDS,
        "checkpoint_stall_seconds": CHECKPOINT_STALL_SECONDS,
    }


ALL: tuple[Metric, ...] = (
    *EvaluatorMetrics.definitions(),
    *OrchestratorMetrics.definitions(),
    *GrpcMetrics.definitions(),
    *AccessMetrics.definitions(),
)


class RunSeries:
    """Removes the series of ended runs, `kept_s` seconds after their end.

    Level-triggered: tell it which runs ended (as often as you like), and call `sweep` now and then.
    """

    def __init__(self, group: _Group, *, kept_s: float = SERIES_KEPT_S) -> None:
        self._group, self._kept_s = group, kept_s
        self._ended_at_s: dict[str, float] = {}

    def ended(self, run: str, *, now_s: float) -> None:
        """The run ended; the first time that this is said counts."""
        self._ended_at_s.setdefault(run, now_s)

    def resumed(self, run: str) -> None:
        """The run continues after all (a retry): its series stay."""
        self._ended_at_s.pop(run, None)

    def sweep(self, *, now_s: float) -> Iterable[str]:
        """Removes what is due and returns the runs whose series went."""
        due = [run for run, ended_s in self._ended_at_s.items() if now_s - ended_s >= self._kept_s]
        for run in due:
            self._group.remove_series(run=run)
            del self._ended_at_s[run]
        return due


def finite_or_infinite(value: float) -> float:
    """The value, or +Inf when it is NaN or -Inf: a score that is no number must cross every threshold, never none."""
    return value if math.isfinite(value) else math.inf
