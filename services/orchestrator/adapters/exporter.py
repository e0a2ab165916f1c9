"""The orchestrator's metrics, kept up by every change of a run. Names and labels are in services/common/metrics.py."""

from collections import Counter

from services.common.metrics import OrchestratorMetrics, RunSeries
from services.orchestrator.application.ports import Overview, StoredRun
from services.orchestrator.application.run_store import Clock, News, Observer
from services.orchestrator.domain.run.boundary_share import boundary_share
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint, RecordDecision
from services.orchestrator.domain.run.directives import judged_at
from services.orchestrator.domain.run.events import CheckpointReported
from services.orchestrator.domain.run.state import (
    CheckpointState,
    PipelineRun,
    RunState,
    StagePhase,
    StageRun,
    StageState,
)
from services.orchestrator.domain.run.time_left import time_left_s
from services.orchestrator.domain.spec.bounds import limits_of


class Exporter(Observer):
    """Level-triggered where it can be: gauges are what the state says, counters grow by the difference to before."""

    def __init__(self, metrics: OrchestratorMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._series = RunSeries(metrics)
        self._counts: Counter[RunState] = Counter()
        self._running: dict[str, set[tuple[str, str]]] = {}  # run -> its stages (name, kind) that are said to run
        self._export_counts()

    def looked(self, overview: Overview, news: News) -> None:
        """Gauges are what the database holds; series of a run that ended unheard end too."""
        if not news.statuses:
            self._counts = Counter(overview.counts)
            self._export_counts()
        for kind in ("run", "checkpoint", "decision"):
            self._metrics.unreadable_records.labels(kind=kind).set(overview.unreadable.get(kind, 0))
        present = {state.id for state in overview.attention} | news.runs
        for run_id in self._running.keys() - present:
            for name, kind in tuple(self._running[run_id]):
                self._stopped(run_id, name, kind)
            self._series.ended(run_id, now_s=self._clock.monotonic_s())
        for state in overview.attention:
            if state.id not in news.runs:
                self._take_over(state)

    def _take_over(self, state: PipelineRun) -> None:
        for stage in state.stages:
            self._export_stage(state, stage)
        if state.status.ended:
            self._series.ended(state.id, now_s=self._clock.monotonic_s())
        else:
            self._series.resumed(state.id)

    def sweep(self) -> None:
        """Take away the series of runs that ended some minutes ago."""
        self._series.sweep(now_s=self._clock.monotonic_s())

    def freed(self, kind: str, freed_bytes: int) -> None:
        """Garbage is gone."""
        self._metrics.garbage_freed_bytes.labels(kind=kind).inc(freed_bytes)

    def deleted(self, run_id: str, status: RunState) -> None:
        """A run is gone."""
        self._counts[status] -= 1
        self._export_counts()

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        if before is None or before.status is not after.status:
            if before is not None:
                self._counts[before.status] -= 1
            self._counts[after.status] += 1
            self._export_counts()
            if after.status.ended:
                self._series.ended(after.id, now_s=self._clock.monotonic_s())
            elif before is not None and before.status.ended:
                self._series.resumed(after.id)
        for record in records:
            if isinstance(record, RecordDecision):
                self._metrics.decisions.labels(decision=record.decision.verdict.value).inc()
            elif isinstance(record, RecordCheckpoint):
                self._count_checkpoint(before, record)
        for stage in after.stages:
            earlier = before.stages[stage.plan.index] if before is not None else None
            if stage is not earlier and stage != earlier:
                self._count_stage(after, earlier, stage)
                self._export_stage(after, stage)

    def uploaded(self, run_id: str, stage: str, event: CheckpointReported) -> None:
        """Durations that a checkpoint's report carries."""
        labels = {"run": run_id, "stage": stage}
        self._metrics.checkpoint_upload_seconds.labels(**labels).observe(event.upload_s)
        self._metrics.checkpoint_stall_seconds.labels(**labels).observe(event.stall_s)

    def _count_checkpoint(self, before: PipelineRun | None, record: RecordCheckpoint) -> None:
        checkpoint = record.checkpoint
        if before is None or checkpoint.status not in (CheckpointState.LIVE, CheckpointState.VOID):
            return
        stage = before.stages[checkpoint.stage_index]
        if all(checkpoint.id != known.id for known in (*stage.branch.checkpoints, *stage.branch.voided)):
            labels = {"run": checkpoint.run_id, "stage": checkpoint.stage}
            self._metrics.checkpoint_bytes.labels(**labels).inc(checkpoint.bytes)

    def _count_stage(self, state: PipelineRun, before: StageRun | None, stage: StageRun) -> None:
        labels = {"run": state.id, "stage": stage.plan.name}
        if before is None:
            return
        if stage.attempt.number > before.attempt.number:
            self._metrics.stage_attempts.labels(stage=stage.plan.name).inc(stage.attempt.number - before.attempt.number)
            return
        self._metrics.train_tokens.labels(**labels).inc(max(0, stage.last.tokens - before.last.tokens))
        failures = stage.last.upload_failures - before.last.upload_failures
        self._metrics.checkpoint_upload_failures.labels(**labels).inc(max(0, failures))

    def _export_stage(self, state: PipelineRun, stage: StageRun) -> None:
        labels = {"run": state.id, "stage": stage.plan.name}
        limits = limits_of(state.spec.forgetting)
        seen = [s for s in (*stage.last.scores, *stage.last.report_scores) if not s.shown_only]
        doubtful = {s.retention_set for s in seen if limits.doubtful(s.ratio)}
        for score in stage.last.scores:
            flag = self._metrics.forgetting_suspicious.labels(**labels, retention_set=score.retention_set)
            flag.set(1 if score.retention_set in doubtful else 0)
        kind = {**labels, "kind": stage.plan.kind.value}
        metrics = self._metrics
        if stage.status is not StageState.RUNNING:
            self._stopped(state.id, stage.plan.name, stage.plan.kind.value)
            return
        self._running.setdefault(state.id, set()).add((stage.plan.name, stage.plan.kind.value))
        metrics.stage_running.labels(**kind).set(1)
        decision_delay = state.spec.evaluation.decision_lag
        newest = stage.branch.newest
        due = judged_at(stage, newest.boundary, decision_delay=decision_delay) if newest else 0
        metrics.stage_verdicts_due.labels(**kind).set(max(0, due))
        # Waiting for a verdict is not a stall of the stage.
        if state.phase in (StagePhase.TRAINING, StagePhase.WAITING, StagePhase.SAVING, StagePhase.LOADING):
            metrics.stage_last_progress.labels(**kind).set(state.updated_s)
        metrics.train_loss_nats.labels(**labels).set(stage.last.train_loss_nats)
        metrics.train_tokens_per_second.labels(**labels).set(stage.last.tokens_per_second)
        left_s = time_left_s(stage)
        if left_s is not None:
            metrics.stage_time_left.labels(**labels).set(left_s)
        share = boundary_share(stage)
        if share is not None:
            metrics.stage_boundary_ratio.labels(**labels).set(share)
        metrics.learning_rate.labels(**labels).set(stage.last.learning_rate)
        metrics.curriculum_level.labels(**labels).set(stage.last.curriculum_level)
        share = stage.branch.mix.shares.get("general", 1.0 if stage.plan.target == "general" else 0.0)
        metrics.general_share.labels(**labels).set(share)

    def _stopped(self, run_id: str, name: str, kind: str) -> None:
        """A stage does not run (any more)."""
        for gauge in (self._metrics.stage_running, self._metrics.stage_last_progress, self._metrics.stage_verdicts_due):
            gauge.remove_by_labels({"run": run_id, "stage": name, "kind": kind})
        for gauge in (
            self._metrics.train_tokens_per_second,
            self._metrics.stage_time_left,
            self._metrics.stage_boundary_ratio,
        ):
            gauge.remove_by_labels({"run": run_id, "stage": name})
        running = self._running.get(run_id, set())
        running.discard((name, kind))
        if not running:
            self._running.pop(run_id, None)

    def _export_counts(self) -> None:
        for status in RunState:
            self._metrics.pipeline_runs.labels(state=status.value).set(self._counts[status])
