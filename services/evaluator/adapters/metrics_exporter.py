"""Shows the newest measurement of each run to Prometheus.

Gauges say how things stand now: a record replaces all that its run showed before, also of an earlier stage, whose score
would otherwise keep a page firing that nobody can mend. What was is in Prometheus itself and in the history.
Of what a baseline never knew only the perplexities are shown (`shown_only`), since its score is no forgetting.
Only control sets are shown: a report set of the same name would be a second value of the same series.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence

from retain.values import ForgettingRecord, SetUse
from services.common.metrics import SERIES_KEPT_S, EvaluatorMetrics, RunSeries, finite_or_infinite
from services.evaluator.application.ports import Exporter

MOST_RUNS = 1000  # shown at once; the one that was measured longest ago makes room for another


class PrometheusExporter(Exporter):
    """Sets `EvaluatorMetrics`. Called from the event loop and from the thread of metrics retention."""

    def __init__(
        self, metrics: EvaluatorMetrics, *, kept_s: float = SERIES_KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics, self._clock = metrics, clock
        self._series = RunSeries(metrics, kept_s=kept_s)
        self._shown: dict[str, str] = {}  # run -> the stage that it shows
        self._lock = threading.Lock()

    def export(self, record: ForgettingRecord) -> None:
        with self._lock:
            if self._shown.get(record.run_id) not in (None, record.stage):
                self._metrics.remove_series(run=record.run_id)
            self._shown.pop(record.run_id, None)
            self._shown[record.run_id] = record.stage
            if len(self._shown) > MOST_RUNS:
                oldest = next(iter(self._shown))
                del self._shown[oldest]
                self._series.resumed(oldest)
                self._metrics.remove_series(run=oldest)
            self._series.resumed(record.run_id)
            where = {"run": record.run_id, "stage": record.stage}
            for result in record.results:
                if result.set.use is SetUse.CONTROL:
                    labels = where | {"set": result.set.name, "role": result.set.role.lower()}
                    self._metrics.perplexity.labels(**labels).set(finite_or_infinite(result.perplexity))
                    self._metrics.loss_nats.labels(**labels).set(finite_or_infinite(result.loss_nats))
            self._export_scores(record, where)
            self._export_probe(record, where)

    def _export_scores(self, record: ForgettingRecord, where: dict[str, str]) -> None:
        roles = {
            result.set.name: result.set.role.lower() for result in record.results if result.set.use is SetUse.CONTROL
        }
        metrics = self._metrics
        for score in record.scores:
            if score.use is not SetUse.CONTROL:
                continue
            labels = where | {"retention_set": score.retention_set}
            baseline = where | {"set": score.retention_set, "role": roles[score.retention_set]}
            metrics.baseline_perplexity.labels(**baseline).set(score.baseline_perplexity)
            if score.shown_only:  # what the baseline never knew is no forgetting, and raises no alert
                continue
            metrics.forgetting_ratio.labels(**labels).set(finite_or_infinite(score.ratio))
            metrics.forgetting_nats.labels(**labels).set(finite_or_infinite(score.nats))
            ends = [
                (metrics.forgetting_ratio_ci_low, metrics.forgetting_nats_ci_low, score.ratio_low),
                (metrics.forgetting_ratio_ci_high, metrics.forgetting_nats_ci_high, score.ratio_high),
            ]
            if score.floor_ratio is None:
                metrics.forgetting_floor_ratio.remove_by_labels(labels)
            else:
                metrics.forgetting_floor_ratio.labels(**labels).set(score.floor_ratio)
            for ratio_gauge, nats_gauge, end in ends:
                if end is None:  # an interval that is no longer there must not stay beside the score
                    ratio_gauge.remove_by_labels(labels)
                    nats_gauge.remove_by_labels(labels)
                else:
                    ratio_gauge.labels(**labels).set(end)
                    nats_gauge.labels(**labels).set(math.log1p(end))

    def _export_probe(self, record: ForgettingRecord, where: dict[str, str]) -> None:
        """What a probe found stays until the next one, or another stage: it is asked at few boundaries."""
        for row in record.probe.results if record.probe is not None else ():
            labels = where | {"kind": row.kind.lower()}
            self._metrics.probe_accuracy.labels(**labels).set(row.right / row.items)
            self._metrics.probe_baseline_accuracy.labels(**labels).set(row.baseline_right / row.items)
            if not row.shown_only:
                self._metrics.probe_loss.labels(**labels).set(row.loss)
                self._metrics.probe_loss_ci_low.labels(**labels).set(row.loss_low)
                self._metrics.probe_loss_ci_high.labels(**labels).set(row.loss_high)

    def count(self, *, succeeded: bool, duration_s: float) -> None:
        self._metrics.evaluations.labels(outcome="succeeded" if succeeded else "failed").inc()
        self._metrics.evaluation_duration.observe(duration_s)

    def pending(self, count: int, *, waiting: int) -> None:
        self._metrics.evaluations_pending.set(count)
        self._metrics.evaluations_waiting.set(waiting)

    def unreadable(self, kind: str) -> None:
        """A stored document could not be read and was put aside."""
        self._metrics.unreadable_documents.labels(kind=kind).inc()

    def task(self, name: str, *, alive: bool) -> None:
        """A background task began, or died."""
        self._metrics.task_up.labels(task=name).set(1.0 if alive else 0.0)
        if not alive:
            self._metrics.task_deaths.labels(task=name).inc()

    def exported_runs(self) -> Sequence[str]:
        with self._lock:
            return list(self._shown)

    def run_ended(self, run: str) -> None:
        with self._lock:
            self._series.ended(run, now_s=self._clock())

    def run_continues(self, run: str) -> None:
        with self._lock:
            self._series.resumed(run)

    def drop(self, run: str) -> None:
        with self._lock:
            self._shown.pop(run, None)
            self._series.resumed(run)  # forgotten there too: nothing is left to be taken away later
            self._metrics.remove_series(run=run)

    def sweep(self) -> Sequence[str]:
        with self._lock:
            gone = list(self._series.sweep(now_s=self._clock()))
            for run in gone:
                self._shown.pop(run, None)
            return gone
