"""Histories as data frames: a row for each measurement, one type for each column, also when there is nothing."""

import math

import pandas as pd
import pytest

import retain
from retain.evaluator.v1 import resources_pb2 as evaluator_resources
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import values_pb2
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui import extras
from ui.api import frames


@pytest.fixture
def session(platform: FakePlatform):
    with retain.connect() as made:
        yield made


def test_a_measurement_has_a_row_for_each_set(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    frame = session.history_frame("r")
    assert list(frame.columns) == list(frames.HISTORY)
    assert len(frame) == 6 + 2 * 12  # pre-training keeps nothing; the others have a target and a retention set
    forgotten = frame[(frame["stage"] == "midtrain/code") & (frame["set"] == "general")]
    assert [round(value, 9) for value in forgotten["forgetting"]] == [0.03, 0.12, 0.23, 0.08, 0.06, 0.04]
    row = forgotten.iloc[1]
    assert (row["role"], row["use"], row["baseline_perplexity"], row["set_tokens"]) == (
        "RETENTION",
        "CONTROL",
        50.0,
        15000,
    )
    assert row["perplexity"] == pytest.approx(56.0)
    assert row["forgetting_nats"] == pytest.approx(math.log(1.12))
    assert row["forgetting_low"] == pytest.approx(0.111)
    target = frame[frame["role"] == "TARGET"]
    assert target["forgetting"].isna().all()
    assert len(session.history_frame("r", stage="pretrain")) == 6


def test_the_score_of_a_report_set_is_not_that_of_the_control_set(
    session: retain.Session, platform: FakePlatform
) -> None:
    record = evaluator_resources.ForgettingRecord(run_id="r", stage="finetune", step=3)
    for use, ratio in ((values_pb2.SET_USE_CONTROL, 0.02), (values_pb2.SET_USE_REPORT, 0.07)):
        result = record.results.add(perplexity=50.0 * (1 + ratio))
        result.set.name, result.set.use = "general", use
        record.scores.add(retention_set="general", use=use, ratio=ratio, baseline_perplexity=50.0)
    platform.records["r"] = [record]
    frame = session.history_frame("r")
    assert dict(zip(frame["use"], frame["forgetting"], strict=True)) == {"CONTROL": 0.02, "REPORT": 0.07}
    assert frame["forgetting_low"].isna().all()


def test_the_points_of_curves_have_a_row_each(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    assert list(session.metrics_frame("r").columns) == list(frames.METRICS)
    curve = res.MetricSeries(
        name="perplexity",
        set="general",
        stage="pretrain",
        steps=[10, 20],
        tokens=[2**40, 2**41],
        unix_seconds=[1_700_000_000.5, 1_700_000_001.0],
        attempts=[1, 2],
        values=[50.0, 25.0],
    )
    platform.series["r"] = [curve]
    points = session.metrics_frame("r", names=("perplexity",), max_points=10)
    assert list(points["value"]) == [50.0, 25.0]
    assert list(points["tokens"]) == [2**40, 2**41]
    assert points["time"].iloc[0].isoformat() == "2023-11-14T22:13:20.500000+00:00"


def test_decisions_and_checkpoints_have_a_row_each(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    made = session.decisions_frame("r")
    assert list(made["number"]) == list(range(1, 19))
    assert list(made[made["verdict"] == "ROLL_BACK"]["forgetting"]) == pytest.approx([0.23])
    assert made.iloc[-1]["shares"] == {"general": 0.02}
    rows = session.checkpoints_frame("r")
    assert (len(rows), rows.iloc[0]["stage"], rows.iloc[0]["step"]) == (18, "finetune", 120)
    assert rows["digest"].str.len().eq(64).all()
    assert len(session.checkpoints_frame()) == 18


@pytest.mark.parametrize("name", ["history", "decisions", "checkpoints"])
def test_an_empty_frame_has_the_same_columns_and_types(
    session: retain.Session, platform: FakePlatform, name: str
) -> None:
    full, empty = scripted_runs.finished(platform, "full"), scripted_runs.new_run(platform, "empty")
    make = getattr(session, f"{name}_frame")
    pd.testing.assert_series_equal(make(full.id).dtypes, make(empty.id).dtypes)
    assert str(make(empty.id)["time"].dtype) == "datetime64[us, UTC]"
    assert len(make(empty.id)) == 0


def test_without_pandas_it_is_said_what_brings_it(session: retain.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_requirements", lambda: ['pandas; extra == "notebook"'])
    monkeypatch.setattr(extras, "_is_installed", lambda name: False)
    for name in ("history", "decisions", "checkpoints"):
        with pytest.raises(retain.MissingExtra, match=r"needs pandas, which `pip install 'retain\[notebook\]'` brings"):
            getattr(session, f"{name}_frame")("r")
