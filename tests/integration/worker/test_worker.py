"""The worker's train function against a real object store and a scripted orchestrator on a real port, without Ray."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained
from model.data.eval_set import EvalSet
from model.data.shards import TokenShard
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from services.common.store.minio_store import MinioStore
from services.common.store.object_store import get_folder, key_of
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl
from tests.integration.worker.harness import connect, orchestrator, point_worker_at, small_spec, small_stages, work

pytestmark = pytest.mark.integration
BUCKET = "retain"


@pytest.fixture(scope="module")
def server(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        yield server


@pytest.fixture(scope="module")
def store(server: Server) -> MinioStore:
    return connect(server, BUCKET)


def run(monkeypatch: pytest.MonkeyPatch, server: Server, cache: Path, control: FakeStageControl) -> FakeStageControl:
    connect(server, BUCKET)  # which the orchestrator makes before anybody else comes
    with orchestrator(control):
        work(point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=cache))
    return control


@pytest.fixture(scope="module")
def undisturbed(server: Server, store: MinioStore, tmp_path_factory: pytest.TempPathFactory) -> FakeStageControl:
    """One run that nothing happens to; the others must end with its weights."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return run(
            monkeypatch, server, tmp_path_factory.mktemp("cache"), FakeStageControl(small_spec(), small_stages())
        )


def test_a_run_is_prepared_and_trained_to_its_end(undisturbed: FakeStageControl) -> None:
    assert not undisturbed.failed
    assert [(e.stage_index, e.outcome) for e in undisturbed.ended] == [
        (i, pb.END_OUTCOME_COMPLETED) for i in (-1, 0, 1)
    ]
    for stage in (0, 1):
        assert [c.boundary for c in undisturbed.checkpoints[stage]] == [1, 2]
        assert [c.checkpoint.step for c in undisturbed.checkpoints[stage]] == [4, 8]
        assert [c.checkpoint.tokens for c in undisturbed.checkpoints[stage]] == [4 * 4 * 64, 8 * 4 * 64]
    first, second = undisturbed.checkpoints[0][0], undisturbed.checkpoints[0][1]
    assert second.parent == first.checkpoint.manifest_sha256
    assert undisturbed.checkpoints[1][0].parent == second.checkpoint.manifest_sha256
    assert first.parent == ""
    assert second.train_loss_nats < first.train_loss_nats


def test_what_was_prepared_opens_and_is_named_by_role(
    undisturbed: FakeStageControl, store: MinioStore, tmp_path: Path
) -> None:
    prepared = undisturbed.prepared
    assert prepared is not None
    assert [[s.name for s in stage.shards] for stage in prepared.stages] == [["general"], ["general", "math"]]
    roles = [sorted({(s.name, s.role, s.use) for s in stage.sets}) for stage in prepared.stages]
    assert roles == [
        [("general", 1, 1), ("general", 1, 2)],
        [("general", 2, 1), ("general", 2, 2), ("math", 1, 1), ("math", 1, 2)],
    ]
    by_name = [{(s.name, s.use): s.digest for s in stage.sets} for stage in prepared.stages]
    assert by_name[0]["general", 1] == by_name[1]["general", 1]
    assert prepared.parameters > 100_000
    assert set(prepared.overlap) == {f"{role}/{part}" for role in ("general", "math") for part in ("control", "report")}
    shard = prepared.stages[1].shards[1]
    get_folder(store, key_of(store, shard.uri), tmp_path / "shard")
    opened = TokenShard.open(tmp_path / "shard", verify=True)
    assert (opened.meta.tokens, opened.meta.documents) == (shard.tokens, shard.documents)
    assert 40_000 < shard.tokens < 60_000
    evalset = prepared.stages[1].sets[0]
    get_folder(store, key_of(store, evalset.uri), tmp_path / "set")
    assert EvalSet.open(tmp_path / "set").digest == evalset.digest
    get_folder(store, key_of(store, prepared.tokenizer.uri), tmp_path / "tokenizer")
    assert Tokenizer.load(tmp_path / "tokenizer").fingerprint == prepared.tokenizer.digest


def test_a_checkpoint_in_the_store_is_what_the_design_says(
    undisturbed: FakeStageControl, store: MinioStore, tmp_path: Path
) -> None:
    reported = undisturbed.checkpoints[1][1]
    key = key_of(store, reported.checkpoint.uri)
    assert key == f"runs/r1/midtrain/math/attempt-{undisturbed.begun[-1][1]}/step-000000008"
    get_folder(store, key, tmp_path)
    manifest = checkpoint.verify(tmp_path, reported.checkpoint.manifest_sha256)
    names = {
        "model/config.json", "model/generation_config.json", "model/tokenizer.json", "model/tokenizer_config.json",
        "model/chat_template.jinja", "model/model.safetensors", "model/held_out.json", "optimizer/00001.safetensors",
        "trainer_state.json",
    }  # fmt: skip
    assert set(manifest.files) == names
    assert manifest.weights_digest == reported.checkpoint.weights_digest
    assert reported.bytes == sum((tmp_path / name).stat().st_size for name in names)
    for name, entry in json.loads((tmp_path / "manifest.json").read_text())["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == entry["sha256"]
    assert load_pretrained(tmp_path / "model").config.vocab_size <= 512
    assert checkpoint.load_state(tmp_path).shares == {"general": 0.25}


def test_progress_is_told_with_a_growing_heartbeat(undisturbed: FakeStageControl) -> None:
    beats = [p.heartbeat for p in undisturbed.progress]
    assert beats == sorted(beats)
    assert beats[-1] > beats[0]
    assert {p.stage_index for p in undisturbed.progress} >= {-1}


def test_a_second_run_makes_nothing_again(
    undisturbed: FakeStageControl, server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine (an empty cache), the same spec: same data, same weights, no object of the data written."""
    before = {info.key: info.modified for prefix in ("prepared/", "evalsets/") for info in store.list(prefix)}
    control = run(monkeypatch, server, tmp_path, FakeStageControl(small_spec(), small_stages()))
    assert control.prepared == undisturbed.prepared
    after = {info.key: info.modified for prefix in ("prepared/", "evalsets/") for info in store.list(prefix)}
    assert after == before
    for stage in (0, 1):
        assert control.accepted(stage).weights_digest == undisturbed.accepted(stage).weights_digest


def test_lost_replies_and_a_busy_server_change_nothing(
    undisturbed: FakeStageControl, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = FakeStageControl(small_spec(), small_stages())
    for call in ("BeginAttempt", "ReportCheckpoint", "GetDirective", "EndStage"):
        control.lost_replies[call] = 2
        control.faults[call] = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    run(monkeypatch, server, tmp_path, control)
    assert control.begun == [(-1, 1), (0, 2), (1, 3)]
    assert [c.boundary for c in control.checkpoints[0]] == [1, 2]
    assert control.accepted(1).weights_digest == undisturbed.accepted(1).weights_digest


def test_a_fenced_attempt_stops_and_the_next_one_resumes_bit_for_bit(
    undisturbed: FakeStageControl, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first checkpoint of the second stage somebody else begins an attempt: this one stops writing."""
    control = FakeStageControl(small_spec(), small_stages())

    def fence(request: pb.ReportCheckpointRequest) -> None:
        if request.stage_index == 1 and request.boundary == 1 and control.attempt == request.attempt:
            control.resume[1] = request.checkpoint
            control.attempt += 1

    control.on_checkpoint = fence
    run(monkeypatch, server, tmp_path, control)
    assert control.begun[-2:] == [(1, 3), (1, 5)]
    assert [(c.attempt, c.boundary) for c in control.checkpoints[1]] == [(3, 1), (5, 2)]
    assert control.accepted(1).weights_digest == undisturbed.accepted(1).weights_digest


def test_a_rollback_begins_a_new_attempt_in_place(
    server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = FakeStageControl(small_spec(), small_stages())
    control.verdicts[1, 3, 2] = pb.GetDirectiveResponse(verdict=resources_pb2.VERDICT_ROLL_BACK)

    def keep(request: pb.ReportCheckpointRequest) -> None:
        if request.stage_index == 1 and request.boundary == 1:
            control.resume[1] = request.checkpoint
            control.mix[1] = ({"general": 0.5}, 0.5)

    control.on_checkpoint = keep
    run(monkeypatch, server, tmp_path, control)
    assert control.begun == [(-1, 1), (0, 2), (1, 3), (1, 4)]
    assert [(c.attempt, c.boundary) for c in control.checkpoints[1]] == [(3, 1), (3, 2), (4, 2)]
    old, new = control.checkpoints[1][1], control.checkpoints[1][2]
    get_folder(store, key_of(store, new.checkpoint.uri), tmp_path / "new")
    state = checkpoint.load_state(tmp_path / "new")
    assert (state.shares, state.lr_scale) == ({"general": 0.5}, 0.5)
    assert new.parent == control.checkpoints[1][0].checkpoint.manifest_sha256
    assert new.checkpoint.weights_digest != old.checkpoint.weights_digest


def test_lag_1_ends_with_the_same_weights(
    undisturbed: FakeStageControl, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = run(monkeypatch, server, tmp_path, FakeStageControl(small_spec(), small_stages(), lag=1))
    assert control.accepted(1).weights_digest == undisturbed.accepted(1).weights_digest


@pytest.mark.parametrize("method", ["lora", "ewc", "l2_sp", "distill"])
def test_methods_against_forgetting_train_and_resume_bit_for_bit(
    method: str, server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stage with adapters or a penalty, once undisturbed and once fenced off and resumed half-way."""
    spec = small_spec()
    if method == "lora":
        spec.stages[1].lora.rank, spec.stages[1].lora.alpha = 4, 8
    else:
        setattr(spec.stages[1].penalty, method, 0.1)
    digests = []
    for disturbed in (False, True):
        control = FakeStageControl(spec, small_stages())

        def fence(request: pb.ReportCheckpointRequest, control=control) -> None:
            if request.stage_index == 1 and request.boundary == 1 and control.attempt == request.attempt:
                control.resume[1] = request.checkpoint
                control.attempt += 1

        if disturbed:
            control.on_checkpoint = fence
        run(monkeypatch, server, tmp_path / str(disturbed), control)
        assert not control.failed, control.ended
        digests.append(control.accepted(1).weights_digest)
    assert digests[0] == digests[1]
    get_folder(store, key_of(store, control.accepted(1).uri), tmp_path / "end")
    assert load_pretrained(tmp_path / "end" / "model").num_parameters() == control.prepared.parameters


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (lambda spec, stages: stages[0].sources.update(general="sample://nonsense"), "BAD_SOURCE", "sample://nonsense"),
        (lambda spec, stages: stages[0].sources.update(general="s3://retain/no/such"), "STORE_REFUSED", "no/such"),
        (lambda spec, stages: stages[0].sources.update(general="/nowhere/at/all.txt"), "BAD_SOURCE", "/nowhere/at/all"),
        (lambda spec, stages: setattr(spec.model, "preset", "huge"), "BAD_CONFIG", "model.preset: got huge"),
        (lambda spec, stages: setattr(spec.model, "huggingface", "/nowhere"), "BAD_C", "/nowhere"),
        (lambda spec, stages: setattr(spec.tokenizer.train, "vocab_size", 100), "BAD_CONFIG", "vocab_size: got 100"),
    ],
)  # fmt: skip
def test_a_fault_of_the_spec_ends_the_run_with_its_reason(
    change, reason: str, message: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, stages = small_spec(stages=1), small_stages(1)
    change(spec, stages)
    if spec.model.WhichOneof("source") == "huggingface":
        spec.ClearField("tokenizer")
    control = run(monkeypatch, server, tmp_path, FakeStageControl(spec, stages))
    (ended,) = control.ended
    assert ended.outcome == pb.END_OUTCOME_FAILED
    assert ended.reason.startswith(reason)
    assert message in ended.message


def test_a_loss_that_is_not_finite_is_told_as_such(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(stages=1)
    spec.stages[0].learning_rate = 1e30
    control = run(monkeypatch, server, tmp_path, FakeStageControl(spec, small_stages(1)))
    assert [e.reason for e in control.ended] == ["", "NON_FINITE_LOSS"]


def test_an_imported_model_becomes_a_checkpoint_and_a_parent(
    server: Server, store: MinioStore, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, stages = small_spec(), small_stages()
    del spec.stages[0], stages[0]
    spec.ClearField("tokenizer")
    spec.model.huggingface = str(shared_data / "models" / "stories260K-hf")
    control = run(monkeypatch, server, tmp_path / "cache", FakeStageControl(spec, stages))
    assert not control.failed, control.ended
    base = control.prepared.base
    get_folder(store, key_of(store, base.uri), tmp_path / "base")
    checkpoint.verify(tmp_path / "base", base.manifest_sha256)
    assert control.checkpoints[0][0].parent == base.manifest_sha256
    assert control.prepared.parameters == 260_032
    assert control.checkpoints[0][-1].checkpoint.weights_digest != base.weights_digest
