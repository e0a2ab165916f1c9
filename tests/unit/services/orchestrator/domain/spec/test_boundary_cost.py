"""What boundaries will cost and have cost, by hand-computed cases."""

from dataclasses import replace
from itertools import islice

import pytest

from model.data.sources import open_source
from model.gauge import KINDS, gauge_texts
from model.nn.config import PRESETS as MODELS
from model.nn.config import preset
from model.probe import choices, prompts
from model.tokenization.tokenizer import Tokenizer
from retain.values import ComputeSpec, EvaluationSpec, PipelineSpec, ProbeSpec, StageKind
from services.orchestrator.domain.run.boundary_share import boundary_share
from services.orchestrator.domain.run.speeds import measured_speeds
from services.orchestrator.domain.run.state import Costs, LastFigures, StageRun
from services.orchestrator.domain.spec.boundary_cost import GAUGE_TOKENS, Speeds, boundary_cost
from services.orchestrator.domain.spec.model_size import PRESET_SIZES, sizes_of_config, sizes_of_preset
from services.orchestrator.domain.spec.plan import PlannedStage
from services.orchestrator.domain.spec.probe import ANSWERS, READ_TOKENS
from services.orchestrator.transport.present import present_plan, present_stage
from tests.scenarios.builders import prepared, run
from tests.scenarios.scenario_runner import training

# A million parameters: 0.5 s a thousand tokens of training, 0.1 s of evaluation, 12 MB a checkpoint at 6 MB/s.
PARAMETERS = 1_000_000
MEASURED = Speeds(training=2e9, evaluation=1e10, store=6e6)


def planned(**changes: object) -> tuple[PipelineSpec, PlannedStage]:
    """100 steps of 1,000 tokens, a boundary every 10; code is learned and general kept."""
    state = run()
    evaluation = EvaluationSpec(every=state.spec.evaluation.every, tokens_per_set=5_000, decision_lag=0)
    spec = replace(state.spec, evaluation=replace(evaluation, **changes))  # type: ignore[arg-type]
    plan = replace(state.stages[0].plan, tokens_per_step=1_000, tokens=100_000, steps=100)
    assert (plan.boundaries, plan.target, plan.retention_sets) == (10, "code", ("general",))
    return spec, plan


def test_the_cost_is_that_of_uploads_and_sets_at_the_measured_speeds() -> None:
    cost = boundary_cost(*planned(), PARAMETERS, MEASURED)
    assert cost is not None
    assert (cost.checkpoint_bytes, cost.evaluation_tokens) == (12_000_000, 10_000)
    assert (cost.upload_seconds, cost.evaluation_seconds) == (pytest.approx(2.0), pytest.approx(1.0))
    assert (cost.interval_seconds, cost.training_seconds) == (pytest.approx(5.0), pytest.approx(50.0))
    # ten times (2 + 1) and the report sets once more: 31 s beside 50 s of training
    assert cost.boundary_seconds == pytest.approx(31.0)
    assert cost.share == pytest.approx(31 / 81)
    assert cost.basis[:3] == (
        "training speed measured in earlier runs",
        "evaluation speed measured in earlier runs",
        "store measured: 6 MB/s",
    )


def test_over_a_tenth_it_warns_and_says_what_would_be_cheaper() -> None:
    """50 s of training allow 50 / 9 = 5.56 s of boundaries; without the report sets 4.56 s, which is one of 3 s."""
    cost = boundary_cost(*planned(), PARAMETERS, MEASURED)
    assert cost is not None
    assert cost.warning == (
        "boundaries will take 38% of the time of midtrain/code: each waits 2.0 s for the upload and 1.0 s for the "
        "verdict; a longer interval (evaluation.every: {tokens: 100000}), or asynchronous evaluation "
        "(evaluation.decision_lag: 1) costs less"
    )
    slower = boundary_cost(*planned(), PARAMETERS, replace(MEASURED, training=2e8))  # 500 s of training, 31 / 531
    assert slower is not None
    assert slower.share == pytest.approx(31 / 531)
    assert slower.warning == ""


def test_seconds_are_no_reason_to_warn() -> None:
    """The same stage on a machine that is ten times as fast: 3.1 s beside 5 s are shown, and nobody is urged."""
    fast = Speeds(training=2e10, evaluation=1e11, store=6e7)
    cost = boundary_cost(*planned(), PARAMETERS, fast)
    assert cost is not None
    assert (cost.share, cost.boundary_seconds) == (pytest.approx(31 / 81), pytest.approx(3.1))
    assert cost.warning == ""


def test_the_advised_interval_costs_a_tenth_at_most() -> None:
    spec, plan = planned()
    speeds = replace(MEASURED, training=6e8)  # 166.7 s of training leave 18.5 s: five times 3 s and one
    before = boundary_cost(spec, plan, PARAMETERS, speeds)
    assert before is not None
    assert before.share == pytest.approx(31 / (31 + 500 / 3))
    assert "evaluation.every: {tokens: 20000}" in before.warning
    after = boundary_cost(spec, replace(plan, steps_per_boundary=20, boundaries=5), PARAMETERS, speeds)
    assert after is not None
    assert after.boundary_seconds == pytest.approx(16.0)
    assert after.warning == ""


def test_large_sets_are_named_where_they_are_the_larger_part() -> None:
    cost = boundary_cost(*planned(tokens_per_set=50_000), PARAMETERS, MEASURED)
    assert cost is not None
    assert cost.evaluation_seconds == pytest.approx(10.0)
    assert "smaller sets (evaluation.tokens_per_set below 50000)" in cost.warning


def test_gauges_are_small_sets_beside_the_others() -> None:
    spec, plan = planned()
    plan = replace(plan, retention_sets=("general", "gauge-code", "gauge-narrative"))
    plan = replace(plan, never_replayed=("gauge-code", "gauge-narrative"))
    cost = boundary_cost(spec, plan, PARAMETERS, MEASURED)
    assert cost is not None
    assert cost.evaluation_tokens == 2 * 5_000 + 2 * 4_750
    assert "2 sets of 5,000 tokens and 2 gauges of 4,750" in cost.basis[-1]


def test_gauges_are_as_large_as_a_plan_takes_them() -> None:
    documents = islice(open_source("sample://docs"), 4_000)
    tokenizer = Tokenizer.train_bpe([document.text for document in documents], 4_096)
    halves = [half for kind in KINDS for half in (gauge_texts(kind).control, gauge_texts(kind).report)]
    tokens = [sum(len(tokenizer.encode(document.text)) for document in half) for half in halves]
    assert sum(tokens) / len(tokens) == pytest.approx(GAUGE_TOKENS, rel=0.05)


def finetuned(spec: PipelineSpec, **probe: float) -> PipelineSpec:
    asked = ProbeSpec(**{"off": False, **probe})  # type: ignore[arg-type]
    stages = (replace(spec.stages[0], kind=StageKind.FINETUNE), *spec.stages[1:])
    return replace(spec, forgetting=replace(spec.forgetting, probe=asked), stages=stages)


@pytest.mark.parametrize(
    ("probe", "lag", "seconds"),
    [
        # 7,300 tokens are read in 0.73 s; 80 answers of 40 tokens that each take as long as 27 take 8.64 s: 9.37 s.
        ({"answer_tokens": 40}, 0, 31 + 2 * 9.37),  # the start and the end
        ({"answer_tokens": 40, "every": 5}, 0, 31 + 3 * 9.37),  # the start, the fifth boundary and the end
        ({"answer_tokens": 40, "every": 4}, 0, 31 + 4 * 9.37),  # the start, the fourth, the eighth and the end
        ({"answer_tokens": 40, "every": 10}, 0, 31 + 2 * 9.37),  # the tenth is the end
        ({"answer_tokens": 40}, 1, 4 + 2 * 9.37),
        ({"answer_tokens": 40, "every": 4}, 1, (3 + 18.74 - 5) + (3 + 9.37 - 5) + 4 + 9.37),  # 5 s of each are trained
        ({"answer_tokens": 40, "most_seconds": 5.0}, 0, 31 + 2 * 5),
    ],
)
def test_a_fine_tuning_waits_for_its_probe(probe: dict[str, float], lag: int, seconds: float) -> None:
    spec, plan = planned(decision_lag=lag)
    cost = boundary_cost(finetuned(spec, **probe), plan, PARAMETERS, MEASURED)
    assert cost is not None
    assert cost.boundary_seconds == pytest.approx(seconds)
    assert cost.share == pytest.approx(seconds / (seconds + 50))
    assert "the probe, asked of" in cost.basis[-1]


def test_a_dear_probe_is_named_with_what_makes_it_cheaper() -> None:
    spec, plan = planned()
    cost = boundary_cost(finetuned(spec, answer_tokens=100), plan, PARAMETERS, MEASURED)  # 0.73 + 21.6 s, twice
    assert cost is not None
    assert "the probe takes at most 45 s in all" in cost.warning
    assert "forgetting.probe.answer_tokens" in cost.warning
    off = boundary_cost(finetuned(spec, answer_tokens=100, off=True), plan, PARAMETERS, MEASURED)
    assert off == boundary_cost(spec, plan, PARAMETERS, MEASURED)


def test_the_probe_is_as_large_as_a_plan_takes_it() -> None:
    documents = islice(open_source("sample://docs"), 3_000)
    tokenizer = Tokenizer.train_bpe([document.text for document in documents], 4_096)
    windows = [f"{item.beginning} {ending}" for item in choices() for ending in item.endings]
    tokens = sum(len(tokenizer.encode_open(text)) for text in [*windows, *(prompt.text for prompt in prompts())])
    assert tokens == pytest.approx(READ_TOKENS, rel=0.05)
    assert len(prompts()) == ANSWERS


def test_with_a_lag_only_what_takes_longer_than_the_interval_is_waited_for() -> None:
    cost = boundary_cost(*planned(decision_lag=1), PARAMETERS, MEASURED)
    assert cost is not None
    assert cost.boundary_seconds == pytest.approx(4.0)  # the last one and the report sets: 3 s are done within the 5 s
    slow = boundary_cost(*planned(decision_lag=1), PARAMETERS, replace(MEASURED, store=2e6))
    assert slow is not None
    assert slow.boundary_seconds == pytest.approx(9 * 2.0 + 7.0 + 1.0)  # uploads of 6 s: 2 s over the interval each
    slower = boundary_cost(*planned(decision_lag=1), PARAMETERS, replace(MEASURED, store=1e6))
    assert slower is not None
    assert "a longer interval" in slower.warning
    assert "asynchronous" not in slower.warning


def test_what_was_never_measured_is_assumed_by_name() -> None:
    spec, plan = planned()
    spec = replace(spec, compute=ComputeSpec(workers=2, cpus_per_worker=1.0, min_workers=2))
    cost = boundary_cost(spec, plan, PARAMETERS, Speeds())
    assert cost is not None
    assert cost.basis[:3] == (
        "training speed assumed: 60 GFLOP/s (CPU cores)",
        "evaluation assumed on the same device as training, 3 times as fast a token",
        "store assumed: 100 MB/s",
    )
    assert cost.training_seconds == pytest.approx(6e6 * 100_000 / 60e9)
    assert cost.evaluation_seconds == pytest.approx(2e6 * 10_000 / 60e9)
    assert cost.upload_seconds == pytest.approx(0.12)
    known = boundary_cost(spec, plan, PARAMETERS, Speeds(evaluation=3e10))
    assert known is not None
    assert known.training_seconds == pytest.approx(10.0)  # a third of 3e10 parameters x tokens a second
    gpu = boundary_cost(replace(spec, compute=replace(spec.compute, gpus_per_worker=1.0)), plan, PARAMETERS, Speeds())
    assert gpu is not None
    assert gpu.basis[0] == "training speed assumed: 100,000 GFLOP/s (GPUs)"


@pytest.mark.parametrize(("parameters", "boundaries"), [(0, 10), (PARAMETERS, 0)])
def test_what_is_not_known_yet_is_not_estimated(parameters: int, boundaries: int) -> None:
    spec, plan = planned()
    assert boundary_cost(spec, replace(plan, boundaries=boundaries), parameters, MEASURED) is None


def test_speeds_are_those_of_the_newest_run_that_measured_them() -> None:
    state = run()
    data = replace(prepared(state), parameters=1_000)
    stage = replace(
        state.stages[0],
        last=LastFigures(pace=200.0),
        costs=Costs(upload_s=4.0, upload_bytes=8_000, evaluation_s=2.0, evaluation_tokens=900),
    )
    older = replace(state, prepared=data, stages=(stage,))
    assert measured_speeds([older]) == Speeds(training=200_000.0, evaluation=450_000.0, store=2_000.0)
    newer = replace(older, stages=(replace(state.stages[0], last=LastFigures(pace=100.0)),))
    assert measured_speeds([newer, older]) == Speeds(training=100_000.0, evaluation=450_000.0, store=2_000.0)
    assert measured_speeds([replace(newer, prepared=None)]) == Speeds()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_sizes_of_presets_are_those_of_the_model(name: str) -> None:
    assert set(PRESET_SIZES) == set(MODELS)
    assert sizes_of_preset(name, 4096).parameters == preset(name, vocab_size=4096).parameter_count()
    if PRESET_SIZES[name].vocabulary:
        assert sizes_of_preset(name, 0).parameters == preset(name).parameter_count()


def test_sizes_are_read_from_a_config() -> None:
    # SmolLM2-135M: 134,515,008 parameters, as its makers say
    config = {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49_152,
        "tie_word_embeddings": True,
    }
    assert sizes_of_config(config).parameters == 134_515_008
    for broken in (None, [], {}, config | {"hidden_size": "576"}, config | {"num_attention_heads": True}):
        assert sizes_of_config(broken) is None


def stage(**costs: float) -> StageRun:
    return replace(run().stages[0], costs=Costs(**costs))  # type: ignore[arg-type]


def test_the_share_so_far_is_that_of_all_attempts() -> None:
    found = stage(wait_s=8.0, stall_s=2.0, train_s=50.0, earlier_wait_s=9.0, earlier_stall_s=1.0, earlier_train_s=30.0)
    assert boundary_share(found) == pytest.approx(20 / 100)
    assert boundary_share(stage(train_s=50.0)) is None
    assert boundary_share(stage(wait_s=50.0)) is None
    shown = present_stage(run(), found)
    assert shown.boundary_share == pytest.approx(0.2)
    assert present_stage(run(), stage()).boundary_share is None


def test_a_stage_sums_what_its_uploads_took_and_how_fast_was_measured() -> None:
    runner = training()
    for line in (
        "checkpoint 10 bytes=600 upload=1.5",
        "score 10 general=0.01 took=0.25",
        "checkpoint 20 bytes=400 upload=0.5",
        "score 20 general=0.02",  # known already: it took no time, and says nothing about speed
    ):
        runner.apply(line)
    found = runner.state.stages[0].costs
    assert (found.upload_bytes, found.upload_s) == (1000, 2.0)
    assert (found.evaluation_s, found.evaluation_tokens) == (0.25, 200)  # two sets of 100 tokens


def test_the_plan_carries_its_costs() -> None:
    spec, plan = planned()
    cost = boundary_cost(spec, plan, PARAMETERS, MEASURED)
    message = present_plan(spec, (plan, plan), parameters=PARAMETERS, costs=(cost, None))
    assert message.parameters == PARAMETERS
    assert message.stages[0].boundary_cost.boundary_seconds == pytest.approx(31.0)
    assert "38% of the time" in message.stages[0].boundary_cost.warning
    assert not message.stages[1].HasField("boundary_cost")
