"""`retain sweep`: the plan of its cells, the runs, the table, exit codes."""

from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform

SWEEP = """
name: rates
spec:
  name: base
  model: {preset: nano}
  stages: [{kind: PRETRAIN, data: {general: "sample://docs"}, duration: {tokens: 1500}}]
grid: {stages.0.learning_rate: [1e-3, 2e-3]}
seeds: [0, 1, 2]
at_most: 2
"""


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return str(tmp_path / "sweep.yaml")


def end_in(platform: FakePlatform, *states: int) -> None:
    """Every new run ends at once, with one state after the other, the last one for the rest."""
    left = list(states)

    def end(run: res.PipelineRun) -> None:
        run.status.state = left.pop(0) if len(left) > 1 else left[0]
        stage = run.status.stages.add(name="pretrain", kind=1)
        if run.status.state == res.RUN_STATE_SUCCEEDED:
            stage.accepted.uri = "s3://retain/x"
            result = stage.report_results.add(loss_nats=2.0 + 100 * run.spec.stages[0].learning_rate)
            result.set.name, result.set.role, result.set.use = "general", 1, 2
        platform.put(run)

    platform.on_create = end


def test_a_dry_run_prints_the_cells_and_what_they_come_to(retain, platform: FakePlatform, sweep: str) -> None:
    cost = res.BoundaryCost(training_seconds=50.0, boundary_seconds=10.0)
    platform.costs["pretrain"] = cost
    outcome = retain("sweep", "run", sweep, "--dry-run")
    assert outcome.code == 0
    assert "learning_rate=0.001" in outcome.out
    assert "learning_rate=0.002" in outcome.out
    assert (
        "6 runs (2 cells of 3 seeds), at most 2 at a time: 9k tokens, time of all runs one after another 6 min 00 s"
    ) in outcome.out
    assert platform.runs == {}
    told = retain("sweep", "run", sweep, "--dry-run", "--json", "--at-most", "3").json
    assert told["at_most"] == 3
    assert told["cells"][1] == {"settings": {"stages.0.learning_rate": 0.002}, "tokens": 1500, "seconds": 60.0}
    platform.costs.clear()
    assert "one after another not known" in retain("sweep", "run", sweep, "--dry-run").out


def test_a_sweep_runs_to_its_table_and_again_to_the_same(retain, platform: FakePlatform, sweep: str) -> None:
    end_in(platform, res.RUN_STATE_SUCCEEDED)
    outcome = retain("sweep", "run", sweep)
    assert outcome.code == 0
    assert "run-1 SUCCEEDED (learning_rate=0.001, seed 0)" in outcome.err
    assert "3 of 3" in outcome.out
    assert "Δ +0.1000" in outcome.out
    assert "[+0.1000, +0.1000]" in outcome.out
    assert retain("sweep", "run", sweep).out == outcome.out == retain("sweep", "show", "rates").out
    assert len(platform.runs) == 6
    told = retain("sweep", "show", "rates", "--json").json
    assert told["cells"][1]["target_loss_nats"]["change"]["value"] == pytest.approx(0.1)
    assert [run["run_id"] for run in told["runs"]] == [f"run-{n}" for n in range(1, 7)]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((res.RUN_STATE_SUSPENDED, res.RUN_STATE_SUCCEEDED), 5),
        ((res.RUN_STATE_SUSPENDED, res.RUN_STATE_FAILED, res.RUN_STATE_SUCCEEDED), 1),
        ((res.RUN_STATE_CANCELLED, res.RUN_STATE_SUCCEEDED), 1),
    ],
)
def test_the_exit_code_says_how_the_runs_ended(retain, platform: FakePlatform, sweep: str, states, code) -> None:
    end_in(platform, *states)
    assert retain("sweep", "run", sweep, "--json").code == code


def test_faults_are_told_with_their_places(retain, platform: FakePlatform, sweep: str) -> None:
    Path(sweep).write_text(SWEEP.replace("seeds: [0, 1, 2]", "seeds: 5").replace("at_most: 2", "at_most: none"))
    outcome = retain("sweep", "run", sweep)
    assert outcome.code == 2
    assert "seeds: got 5; expected a list of whole numbers from 0 that differ" in outcome.err
    assert "at_most: got 'none'" in outcome.err
    assert retain("sweep", "show", "nothing").code == 2
