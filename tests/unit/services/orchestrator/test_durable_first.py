"""What is durable before what is done: nothing is carried out or told before the database holds what asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_type_hints

import pytest

from services.common.errors import Unavailable
from services.orchestrator.application import ports
from services.orchestrator.application.command_executor import CommandExecutor
from services.orchestrator.application.ports import StoredRun
from services.orchestrator.application.reconciler import Reconciler
from services.orchestrator.application.run_store import Observer
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.events import Admitted
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.domain.step import Step, step
from tests.scenarios.scenario_runner import training
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec

ROOT = Path(ports.__file__).parents[1]


class Listening(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[StoredRun] = []

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        self.told.append(after)


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def test_a_save_that_fails_submits_no_job_and_tells_nobody(offline: Offline) -> None:
    state = await offline.app.runs.create(spec(), "", digest="d")
    listening = Listening()
    offline.app.run_store.subscribe(listening)
    offline.saves.away = True
    with pytest.raises(Unavailable):
        await offline.app.run_store.apply(state.id, Admitted(now_s=1.0))
    assert (offline.jobs.submitted, listening.told) == ([], [])
    assert (await offline.app.run_store.get(state.id)).status is RunState.PENDING
    offline.saves.away = False
    await offline.passed()
    await offline.passed()
    assert len(offline.jobs.submitted) == 1, "what was not written was done neither, and is done once it is"
    assert [run.sequence for run in listening.told] == sorted({run.sequence for run in listening.told})


def test_commands_are_carried_out_of_stored_runs_alone() -> None:
    assert get_type_hints(CommandExecutor.carry_out)["state"] is StoredRun
    assert get_type_hints(Observer.changed)["after"] is StoredRun
    assert get_type_hints(Reconciler._carry_out)["state"] is StoredRun
    assert get_type_hints(Step)["run"] is PipelineRun, "what step returns is not stored yet"


def test_the_repository_alone_says_that_a_run_is_stored() -> None:
    makers = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if "StoredRun(" in path.read_text()}
    assert makers == {"adapters/repository.py"}


def test_what_is_given_up_is_recorded_before_its_files_are_ordered_to_go() -> None:
    runner = training("keep=1")
    ordered = False
    for at in range(10, 60, 10):
        runner.apply(f"checkpoint {at}")
        made = step(runner.state, runner._event(["score", str(at), "general=0.01"]))
        going = [command.checkpoint_id for command in made.commands_after_commit if hasattr(command, "checkpoint_id")]
        rows = {r.checkpoint.id: r.checkpoint.status for r in made.records if hasattr(r, "checkpoint")}
        assert all(rows[name] == "PRUNING" for name in going)
        ordered = ordered or bool(going)
        runner.apply(f"score {at} general=0.01")
    assert ordered, "something was given up"
