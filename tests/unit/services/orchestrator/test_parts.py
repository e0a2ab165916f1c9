"""Smaller parts: ladder, recommendations, liveness, queue, codec, conversion."""

import math
from dataclasses import replace

import pytest

from retain.mapper import to_message, to_value
from retain.types.v1 import spec_pb2
from retain.values import ComputeSpec, ForgettingSpec, PipelineSpec, Severity, StageKind
from retain.values.recommendations import recommendations
from services.common.errors import Corrupt
from services.orchestrator.adapters import codec
from services.orchestrator.adapters.base_reader import ConfigReader
from services.orchestrator.application.queue import Queue
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.policy.ladder import Mix, climb
from services.orchestrator.domain.run.liveness import Liveness
from services.orchestrator.domain.run.state import Job, JobStatus, PipelineRun, RunState, StagePhase
from services.orchestrator.domain.spec.bounds import ladder_of, limits_of
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.huggingface import faults_of_config, faults_of_files
from tests.scenarios.scenario_runner import training
from tests.unit.services.orchestrator.specs import spec

LADDER = ladder_of(ForgettingSpec())
TIMES = {"stall_timeout_s": 45.0, "start_timeout_s": 600.0}


def test_the_ladder_goes_to_the_next_rung_above_the_present_share() -> None:
    mix = Mix(shares={"general": 0.25, "code": 0.05})
    assert climb(mix, "general", LADDER)[0].shares == {"general": 0.3, "code": 0.05}
    assert climb(mix, "code", LADDER)[0].shares == {"general": 0.25, "code": 0.2}
    high = Mix(shares={"general": 0.5, "code": 0.3})
    assert climb(high, "code", LADDER)[0] == replace(high, lr_scale=0.5), "0.5 + 0.5 would leave nothing to learn from"
    assert climb(high, "general", LADDER)[0] == replace(high, lr_scale=0.5)
    assert climb(Mix(), "", LADDER)[0] == Mix(lr_scale=0.5)


def test_recommendations_name_share_and_learning_rate_from_action_on() -> None:
    limits = limits_of(fill(spec()).forgetting)
    moderate = recommendations(Severity.ACTION, limits)
    assert moderate[0].startswith("⚠ Moderate forgetting detected (10-20% degradation)")
    assert any("LOWER learning rate by 50%" in line for line in moderate)
    assert any("restore the last good checkpoint" in line for line in recommendations(Severity.STOP, limits))
    assert recommendations(Severity.OK, limits)[0] == "✓ No significant forgetting (below 5%)"
    assert recommendations(Severity.UNSPECIFIED, limits) == ()


@pytest.mark.parametrize(
    ("ratio", "severity"),
    [(-0.5, "OK"), (0.0499, "OK"), (0.05, "MINOR"), (0.1, "ACTION"), (0.2, "STOP"), (math.nan, "STOP")],
)
def test_severity_is_inclusive_and_fails_closed(ratio: float, severity: str) -> None:
    assert limits_of(fill(spec()).forgetting).severity(ratio) == severity


def test_waiting_is_not_a_hang_but_standing_still_while_training_is() -> None:
    group = Liveness.starting(1, 0.0)
    assert group.overdue(599.0, **TIMES) is None
    assert "have not called" in str(group.overdue(600.0, **TIMES))
    group = group.called(10.0)
    assert "nothing was heard" in str(group.overdue(55.0, **TIMES))
    training_at = group.reported(20.0, phase=StagePhase.TRAINING, heartbeat=(0, 1, 5))
    still = training_at.reported(60.0, phase=StagePhase.TRAINING, heartbeat=(0, 1, 5))
    assert "no progress in TRAINING" in str(still.overdue(65.0, **TIMES))
    grew = training_at.reported(60.0, phase=StagePhase.TRAINING, heartbeat=(0, 1, 6))
    assert grew.overdue(65.0, **TIMES) is None
    waiting = training_at.reported(60.0, phase=StagePhase.WAITING, heartbeat=(0, 1, 5))
    assert waiting.reported(200.0, phase=StagePhase.WAITING, heartbeat=(0, 1, 5)).overdue(210.0, **TIMES) is None


def pending(name: str, number: int, workers: int) -> PipelineRun:
    filled = fill(spec(compute=ComputeSpec(workers=workers)))
    return new_run(name, filled, store_uri="s3://b", base=None, queue_number=number, now_s=0.0)


def test_the_queue_is_first_come_first_served_and_nobody_overtakes() -> None:
    queue = Queue(slots=2)
    small, large, last = pending("a", 1, 1), pending("b", 2, 2), pending("c", 3, 1)
    queue.load([last, small, large])
    assert queue.next_number() == 4
    assert [queue.position(name) for name in "abcx"] == [1, 2, 3, 0]
    assert queue.head() == "a"
    running = replace(small, status=RunState.RUNNING, queue_number=0)
    queue.changed(small, running, ())
    assert [queue.position(name) for name in "abc"] == [0, 1, 2]
    assert queue.head() is None, "b needs both slots, and c does not overtake it"
    ending = replace(running, status=RunState.CANCELLED, jobs=(Job(submission=1),))
    queue.changed(running, ending, ())
    assert queue.head() is None, "a's workers still live"
    queue.changed(ending, replace(ending, jobs=()), ())
    assert queue.head() == "b"
    queue.forget("b")
    assert queue.head() == "c"


def test_a_state_survives_the_database_with_everything_in_it() -> None:
    runner = training("lag=1 budget=0.08")
    for line in ("checkpoint 10", "score 10 general=nan", "ask 1 b", "checkpoint 10", "progress 12", "hung 1"):
        runner.apply(line)
    text = codec.dumps(runner.state)
    assert codec.dumps(codec.loads(PipelineRun, text)) == text
    finite = training()
    finite.apply("checkpoint 10")
    assert codec.loads(PipelineRun, codec.dumps(finite.state)) == finite.state


def test_a_job_that_was_stored_with_a_deadline_in_unix_time_is_stopped_at_once() -> None:
    stored = '{"submission":3,"status":"SUBMITTED","stop_at_s":1790000000.5}'
    assert codec.loads(Job, stored) == Job(submission=3, status=JobStatus.SUBMITTED, stop_after_s=0.0)
    assert codec.loads(Job, '{"submission":3,"stop_at_s":null}') == Job(submission=3)


def test_a_state_with_a_line_half_measured_survives_the_database() -> None:
    runner = training("points=0.3,0.6 controller=ANTICIPATE settle=0.95 stop=0.5")
    for at in range(10, 110, 10):
        runner.apply(f"checkpoint {at}")
        runner.apply(f"score {at} general={0.2 - at / 2000} report=0.15")
    runner.apply("point 0.3 general=0.03 target=2.5")
    stage = runner.state.stages[0]
    assert (
        len(stage.known_interpolation.points),
        len(stage.gate.recent),
        bool(stage.branch.checkpoints[0].effective_shares),
    ) == (
        1,
        2,
        True,
    )
    assert codec.loads(PipelineRun, codec.dumps(runner.state)) == runner.state


@pytest.mark.parametrize("text", ["[]", "{", '{"id": "x"}', '{"id": "x", "colour": 1}'])
def test_a_row_that_does_not_fit_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt):
        codec.loads(PipelineRun, text)


def test_a_spec_goes_over_the_wire_and_back_unchanged() -> None:
    for given in (spec(), fill(spec())):
        assert to_value(to_message(given, spec_pb2.PipelineSpec), PipelineSpec) == given


def test_unset_is_not_zero() -> None:
    message = spec_pb2.PipelineSpec()
    message.stages.add(kind=spec_pb2.STAGE_KIND_MIDTRAIN).data.general_share = 0.0
    read = to_value(message, PipelineSpec)
    assert read.stages[0].data.general_share == 0.0
    assert read.stages[0].schedule.warmup is None
    assert read.forgetting.action is None
    assert read.tokenizer.train is None
    assert fill(read).stages[0].data.replay["general"] == 0.0


def test_an_enum_number_that_nobody_knows_is_a_fault_with_its_path() -> None:
    message = spec_pb2.PipelineSpec()
    message.stages.add()
    message.stages.add(kind=99)  # type: ignore[arg-type]
    faults: list = []
    read = to_value(message, PipelineSpec, faults)
    assert [(f.field, f.description) for f in faults] == [
        ("stages[1].kind", "got 99; expected PRETRAIN, MIDTRAIN, FINETUNE")
    ]
    assert read.stages[1].kind is StageKind.UNSPECIFIED


def test_an_imported_model_is_data_and_nothing_else() -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "vocab_size": 1, "hidden_size": 1, "num_hidden_layers": 1,
        "num_attention_heads": 1, "intermediate_size": 1,
    }  # fmt: skip
    files = ["config.json", "tokenizer.json", "model.safetensors"]
    assert list(faults_of_config(config)) == []
    assert list(faults_of_files(files)) == []
    assert [f for f, _ in faults_of_config(config | {"auto_map": {"AutoModel": "x--y.Z"}})] == ["config.json.auto_map"]
    assert [f for f, _ in faults_of_config(config | {"architectures": ["BertForMaskedLM"]})] == [
        "config.json.architectures"
    ]
    gpt2 = {"architectures": ["GPT2LMHeadModel"], "vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2}
    assert list(faults_of_config(gpt2)) == []
    assert [f for f, _ in faults_of_config(gpt2 | {"n_layer": 0})] == ["config.json.n_layer"]
    for key in ("_attn_implementation", "quantization_config", "use_kernels"):
        assert [f for f, _ in faults_of_config(gpt2 | {key: "owner/kernel"})] == [f"config.json.{key}"]
    assert [f for f, _ in faults_of_config(config | {"vocab_size": "many"})] == ["config.json.vocab_size"]
    assert len(list(faults_of_config(None))) == 1
    for ids in ({"eos_token_id": ["a"]}, {"eos_token_id": 1}, {"eos_token_id": [0, True]}, {"bos_token_id": [0]}):
        assert [f for f, _ in faults_of_config(config | ids)] == [f"config.json.{next(iter(ids))}"], ids
    assert list(faults_of_config(config | {"eos_token_id": [0], "bos_token_id": None, "pad_token_id": -1})) == []
    huge = list(faults_of_config(config | {"vocab_size": 10**400, "architectures": ["x" * 9_000]}))
    assert len(huge) == 2
    assert all(len(said) < 250 for _, said in huge)
    for bad in ("pytorch_model.bin", "modeling_x.py", "weights.pkl"):
        assert len(list(faults_of_files([*files, bad]))) == 1, bad
    assert len(list(faults_of_files([]))) == 3
    index, shard = "model.safetensors.index.json", "model-00001-of-00002.safetensors"
    assert list(faults_of_files([*files, index])) == []
    assert list(faults_of_files([*files[:2], index, shard])) == []
    assert len(list(faults_of_files([*files, index, shard]))) == 1


def test_a_config_that_no_reader_gets_through_leaves_the_context_open(tmp_path) -> None:
    reader = ConfigReader(store=None)  # type: ignore[arg-type]
    texts = (
        "[" * 90_000,
        '{"max_position_embeddings": ' + "9" * 5_000 + "}",
        '{"max_position_embeddings": true}',
        "[]",
    )
    for text in (*texts, '{"max_position_embeddings": 99999999999}'):
        (tmp_path / "config.json").write_text(text)
        assert reader.context_of(str(tmp_path)) is None, text[:40]
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    assert reader.context_of(f"file://{tmp_path}") == 512
    (tmp_path / "config.json").write_text('{"n_positions": 1024}')  # GPT-2's name
    assert reader.context_of(f"file://{tmp_path}") == 1024
