"""What a worker group that asks is told to do: derived from the state, so that a repeated question has one answer."""

from retain.values import PrepareStage, PrepareWork, ReleaseWork, StageWork
from services.orchestrator.domain.handlers.choices.mix_trial import trial_work
from services.orchestrator.domain.run.directives import mix_from
from services.orchestrator.domain.run.lineage import parent_of
from services.orchestrator.domain.run.state import PipelineRun, RunState, StageRun
from services.orchestrator.domain.spec.self_replay import SCHEME

Work = PrepareWork | StageWork | ReleaseWork


def work_of(state: PipelineRun) -> Work:
    """The present assignment of the present worker group."""
    stage = state.current
    if state.status is not RunState.RUNNING or stage is None:
        return ReleaseWork(reason=f"the run is {state.status}")
    if state.prepared is None:
        return PrepareWork(
            attempt=state.prepare_attempt,
            spec=state.spec,
            stages=tuple(
                PrepareStage(
                    index=s.plan.index,
                    name=s.plan.name,
                    sources=s.plan.sources,
                    target=s.plan.target,
                    shares=s.plan.shares,
                    never_replayed=s.plan.never_replayed,
                )
                for s in state.stages
            ),
            base=state.base,
        )
    decision_delay = state.spec.evaluation.decision_lag
    mix = mix_from(stage, stage.attempt.resume_boundary, decision_delay=decision_delay)
    return StageWork(
        attempt=stage.attempt.number,
        index=stage.plan.index,
        name=stage.plan.name,
        spec=state.spec,
        output_uri=output_uri(state, stage),
        parent=parent_of(state, stage),
        resume=stage.attempt.resume,
        target=stage.plan.target,
        shards=state.prepared.stages[stage.plan.index].shards,
        tokenizer=state.prepared.tokenizer,
        shares=mix.shares,
        lr_scale=mix.lr_scale,
        total_steps=stage.plan.steps,
        steps_per_boundary=stage.plan.steps_per_boundary,
        decision_lag=decision_delay,
        sampled=tuple(
            text for text in state.prepared.sampled if stage.plan.sources.get(text.name) == f"{SCHEME}{text.prompts}"
        ),
        mix_trial=trial_work(state, stage),
    )


def output_uri(state: PipelineRun, stage: StageRun) -> str:
    """Where an attempt writes, and nobody else."""
    return f"{state.store_uri}/runs/{state.id}/{stage.plan.name}/attempt-{stage.attempt.number}"
