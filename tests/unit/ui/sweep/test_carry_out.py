"""Carrying out a sweep on the fake platform: so many at a time, resumed by name, quotas, faults of any cell before any
run."""

from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.errors import BadInput, ClientError
from ui.sweep.carry_out import Submitter
from ui.sweep.file import load_sweep

SWEEP = """
name: rates
spec:
  name: base
  model: {preset: nano}
  stages: [{kind: PRETRAIN, data: {general: "sample://docs"}, duration: {tokens: 1000}}]
grid: {stages.0.learning_rate: [1e-3, 2e-3]}
seeds: [0, 1]
"""


@pytest.fixture
def submitter(client, tmp_path: Path):
    def made(text: str = SWEEP) -> Submitter:
        (tmp_path / "sweep.yaml").write_text(text)
        return Submitter(client=client, sweep=load_sweep(str(tmp_path / "sweep.yaml")), send=False)

    return made


def ended(platform: FakePlatform, state: int = res.RUN_STATE_SUCCEEDED):
    def end(run: res.PipelineRun) -> None:
        run.status.state = state
        platform.put(run)

    return end


def unsettled(platform: FakePlatform) -> int:
    return sum(run.status.state == res.RUN_STATE_PENDING for run in platform.runs.values())


def test_no_more_runs_than_asked_for_are_unfinished(submitter, platform: FakePlatform) -> None:
    seen, told = [], []
    for planned, run in submitter().run_all(at_most=2, pause_s=0.01):
        told.append((planned.settings["stages.0.learning_rate"], planned.seed, str(run.state)))
        seen.append(unsettled(platform))
        if unsettled(platform) == 2 or len(platform.runs) == 4:
            for made in [r for r in platform.runs.values() if r.status.state == res.RUN_STATE_PENDING][:1]:
                ended(platform)(made)
    assert max(seen) == 2
    assert len(platform.runs) == 4
    assert sorted(told) == sorted(
        (rate, s, w) for rate in (1e-3, 2e-3) for s in (0, 1) for w in ("PENDING", "SUCCEEDED")
    )


def test_the_same_sweep_again_makes_nothing_new(submitter, platform: FakePlatform) -> None:
    platform.on_create = ended(platform)
    first = [run.id for _, run in submitter().run_all(at_most=1, pause_s=0.01)]
    again = [run.id for _, run in submitter().run_all(at_most=1, pause_s=0.01)]
    assert first == again == ["run-1", "run-2", "run-3", "run-4"]
    wider = submitter(SWEEP.replace("[0, 1]", "[0, 1, 2]"))
    assert [run.id for _, run in wider.run_all(at_most=1, pause_s=0.01)] == [*first, "run-5", "run-6"]


def test_a_changed_specification_needs_another_name(submitter, platform: FakePlatform) -> None:
    platform.on_create = ended(platform)
    list(submitter().run_all(at_most=1, pause_s=0.01))
    changed = submitter(SWEEP.replace("tokens: 1000", "tokens: 2000"))
    with pytest.raises(BadInput, match=r"sweep rates: .* made run run-1 from another spec; .* a name of its own"):
        list(changed.run_all(at_most=1, pause_s=0.01))


def test_failed_runs_are_left_or_resumed(submitter, platform: FakePlatform) -> None:
    platform.on_create = ended(platform, res.RUN_STATE_FAILED)
    assert {str(run.state) for _, run in submitter().run_all(at_most=1, pause_s=0.01)} == {"FAILED"}
    assert "RetryPipelineRun" not in platform.calls
    for _, run in submitter().run_all(at_most=1, retry=True, pause_s=0.01):
        if run.state == "PENDING":
            ended(platform)(platform.runs[run.id])
    assert {run.status.state for run in platform.runs.values()} == {res.RUN_STATE_SUCCEEDED}


def test_a_run_that_waits_for_a_person_holds_nobody_up(submitter, platform: FakePlatform) -> None:
    platform.on_create = ended(platform, res.RUN_STATE_SUSPENDED)
    assert [str(run.state) for _, run in submitter().run_all(at_most=1, pause_s=0.01)] == ["SUSPENDED"] * 4


def test_a_full_quota_waits_for_a_run_of_its_own(submitter, platform: FakePlatform) -> None:
    platform.most_unsettled = 1
    for _, run in submitter().run_all(at_most=3, pause_s=0.01):
        assert unsettled(platform) <= 1
        if run.state == "PENDING":
            ended(platform)(platform.runs[run.id])
    assert len(platform.runs) == 4
    platform.most_unsettled = 0
    with pytest.raises(ClientError, match="runs that have not ended"):
        list(submitter(SWEEP.replace("rates", "others")).run_all(at_most=3, pause_s=0.01))


def test_a_server_that_is_away_for_a_moment_ends_no_sweep(submitter, platform: FakePlatform, monkeypatch) -> None:
    monkeypatch.setattr("ui.updates.PAUSE_S", 0.01)
    platform.on_create = ended(platform)
    platform.unavailable_calls = 12  # more than gRPC itself tries again
    assert len(list(submitter().run_all(at_most=1, pause_s=0.01))) == 4


def test_each_fault_of_any_cell_is_told_once_and_nothing_is_submitted(submitter, platform: FakePlatform) -> None:
    platform.violations = [("stages[0].duration", "is missing")]
    with pytest.raises(BadInput) as caught:
        submitter(SWEEP.replace("sample://docs", "none.txt")).look()
    assert [(f.field, f.description.rpartition(" (")[2]) for f in caught.value.violations] == [
        ("stages[0].data.general", "cell 1)"),
        ("stages[0].duration", "cell 1)"),
    ]
    assert platform.runs == {}


def test_local_data_is_placed_once(submitter, platform: FakePlatform, tmp_path: Path, client) -> None:
    (tmp_path / "text.jsonl").write_text("".join(f'{{"text": "text {n * n} of {n}"}}\n' for n in range(2000)))
    sweep = submitter(SWEEP.replace("sample://docs", "text.jsonl"))
    sweep.send = True
    platform.on_create = ended(platform)
    sweep.look()
    list(sweep.run_all(at_most=1, pause_s=0.01))
    assert platform.calls.count("CreateUpload") == 1
    assert {run.spec.stages[0].data.general.partition(":")[0] for run in platform.runs.values()} == {"s3"}
