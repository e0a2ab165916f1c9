"""What a page that is left alone draws by itself: what is new, and nothing else."""

import time

from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_pages import open_page, platform, said, table_with
from tests.ticks import tick

__all__ = ["platform"]


def test_a_change_of_a_run_is_drawn_without_its_chart(platform: FakePlatform) -> None:
    run = scripted_runs.suspended(platform, "r")
    at = open_page("run")
    deadline = time.monotonic() + 20
    while "24.0 %" not in said(at) and time.monotonic() < deadline:
        at.run()
    assert len(at.get("vega_lite_chart")) == 1, "of its perplexity: in pre-training nothing is forgotten"
    tick(at)
    assert (said(at), list(at.get("vega_lite_chart"))) == ("", [])
    run.spec.labels["seen"] = "now"
    platform.put(run)
    while "seen" not in said(tick(at)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "seen=now" in said(at)
    assert "Decisions" not in said(at)
    assert list(at.get("vega_lite_chart")) == []


def test_a_new_run_comes_into_the_list_by_itself(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "done")
    at = open_page("pipelines")
    tick(at)
    assert len(at.dataframe) == 0
    scripted_runs.new_run(platform, "later")
    tick(at)
    assert list(table_with(at, "Run")["Run"]) == ["later", "done"]
    assert "Training pipeline progress" not in said(at)
