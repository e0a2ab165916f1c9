"""A file of one's own on the page of checkpoints: what was found beside the run's own sets, and what is refused."""

from retain.evaluator.v1 import resources_pb2
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_new import platform  # noqa: F401  (a fixture)
from tests.integration.panel.test_panel_pages import open_page, said
from tests.ticks import tick

SHA = "b" * 64


def _page(platform: FakePlatform, file: str, **state: object):  # noqa: F811
    run = scripted_runs.finished(platform, "done")
    row = platform.checkpoints[-1]
    assert run.id
    at = open_page("pipelines", **state)
    at.switch_page("app_pages/checkpoints.py")
    at.query_params["checkpoint"] = row.id
    at.query_params["file"] = f"s3://retain/uploads/{SHA}/{file}"
    at.query_params["documents"] = "60"
    at.run()
    assert not at.exception
    return at


def test_the_figures_stand_beside_those_of_the_runs_own_sets(platform: FakePlatform) -> None:  # noqa: F811
    platform.file_results["mine.txt"] = resources_pb2.FileResult(
        file_name="mine.txt", documents=60, tokens=600, perplexity=12.345, perplexity_low=11.5, perplexity_high=13.25,
        bits_per_byte=1.25, loss_nats=2.5, context=256, units=60, kept=True,
    )  # fmt: skip
    at = _page(platform, "mine.txt")
    assert f"EvaluateFile s3://retain/uploads/{SHA}/mine.txt 0 60" in platform.calls
    assert [one.value for one in at.metric] == ["12.35", "1.2500", "2.5000"]
    table = next(frame.value for frame in at.dataframe if "Text" in frame.value)
    assert table["Text"][0] == "mine.txt (yours)"
    assert table["Perplexity"][0] == "12.35 [11.5, 13.25]"
    assert "measured before" in said(at)


def test_while_it_is_measured_the_page_says_how_far_it_is(platform: FakePlatform) -> None:  # noqa: F811
    platform.file_results["mine.txt"] = resources_pb2.FileResult(file_name="mine.txt", perplexity=2.0)
    at = _page(platform, "mine.txt")
    assert "It goes on when this page is closed" in said(at)
    assert not at.metric
    assert said(tick(at)) == "", "it is as far as it was"
    platform.file_results["mine.txt"].kept = True
    assert tick(at).metric[0].value == "2"


def test_a_file_that_cannot_be_measured_says_why(platform: FakePlatform) -> None:  # noqa: F811
    at = _page(platform, "paper.pdf")
    shown = [frame.value for frame in at.dataframe if "What is wrong" in frame.value]
    assert "ending in '.pdf'" in shown[0]["What is wrong"][0]


def test_who_may_only_look_sees_no_place_for_a_file(platform: FakePlatform) -> None:  # noqa: F811
    at = _page(platform, "mine.txt", retain_roles=("viewer",))
    assert not [one for one in at.get("expander") if "file of your own" in one.label]
    assert not [call for call in platform.calls if call.startswith("EvaluateFile")]
