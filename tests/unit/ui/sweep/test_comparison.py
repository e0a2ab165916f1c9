"""The table of a sweep: figures of runs as the services tell them, means and paired changes worked by hand."""

import math

import pytest

from retain.evaluator.v1 import resources_pb2 as evaluator_resources
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import values_pb2
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.errors import BadInput
from ui.sweep.comparison import compare
from ui.sweep.tables import settings_text

RATE = "stages.0.learning_rate"
TARGET, RETENTION = values_pb2.SET_ROLE_TARGET, values_pb2.SET_ROLE_RETENTION
CONTROL, REPORT = values_pb2.SET_USE_CONTROL, values_pb2.SET_USE_REPORT


def measured(name: str, loss: float, role: int, use: int, digest: str = "d") -> values_pb2.SetResult:
    found = values_pb2.SetResult(nats=loss * 100, tokens=100, loss_nats=loss, perplexity=math.exp(loss), units=50)
    found.set.name, found.set.role, found.set.use, found.set.digest = name, role, use, f"{name}-{use}-{digest}"
    return found


def ended(
    platform: FakePlatform,
    rate: float,
    seed: int,
    *,
    forgetting: float = 0.0,
    base: float = 3.0,
    end: float = 2.0,
    digest: str = "d",
    state: int = res.RUN_STATE_SUCCEEDED,
) -> res.PipelineRun:
    """A run with one mid-training: `forgetting` of general; losses of the target before and after."""
    run = res.PipelineRun(id=f"rate-{rate}-seed-{seed}")
    run.spec.seed = seed
    run.spec.labels.update({"sweep": "rates", "sweep-settings": f'{{"{RATE}":{rate}}}'})
    run.status.state = state
    stage = run.status.stages.add(name="midtrain/code", kind=2)
    if state == res.RUN_STATE_SUCCEEDED:
        stage.accepted.uri = "s3://retain/x"
        stage.results.append(measured("code", end, TARGET, CONTROL, digest))
        stage.report_results.append(measured("code", end + 0.1, TARGET, REPORT, digest))
        for name, ratio in (("general", forgetting), ("gauge-code", forgetting - 0.01), ("unknown", 9.0)):
            stage.report_results.append(measured(name, 3.0, RETENTION, REPORT, digest))
            stage.report_scores.add(retention_set=name, ratio=ratio, use=REPORT, shown_only=name == "unknown")
        record = evaluator_resources.ForgettingRecord(run_id=run.id, stage=stage.name, baseline=True)
        record.results.append(measured("code", base, TARGET, CONTROL, digest))
        platform.records[run.id] = [record]
    platform.put(run)
    return run


def test_means_over_seeds_and_changes_in_pairs(client, platform: FakePlatform) -> None:
    """Seeds differ by .2, cells by .01, .02, .03 within a seed: mean .02, deviation .01, 4.303 * .01 / sqrt(3)."""
    for seed, at in enumerate((0.1, 0.3, 0.5)):
        ended(platform, 0.001, seed, forgetting=at, end=2.0)
        ended(platform, 0.002, seed, forgetting=at + 0.01 * (seed + 1), end=1.9)
    first, second = compare(client, "rates").cells
    assert first.settings == {RATE: 0.001}
    assert first.forgetting.mean.value == pytest.approx(0.3)
    assert first.forgetting.change is None
    half = 4.303 * 0.01 / math.sqrt(3)
    change = second.forgetting.change
    assert (change.value, change.low, change.high) == (
        pytest.approx(0.02),
        pytest.approx(0.02 - half),
        pytest.approx(0.02 + half),
    )
    assert second.forgetting.mean.high - second.forgetting.mean.low > 10 * (change.high - change.low)
    assert second.gain_nats.mean.value == pytest.approx(1.1)
    assert second.gain_nats.change.value == pytest.approx(0.1)
    assert second.target_loss_nats.change.value == pytest.approx(-0.1)
    assert (second.forgetting.pairs, second.accepted, second.runs) == (3, 3, 3)


def test_forgetting_is_the_worst_that_decides_or_that_of_a_named_set(client, platform: FakePlatform) -> None:
    ended(platform, 0.001, 0, forgetting=0.2)
    assert compare(client, "rates").cells[0].forgetting.mean.value == pytest.approx(0.2)
    assert compare(client, "rates", set_name="gauge-code").cells[0].forgetting.mean.value == pytest.approx(0.19)
    assert compare(client, "rates", set_name="unknown").cells[0].forgetting.mean.value == pytest.approx(9.0)
    with pytest.raises(BadInput, match="--set: got 'other'; expected one of gauge-code, general, unknown"):
        compare(client, "rates", set_name="other")


def test_one_run_has_the_interval_of_its_documents_and_several_that_of_their_seeds(
    client, platform: FakePlatform
) -> None:
    run = ended(platform, 0.001, 0, forgetting=0.2)
    score = run.status.stages[0].report_scores[0]
    score.ratio_low, score.ratio_high = 0.15, 0.26
    platform.put(run)
    found = compare(client, "rates")
    mean = found.cells[0].forgetting.mean
    assert (mean.value, mean.low, mean.high, mean.count) == (pytest.approx(0.2), 0.15, 0.26, 1)
    assert found.cells[0].gain_nats.mean.low is None
    ended(platform, 0.001, 1, forgetting=0.4)
    mean = compare(client, "rates").cells[0].forgetting.mean
    assert mean.low == pytest.approx(0.3 - 12.706 * 0.1)  # deviation sqrt(.02), over sqrt(2)


def test_what_was_measured_on_other_sets_is_no_pair(client, platform: FakePlatform) -> None:
    ended(platform, 0.001, 0)
    ended(platform, 0.001, 1)
    ended(platform, 0.002, 0, forgetting=0.5)
    ended(platform, 0.002, 1, forgetting=0.7, digest="other")
    row = compare(client, "rates").cells[1]
    assert (row.forgetting.pairs, row.forgetting.other_sets) == (1, 1)
    assert row.forgetting.change.value == pytest.approx(0.5)
    assert row.forgetting.change.low is None
    assert row.forgetting.mean.value == pytest.approx(0.6)


def test_a_run_without_a_model_is_counted_and_not_averaged(client, platform: FakePlatform) -> None:
    ended(platform, 0.001, 0, forgetting=0.1)
    ended(platform, 0.002, 0, state=res.RUN_STATE_SUSPENDED)
    ended(platform, 0.002, 1, forgetting=0.4)
    row = compare(client, "rates").cells[1]
    assert (row.runs, row.accepted, row.states) == (2, 1, {"SUCCEEDED": 1, "SUSPENDED": 1})
    assert row.forgetting.mean.value == pytest.approx(0.4)
    assert (row.forgetting.change, row.forgetting.pairs) == (None, 0)


def test_a_score_that_is_no_number_is_the_worst(client, platform: FakePlatform) -> None:
    run = ended(platform, 0.001, 0, forgetting=0.1)
    run.status.stages[0].report_scores[1].ratio = math.nan
    assert math.isnan(compare(client, "rates").cells[0].forgetting.mean.value)


def test_a_gain_needs_a_base_on_the_same_set(client, platform: FakePlatform) -> None:
    run = ended(platform, 0.001, 0)
    assert compare(client, "rates").cells[0].gain_nats.mean.value == pytest.approx(1.0)
    platform.records[run.id][0].results[0].set.digest = "another"
    assert compare(client, "rates").cells[0].gain_nats.mean is None
    platform.records.clear()
    assert compare(client, "rates").cells[0].gain_nats.mean is None


def test_without_an_evaluator_the_rest_is_told(platform: FakePlatform, monkeypatch) -> None:
    from ui.client import connect

    ended(platform, 0.001, 0, forgetting=0.2)
    monkeypatch.setenv("RETAIN_EVALUATOR", "127.0.0.1:1")
    with connect() as client:
        found = compare(client, "rates")
    assert found.cells[0].gain_nats.mean is None
    assert found.cells[0].forgetting.mean.value == pytest.approx(0.2)
    assert found.notes[0].startswith("no gains: ")


def test_what_is_not_there_is_told(client, platform: FakePlatform) -> None:
    with pytest.raises(BadInput, match="sweep: got 'rates'; expected the name of a sweep that has runs"):
        compare(client, "rates")
    ended(platform, 0.001, 0).project = "a"
    with pytest.raises(BadInput, match="--stage: got 'finetune'; expected one of midtrain/code"):
        compare(client, "rates", stage="finetune")
    ended(platform, 0.001, 1).project = "b"
    with pytest.raises(BadInput, match="one of a, b, which have a sweep of this name each"):
        compare(client, "rates")


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "as the spec is"),
        ({"stages.1.data.general_share": 0.1}, "general_share=0.1"),
        ({"stages.0.learning_rate": 1, "stages.1.learning_rate": 2}, "0.learning_rate=1, 1.learning_rate=2"),
        ({"a.b": 1, "b": 2}, "a.b=1, b=2"),
        ({"": "by hand"}, "by hand"),
    ],
)
def test_settings_are_named_by_what_tells_them_apart(settings, shown) -> None:
    assert settings_text(settings) == shown
