"""A run in each tracker, read back with the tracker's own reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.orchestrator_service import FakePlatform
from tests.fakes.tracked_run import AT_THE_END, RUN, put_run
from ui.client.client import RetainClient
from ui.tracking.backends import tracker_at
from ui.tracking.follow import Follower
from ui.tracking.wandb_file import offline_rows


def twice_and_to_the_end(platform: FakePlatform, client: RetainClient, target: str) -> None:
    """Followed by one process half way, by a second to the end, and by a third that finds nothing new."""
    put_run(platform)
    Follower(client, tracker_at(target)).follow(RUN, once=True)
    put_run(platform, ended=True)
    Follower(client, tracker_at(target)).follow(RUN)
    again = Follower(client, tracker_at(target))
    again.follow(RUN)
    assert again.sent == 0


def test_mlflow(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    twice_and_to_the_end(platform, client, f"mlflow:{uri}#trained")
    reader = MlflowClient(tracking_uri=uri)
    (run,) = reader.search_runs([reader.get_experiment_by_name("trained").experiment_id])
    rows = [row for key in run.data.metrics for row in reader.get_metric_history(run.info.run_id, key)]
    found = {(row.key, row.step, row.timestamp): row.value for row in rows}
    assert len(rows) == len(found)
    assert found == pytest.approx(AT_THE_END)
    assert run.info.status == "FINISHED"
    assert run.data.params["stages.0.learning_rate"] == "0.001"
    assert run.data.tags["label.team"] == "lm"
    assert run.data.tags["decision.0001"].endswith("roll back. general +30%")
    assert run.data.tags["checkpoint.midtrain/code"] == "s3://retain/runs/r/step-20"


def test_what_changes_of_a_spec_is_a_tag_in_mlflow(platform: FakePlatform, client: RetainClient, tmp_path) -> None:
    target = f"mlflow:sqlite:///{tmp_path}/m.db"
    put_run(platform)
    Follower(client, tracker_at(target)).follow(RUN, once=True)
    platform.runs[RUN].spec.labels["team"] = "other"
    Follower(client, tracker_at(target)).follow(RUN, once=True)
    from mlflow.tracking import MlflowClient

    reader = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/m.db")
    (run,) = reader.search_runs([reader.get_experiment_by_name("retain").experiment_id])
    assert run.data.params["labels.team"] == "lm"
    assert run.data.tags["changed.labels.team"] == "other"
    assert run.data.tags["label.team"] == "other"
    assert run.info.status == "RUNNING"


def test_tensorboard(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    twice_and_to_the_end(platform, client, f"tensorboard:{tmp_path}")
    reader = EventAccumulator(str(tmp_path / RUN), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    rows = [(tag, row) for tag in reader.Tags()["scalars"] for row in reader.Scalars(tag)]
    found = {(tag, row.step, round(1000 * row.wall_time)): row.value for tag, row in rows}
    assert len(rows) == len(found)
    assert found == pytest.approx(AT_THE_END)
    texts = {tag: reader.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in reader.Tags()["tensors"]}
    assert "| stages.0.learning_rate | 0.001 |" in texts["spec"]
    assert "roll back. general +30%" in texts["decisions"]
    assert "s3://retain/runs/r/step-20" in texts["checkpoints"]


def test_wandb(platform: FakePlatform, client: RetainClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    twice_and_to_the_end(platform, client, "wandb:trained")
    rows = list(offline_rows(tmp_path / "wandb", RUN))
    found, count = {}, 0
    for row in rows:
        for key, value in row.items():
            if key in ("step", "time_s") or key.startswith("_"):
                continue
            found[(key, row["step"], round(1000 * row["time_s"]))] = value
            count += 1
    assert count == len(found)
    assert found == pytest.approx(AT_THE_END)


def test_the_command(platform: FakePlatform, retain: Callable, tmp_path: Path) -> None:
    put_run(platform, ended=True)
    outcome = retain("track", RUN, "--to", f"tensorboard:{tmp_path}")
    assert outcome.code == 0
    assert "10 points were sent; the run is SUCCEEDED" in outcome.err + outcome.out
    assert list((tmp_path / RUN).glob("events.out.tfevents.*"))
