"""Preparing tells how long a stage is: its count of the batches is what the plan takes over."""

from dataclasses import replace

from retain.values import DurationSpec, Passes, SampledText, StageWork
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.handlers.preparation import on_prepared
from services.orchestrator.domain.run.events import StageEnded
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.transport.present import present_run
from tests.scenarios.builders import prepared, run


def taken_over(*, steps: int, passes: Passes | None) -> PipelineRun:
    state = run()
    stage = replace(state.spec.stages[0], duration=DurationSpec(epochs=2))
    state = replace(state, spec=replace(state.spec, stages=(stage,)))
    made = prepared(state)
    data = replace(
        made,
        stages=(replace(made.stages[0], steps=steps, passes=passes),),
        overlap={"code/control": 0.0},
        near_duplicates={"code/control": 0.25},
    )
    event = StageEnded(
        now_s=1.0, submission=1, attempt=1, stage_index=-1, failed=False, reason="", message="", prepared=data
    )
    return on_prepared(state, event)[0]


def test_the_steps_of_epochs_are_those_that_preparing_counted() -> None:
    passes = Passes(least=2, median=2, most=2)
    state = taken_over(steps=77, passes=passes)
    plan = state.stages[0].plan
    assert (plan.steps, plan.tokens, plan.passes) == (77, 77 * plan.tokens_per_step, passes)
    status = present_run(state).status
    assert (status.stages[0].total_steps, status.stages[0].passes.median) == (77, 2.0)
    assert dict(status.near_duplicates) == {"code/control": 0.25}


def test_data_prepared_before_steps_were_counted_still_has_a_length() -> None:
    """1,000 target tokens twice, nothing filled up."""
    state = taken_over(steps=0, passes=None)
    plan = state.stages[0].plan
    assert plan.steps == -(-2_000 // round(plan.tokens_per_step * (1 - sum(plan.shares.values()))))
    assert not present_run(state).status.stages[0].HasField("passes")


def test_a_stage_is_told_of_the_text_that_its_base_wrote_and_the_run_shows_it() -> None:
    text = SampledText(name="general", digest="d", prompts="bos", temperature=1.0, tokens=5_000)
    state = taken_over(steps=77, passes=None)
    assert state.prepared is not None
    state = replace(state, prepared=replace(state.prepared, sampled=(text,)))
    stage = state.stages[0]
    for uri, told in (("self://bos", (text,)), ("self://chat", ()), ("sample://docs", ())):
        plan = replace(stage.plan, sources={**stage.plan.sources, "general": uri})
        work = work_of(replace(state, status=RunState.RUNNING, stages=(replace(stage, plan=plan), *state.stages[1:])))
        assert isinstance(work, StageWork)
        assert work.sampled == told
    assert [shown.tokens for shown in present_run(state).status.sampled] == [5_000]
