"""The result of an earlier stage, on which a later one builds, cannot be made again by the run itself."""

import pytest

from services.common.errors import FailedPrecondition
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.state import CheckpointStatus, RunState, StageStatus
from tests.scenarios.simulation import World

SMALL = "steps=16 every=4 chat=1 settle=0"


def in_the_second_stage() -> World:
    """A run whose first stage is complete and whose second is about to load its result."""
    world = World(SMALL, worst=0.04)
    while world.state.stages[0].status is not StageStatus.COMPLETE:
        world.admit()
        for effect in world.outstanding():
            world.carry_out(effect)
        for worker in list(world.workers.values()):
            world.advance(worker)
    return world


def test_the_run_ends_with_the_name_and_with_what_can_be_done_and_goes_on_once_it_is_restored() -> None:
    world = in_the_second_stage()
    result = world.state.stages[0].accepted
    assert result is not None
    world.broken.add(result.uri)
    world.settle()
    state = world.state
    assert (state.status, state.reason) == (RunState.FAILED, "CHECKPOINT_DAMAGED")
    name = "r1/midtrain/code/attempt-1/step-000000016"
    assert f"{name}, the result of midtrain/code, is damaged" in state.message
    assert (
        "restore its files and Retry, or start a new run from r1/midtrain/code/attempt-1/step-000000012"
        in state.message
    )
    assert world.ledger.rows[name] is CheckpointStatus.DAMAGED
    assert (world.decisions[-1].actor, world.decisions[-1].message) == ("worker", state.message)

    world.apply(e.Retried(queue_number=2, now_s=world.now_s))
    world.settle()
    assert world.state.reason == "CHECKPOINT_DAMAGED", "a retry without its restoration says so again"
    world.broken.clear()
    world.apply(e.Retried(queue_number=3, now_s=world.now_s))
    assert world.ledger.rows[name] is CheckpointStatus.ACCEPTED
    world.settle()
    assert world.state.status is RunState.SUCCEEDED
    assert [stage.gate.retries for stage in world.state.stages] == [0, 0]
    assert world.state.restarts == 0


def test_a_person_may_not_set_it_aside() -> None:
    world = in_the_second_stage()
    result = world.state.stages[0].accepted
    assert result is not None
    with pytest.raises(FailedPrecondition) as refused:
        world.apply(e.CheckpointVoided(checkpoint=result, now_s=world.now_s))
    assert refused.value.reason == "CHECKPOINT_IN_USE"
    assert "finetune of run r1 builds on it" in str(refused.value)
