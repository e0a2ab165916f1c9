"""What a run refers to in the store: for the collection of garbage, and for the keys of its workers."""

from services.orchestrator.domain.policy.garbage import References
from services.orchestrator.domain.run.state import PipelineRun, RunState, StageState


def inputs_of(state: PipelineRun) -> frozenset[str]:
    """URIs of what a run is made from: its base, its data, its model's folder."""
    sources = {source for stage in state.stages for source in stage.plan.sources.values()}
    sources |= set(state.spec.forgetting.retention.values())
    if state.spec.model.huggingface:
        sources.add(state.spec.model.huggingface)
    if state.base is not None:
        sources.add(state.base.uri)
    return frozenset(sources)


def references_of(state: PipelineRun) -> References:
    """What matters of one run beside the names in its text: whether it may still write, and what it may come to use."""
    work = {stage.plan.name: stage.attempt.number for stage in state.stages if stage.status is not StageState.COMPLETE}
    at_work = not state.status.ended or bool(state.jobs)
    preparing = state.status is RunState.RUNNING and state.prepared is None
    return References(
        runs=frozenset({state.id}),
        at_work={state.id: work} if at_work else {},
        preparing=(state.id,) if preparing else (),
    )
