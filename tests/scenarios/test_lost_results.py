"""The result of an earlier stage, on which a later one builds, cannot be made again by the run itself."""

import pytest

from services.common.errors import FailedPrecondition
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.state import CheckpointState, RunState, StageState
from tests.scenarios.simulation import Simulation

SMALL = "steps=16 every=4 chat=1 settle=0"


def in_the_second_stage() -> Simulation:
    """A run whose first stage is complete and whose second is about to load its result."""
    simulation = Simulation(SMALL, worst=0.04)
    while simulation.state.stages[0].status is not StageState.COMPLETE:
        simulation.admit()
        for effect in simulation.outstanding():
            simulation.carry_out(effect)
        for worker in list(simulation.workers.values()):
            simulation.advance(worker)
    return simulation


def test_the_run_ends_with_the_name_and_with_what_can_be_done_and_continues_once_it_is_restored() -> None:
    simulation = in_the_second_stage()
    result = simulation.state.stages[0].accepted
    assert result is not None
    simulation.broken.add(result.uri)
    simulation.settle()
    state = simulation.state
    assert (state.status, state.reason) == (RunState.FAILED, "CHECKPOINT_DAMAGED")
    name = "r1/midtrain/code/attempt-1/step-000000016"
    assert f"{name}, the result of midtrain/code, is damaged" in state.message
    assert (
        "restore its files and Retry, or start a new run from r1/midtrain/code/attempt-1/step-000000012"
        in state.message
    )
    assert simulation.ledger.rows[name] is CheckpointState.DAMAGED
    assert (simulation.decisions[-1].actor, simulation.decisions[-1].message) == ("worker", state.message)

    simulation.apply(e.Retried(queue_number=2, now_s=simulation.now_s))
    simulation.settle()
    assert simulation.state.reason == "CHECKPOINT_DAMAGED", "a retry without its restoration says so again"
    simulation.broken.clear()
    simulation.apply(e.Retried(queue_number=3, now_s=simulation.now_s))
    assert simulation.ledger.rows[name] is CheckpointState.ACCEPTED
    simulation.settle()
    assert simulation.state.status is RunState.SUCCEEDED
    assert [stage.gate.retries for stage in simulation.state.stages] == [0, 0]
    assert simulation.state.restarts == 0


def test_a_person_may_not_set_it_aside() -> None:
    simulation = in_the_second_stage()
    result = simulation.state.stages[0].accepted
    assert result is not None
    with pytest.raises(FailedPrecondition) as refused:
        simulation.apply(e.CheckpointVoided(checkpoint=result, now_s=simulation.now_s))
    assert refused.value.reason == "CHECKPOINT_IN_USE"
    assert "finetune of run r1 builds on it" in str(refused.value)
