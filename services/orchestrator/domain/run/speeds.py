"""Speeds that the runs of this installation measured, for what a later plan will cost (spec/boundary_cost.py)."""

from collections.abc import Iterable

from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.spec.boundary_cost import Speeds


def measured_speeds(runs: Iterable[PipelineRun]) -> Speeds:
    """Speeds of runs, the newest first: of each kind the first that was measured. Uploads and evaluations are sums over
    a stage, divided once; training is the last pace of a stage."""
    training = evaluation = store = None
    for run in runs:
        parameters = run.prepared.parameters if run.prepared is not None else 0
        for stage in reversed(run.stages):
            if store is None and stage.costs.upload_s > 0 and stage.costs.upload_bytes > 0:
                store = stage.costs.upload_bytes / stage.costs.upload_s
            if parameters and training is None and stage.last.pace > 0:
                training = stage.last.pace * parameters
            if parameters and evaluation is None and stage.costs.evaluation_s > 0 and stage.costs.evaluation_tokens > 0:
                evaluation = stage.costs.evaluation_tokens / stage.costs.evaluation_s * parameters
    return Speeds(training=training, evaluation=evaluation, store=store)
