"""The panel without a browser: live snapshots, charts as data, where it listens."""

import math
import threading
import time

import pytest

from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.panel.__main__ import bind
from ui.panel.axes import Axis, Starts
from ui.panel.charts import draw, forgetting_chart, frame, perplexity_chart, stage_starts
from ui.panel.live import LiveRuns, Snapshot
from ui.render.perplexity_table import dual_rows
from ui.render.severity import MARKS, Thresholds

SEED = Thresholds(minor=0.05, action=0.10, stop=0.20)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("127.0.0.1", "7074")),
        ({"RETAIN_PANEL_PORT": "7174"}, ("127.0.0.1", "7174")),
        ({"RETAIN_PANEL_BIND": "0.0.0.0:80", "RETAIN_PANEL_PORT": "7174"}, ("0.0.0.0", "80")),
    ],
)
def test_the_panel_listens_on_this_machine_unless_told_otherwise(environ, expected) -> None:
    assert bind(environ) == expected


def look_until(live: LiveRuns, run_id: str, state: str) -> Snapshot:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        snapshot = live.look(run_id)
        if snapshot.run is not None and snapshot.run.state == state and snapshot.history:
            return snapshot
        time.sleep(0.02)
    raise AssertionError(f"{run_id} did not become {state}: {live.look(run_id)}")


def test_one_stream_serves_every_look(platform: FakePlatform, client: RetainClient) -> None:
    run = scripted_runs.suspended(platform, "r")
    live = LiveRuns(client)
    assert len(look_until(live, "r", "SUSPENDED").decisions) == 6
    for _ in range(20):
        live.look("r")
    run.status.state = 6
    platform.put(run)
    assert look_until(live, "r", "CANCELLED").run is not None
    assert platform.calls.count("WatchPipelineRun") == 1


def test_a_change_of_a_run_waits_for_no_measurement(
    platform: FakePlatform, client: RetainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scripted_runs.suspended(platform, "r")
    live = LiveRuns(client)
    look_until(live, "r", "SUSPENDED")
    answers = threading.Event()
    measured = client.metrics
    monkeypatch.setattr(client, "metrics", lambda *at, **how: answers.wait(20) and measured(*at, **how))
    run.spec.labels["seen"] = "now"
    platform.put(run)
    deadline = time.monotonic() + 10
    try:
        while "seen" not in live.look("r").run.spec.labels and time.monotonic() < deadline:
            time.sleep(0.02)
        assert live.look("r").run.spec.labels["seen"] == "now"
    finally:
        answers.set()
    run.status.state = 6
    platform.put(run)
    assert look_until(live, "r", "CANCELLED").error is None


def test_an_error_is_kept_for_people_and_the_next_look_tries_again(
    platform: FakePlatform, client: RetainClient
) -> None:
    live = LiveRuns(client)
    deadline = time.monotonic() + 10
    while live.look("absent").error is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert live.look("absent").error == "there is no run absent"
    scripted_runs.finished(platform, "absent")
    assert look_until(live, "absent", "SUCCEEDED").error is None


def measured(client: RetainClient, run_id: str):
    """Rows of the run, and where its stages begin."""
    rows = dual_rows(client.history(run_id), client.decisions(run_id), SEED)
    return rows, stage_starts(rows, client.get_run(run_id))


def test_stages_stand_one_after_another_on_the_axis(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    rows, begins = measured(client, "r")
    assert begins.by_stage == (("pretrain", 0), ("midtrain/code", 120 * 4096), ("finetune", 240 * 4096))
    data = frame(rows, begins)
    assert data["x"].max() == 360 * 4096
    assert tuple(data.groupby("stage", sort=False)["begin"].min().items()) == begins.by_stage, "marked where they begin"
    assert data["target"].isna().sum() == 6  # in pre-training general is itself the target


def test_both_charts_have_their_marks(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    data = frame(*measured(client, "r"))
    drawn = str(forgetting_chart(data, SEED).to_dict())
    for expected in ("ROLL_BACK", "ADJUST", "Minor", "Action", "Stop", "errorbar"):
        assert expected in drawn
    layers = perplexity_chart(data).to_dict()["layer"]
    scales = [
        layer["encoding"]["y"]["scale"]["type"] for layer in layers if "scale" in layer.get("encoding", {}).get("y", {})
    ]
    assert set(scales) == {"log"}


def test_a_score_that_is_too_good_lies_in_a_band_of_its_own(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    assert "Suspect" not in str(forgetting_chart(frame(*measured(client, "r")), SEED).to_dict())
    platform.records["r"][6].scores[0].ratio = -0.999
    assert "Suspect" in str(forgetting_chart(frame(*measured(client, "r")), SEED).to_dict())


def test_within_the_noise_floor_the_chart_has_no_colour(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    grey, plain = MARKS["UNRESOLVED"].hex_colour, forgetting_chart(frame(*measured(client, "r")), SEED).to_dict()
    assert grey not in str(plain)
    assert _bands_of(plain) == ["OK", "Minor", "Action", "Stop"]
    score = platform.records["r"][6].scores[0]
    score.ratio, score.floor_ratio = 0.02, 0.03
    data = frame(*measured(client, "r"))
    assert list(data["colour"]).count(grey) == 1
    drawn = forgetting_chart(data, SEED).to_dict()
    assert _bands_of(drawn) == ["Noise", "OK", "Minor", "Action", "Stop"]
    # a real floor is far too thin for a name
    score.ratio, score.floor_ratio = 0.0, 1e-6
    assert _bands_of(forgetting_chart(frame(*measured(client, "r")), SEED).to_dict()) == [
        "", "OK", "Minor", "Action", "Stop",
    ]  # fmt: skip


def _bands_of(chart: dict) -> list[str]:
    rows = next(rows for rows in chart["datasets"].values() if rows and "band" in rows[0])
    return [row["band"] for row in rows]


def test_a_score_without_bounds_still_draws(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    platform.records["r"][6].scores[0].ratio = math.inf
    assert forgetting_chart(frame(*measured(client, "r")), SEED).to_dict()["layer"]


def test_nothing_measured_draws_nothing_and_pre_training_has_no_score(
    platform: FakePlatform, client: RetainClient
) -> None:
    assert draw((), Starts(axis=Axis.TOKENS, by_stage=()), SEED) == (None, None)
    scripted_runs.tell(platform, "r", until="midtrain/code")
    rows, begins = measured(client, "r")
    perplexity, forgetting = draw(tuple(rows), begins, SEED)
    assert perplexity is not None
    assert forgetting is None
