"""What a decision is made on and remembered with."""

import math
from dataclasses import replace

from retain.values import SetRole, SetUse, Severity
from services.orchestrator.domain.policy.gate import GateOutcome
from services.orchestrator.domain.run.state import Checkpoint, StageRun
from services.orchestrator.domain.values import Measurement


def not_finite(stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> str:
    """Names the first figure that is NaN, infinite or missing although the gate needs it; empty when all is well."""
    if not math.isfinite(checkpoint.train_loss_nats):
        return "the training loss"
    for result in measured.results:
        if not result.finite:
            return f"the loss on the {result.set.use.lower()} set of {result.set.name}"
    needed = [SetUse.CONTROL, SetUse.REPORT] if checkpoint.boundary >= stage.plan.boundaries else [SetUse.CONTROL]
    for use in needed:
        names = {score.retention_set for score in measured.scores_of(use)}
        missing = [name for name in stage.plan.retention_sets if name not in names]
        if missing:
            return f"the missing {use.lower()} score of {', '.join(missing)}"
    return "" if measured.results_of(SetUse.CONTROL) else "the missing result of every control set"


def decided(checkpoint: Checkpoint, outcome: GateOutcome, measured: Measurement) -> Checkpoint:
    """The checkpoint with its verdict's figures in place of the measurement."""
    severity = outcome.severity
    return replace(
        checkpoint,
        measurement=None,
        severity=Severity.OK if severity is Severity.UNSPECIFIED else severity,
        forgetting=outcome.worst.ratio if outcome.worst else None,
        target_loss_nats=_target_loss(measured),
    )


def with_evidence(stage: StageRun, checkpoint: Checkpoint, outcome: GateOutcome, measured: Measurement) -> StageRun:
    """The stage with the checkpoint decided and the last figures that people see."""
    report_results = measured.results_of(SetUse.REPORT)
    scores, results = measured.scores_of(SetUse.CONTROL), measured.results_of(SetUse.CONTROL)
    last = replace(
        stage.last,
        forgetting=checkpoint.forgetting,
        worst_set=outcome.worst.retention_set if outcome.worst else "",
        scores=scores,
        results=results,
        report_scores=measured.scores_of(SetUse.REPORT) if report_results else stage.last.report_scores,
        report_results=report_results or stage.last.report_results,
        probe=measured.probe or stage.last.probe,
    )
    finite = bool(results) and all(r.finite for r in results) and all(s.finite for s in scores)
    return replace(
        stage, branch=stage.branch.with_checkpoint(checkpoint), gate=replace(stage.gate, finite=finite), last=last
    )


def _target_loss(measured: Measurement) -> float | None:
    targets = [r for r in measured.results_of(SetUse.CONTROL) if r.set.role is SetRole.TARGET]
    return targets[0].loss_nats if targets else None
