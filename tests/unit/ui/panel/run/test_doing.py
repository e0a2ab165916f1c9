"""What a run that is at work does just now: on its page, in the list, and in the table of progress."""

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.convert import to_view
from ui.client.views import Run
from ui.panel.operations import worker_rows
from ui.panel.pipelines.rows import run_row
from ui.panel.run.parts import stage_standing
from ui.render import progress_table
from ui.render.progress_table import doing, worked_on


def at_work(platform: FakePlatform, phase: int, **status: object) -> Run:
    """A run of three stages before the first attempt of any, as the server tells it."""
    message = scripted_runs.new_run(platform, "r")
    message.status.state, message.status.phase = res.RUN_STATE_RUNNING, phase
    message.status.stages[0].state = res.STAGE_STATE_LOCKED
    message.status.stages[0].unlocked_by = "the data being prepared"
    for name, value in status.items():
        setattr(message.status, name, value)
    platform.put(message)
    return to_view(Run, message)


def test_a_stage_whose_data_are_prepared_is_at_work_and_says_so(platform: FakePlatform, client: RetainClient) -> None:
    run = at_work(platform, res.STAGE_PHASE_PREPARING)
    standing = [stage_standing(run, stage) for stage in run.stages]
    assert standing == ["● Running: preparing data", "⊗ Locked", "⊗ Locked"]
    assert run_row(run)["State"] == "Running: preparing data"
    assert worker_rows([run])[0]["Doing"] == "preparing data"
    for rows in (progress_table.of_run(run), progress_table.of_house([], client.list_runs(states=("RUNNING",)))):
        first, *others = rows
        assert (first.status, first.detail, first.unlocked_by) == ("RUNNING", "preparing data", "")
        assert {other.status for other in others} == {"LOCKED"}


@pytest.mark.parametrize(
    ("phase", "waits", "expected"),
    [
        (res.STAGE_PHASE_UNSPECIFIED, "", "starting workers"),
        (res.STAGE_PHASE_LOADING, "", "loading"),
        (res.STAGE_PHASE_WAITING, "", "waiting for the verdict"),
        (res.STAGE_PHASE_TRAINING, "disk full at /var/retain", "waiting for something outside"),
    ],
)
def test_each_phase_has_its_words(platform: FakePlatform, phase: int, waits: str, expected: str) -> None:
    assert doing(at_work(platform, phase, waiting_for=waits)) == expected


def test_a_stage_that_trains_says_how_far_and_a_run_that_waits_does_nothing(platform: FakePlatform) -> None:
    message = scripted_runs.new_run(platform, "r")
    message.status.state, message.status.phase = res.RUN_STATE_RUNNING, res.STAGE_PHASE_TRAINING
    first = message.status.stages[0]
    first.state, first.attempt, first.step = res.STAGE_STATE_RUNNING, 1, 30  # of 120
    run = to_view(Run, message)
    assert stage_standing(run, run.stages[0]) == "● Running: training"
    assert progress_table.of_run(run)[0].detail == "25.0 %"
    message.status.state, first.state = res.RUN_STATE_SUSPENDED, res.STAGE_STATE_SUSPENDED
    held = to_view(Run, message)
    assert (doing(held), worked_on(held)) == ("", None)
    assert stage_standing(held, held.stages[0]) == "‖ Waits for a person"
