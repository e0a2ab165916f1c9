"""The platform as a newcomer meets it: a run from submission to its end, other clients, bad input."""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from transformers import AutoModelForCausalLM, AutoTokenizer

from model.checkpointing import checkpoint
from retain.orchestrator.v1 import orchestrator_service_pb2 as orchestrator_pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as orchestrator_grpc
from services.common.store.object_store import get_folder, key_of
from tests.e2e.pipelines import on_top_of, one_stage, three_stages
from tests.e2e.stack import Stack, until_ended
from tests.identity import channel as channel_to
from ui.client.client import RetainClient
from ui.client.errors import BadInput, ClientError
from ui.client.spec import to_message
from ui.client.views import Run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]

STEPS = {"pretrain": 96, "midtrain/code": 72, "finetune": 48}
GAUGES = ("gauge-code", "gauge-conversation", "gauge-encyclopaedic", "gauge-narrative")
SERVICE = "retain.orchestrator.v1.OrchestratorService"


# --- a run that nobody disturbs


def test_a_run_goes_through_its_stages_and_succeeds(undisturbed: Run) -> None:
    assert (undisturbed.state, undisturbed.status.message) == ("SUCCEEDED", "")
    assert undisturbed.status.submission == 1
    assert [(stage.name, stage.state, stage.attempt) for stage in undisturbed.stages] == [
        ("pretrain", "COMPLETE", 1),
        ("midtrain/code", "COMPLETE", 1),
        ("finetune", "COMPLETE", 1),
    ]
    assert [(stage.step, stage.tokens) for stage in undisturbed.stages] == [
        (steps, steps * 64 * 64) for steps in (96, 72, 48)
    ]


def test_every_boundary_was_decided_once_and_measured(client: RetainClient, undisturbed: Run) -> None:
    decisions = client.decisions(undisturbed.id)
    assert [(d.stage, d.step) for d in decisions] == boundaries()
    assert [(d.stage, d.step) for d in decisions if d.verdict == "ACCEPT"] == list(STEPS.items())
    history = [record for record in client.history(undisturbed.id) if not record.baseline]
    assert [(record.stage, record.step) for record in history] == boundaries()
    assert {score.retention_set for score in history[-1].scores} == {"general", "code", *GAUGES}
    losses = [record.train_loss_nats for record in history if record.stage == "pretrain"]
    assert losses[-1] < losses[0] < math.log(512) + 0.5, "it begins near the loss of guessing, and learns"


def test_text_that_nothing_replays_is_measured_beside_the_rest(client: RetainClient, undisturbed: Run) -> None:
    """Every stage after pre-training has the bundled sets, at the boundaries and in its report. This tiny model has
    read a little documentation and no other text: it knows none of the kinds, so they are shown and decide nothing."""
    history = client.history(undisturbed.id)
    for stage in undisturbed.stages[1:]:
        scored = [row for row in history if row.stage == stage.name and not row.baseline]
        assert all({*GAUGES} <= {s.retention_set for s in row.scores if s.use == "CONTROL"} for row in scored)
        report = {score.retention_set: score for score in stage.report_scores}
        for name in GAUGES:
            last = next(s for s in stage.scores if s.retention_set == name)
            assert math.isfinite(last.ratio)
            assert last.ratio != 0.0, "a stage moved the model"
            assert last.baseline_bits_per_byte is not None
            assert last.shown_only == (last.baseline_bits_per_byte > 2.0)
            assert name in report
            assert name not in stage.shares
        assert stage.worst_set not in {s.retention_set for s in stage.scores if s.shown_only}
    assert {s.retention_set: s.shown_only for s in history[-1].scores}["gauge-code"]
    print({s.retention_set: (round(s.ratio, 4), s.baseline_bits_per_byte) for s in undisturbed.stages[1].scores})


def test_the_history_of_a_stage_begins_with_the_base_before_training(client: RetainClient, undisturbed: Run) -> None:
    """Pre-training begins at random weights, nobody's baseline; what comes later begins at what came before."""
    history = client.history(undisturbed.id)
    firsts = {record.stage: record for record in reversed(history)}
    assert {stage: (first.baseline, first.step) for stage, first in firsts.items()} == {
        "pretrain": (False, 6),
        "midtrain/code": (True, 0),
        "finetune": (True, 0),
    }
    assert sum(record.baseline for record in history) == 2
    base = firsts["midtrain/code"]
    assert [score.ratio for score in base.scores] == [0.0] * (1 + len(GAUGES))
    assert {(result.set.name, result.set.role) for result in base.results} == {
        ("general", "RETENTION"),
        ("code", "TARGET"),
        *((name, "RETENTION") for name in GAUGES),
    }
    learned = {result.set.name: result.nats for result in history[-1].results}
    before = {result.set.name: result.nats for result in firsts["finetune"].results}
    assert learned["chat"] < before["chat"], "the target's loss before training is there, and it fell"
    ended = next(record for record in reversed(history) if record.stage == "midtrain/code")
    assert before["general"] == next(r.nats for r in ended.results if (r.set.name, r.set.use) == ("general", "CONTROL"))


def boundaries() -> list[tuple[str, int]]:
    """Stage and step of each boundary of `three_stages`."""
    return [(stage, step) for stage, total in STEPS.items() for step in range(6, total + 1, 6)]


def test_the_checkpoint_of_a_stage_opens_with_transformers(stack: Stack, undisturbed: Run, tmp_path: Path) -> None:
    accepted = undisturbed.stages[-1].accepted
    assert accepted is not None
    get_folder(stack.store(), key_of(stack.store(), accepted.uri), tmp_path)
    assert checkpoint.verify(tmp_path, accepted.manifest_sha256).weights_digest == accepted.weights_digest
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokens = tokenizer("def add(a, b):", return_tensors="pt")
    logits = model(**tokens).logits
    assert logits.shape[-1] == len(tokenizer) == 512
    assert bool(logits.isfinite().all())


# --- several runs, other clients


class AnyClient:
    """A client that has never seen our protos: it learns all from the server's reflection."""

    def __init__(self, address: str, token: str) -> None:
        self.channel = channel_to(address, token=token)
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def call(self, method: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The replies of a call, one or several, as plain data."""
        described = self.pool.FindServiceByName(SERVICE).FindMethodByName(method)
        message = json_format.ParseDict(request, message_factory.GetMessageClass(described.input_type)())
        make = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        called = make(
            f"/{SERVICE}/{method}",
            request_serializer=lambda out: out.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )(message, timeout=600)
        for reply in called if described.server_streaming else [called]:
            yield json_format.MessageToDict(reply, preserving_proto_field_name=True, descriptor_pool=self.pool)


@dataclass
class Queue:
    """What was seen while two runs shared one worker slot."""

    first: list[dict[str, Any]] = field(default_factory=list)  # every state of the first run, by reflection
    second_while_first: list[Run] = field(default_factory=list)
    second: Run | None = None
    repeated_id: str = ""
    refusal: ClientError | None = None


@pytest.fixture(scope="module")
def queue(client: RetainClient, stack: Stack, undisturbed: Run) -> Queue:
    """One run created and watched by reflection alone; a second one, created twice, waits for it."""
    seen = Queue()
    any_client = AnyClient(stack.endpoints["orchestrator"], stack.token)
    spec, _ = to_message(one_stage("by-reflection"))
    plain = json_format.MessageToDict(spec, preserving_proto_field_name=True)
    (created,) = any_client.call("CreatePipelineRun", {"spec": plain, "request_id": "reflection-1"})
    second = client.create_run(one_stage("second"), request_id="second-1")
    seen.repeated_id = client.create_run(one_stage("second"), request_id="second-1").id
    try:
        client.create_run(one_stage("another"), request_id="second-1")
    except ClientError as refusal:
        seen.refusal = refusal
    first_id = created["run"]["id"]
    for reply in any_client.call("WatchPipelineRun", {"run_id": first_id}):
        seen.first.append(reply["run"])
        if reply["run"]["status"]["state"] != "RUN_STATE_RUNNING":
            continue
        looked = client.get_run(second.id)
        if client.get_run(first_id).state == "RUNNING":  # still: the second run was looked at in between
            seen.second_while_first.append(looked)
    seen.second = until_ended(client, second.id)
    any_client.channel.close()
    return seen


def test_a_client_that_knows_only_reflection_creates_and_watches_a_run(queue: Queue) -> None:
    states = [run["status"]["state"] for run in queue.first]
    assert states[-1] == "RUN_STATE_SUCCEEDED"
    assert "RUN_STATE_RUNNING" in states
    sequences = [int(run["sequence"]) for run in queue.first]
    assert sequences == sorted(set(sequences))


def test_two_runs_at_once_share_the_workers_by_queueing(queue: Queue) -> None:
    assert queue.second_while_first, "the second run was looked at while the first one was at work"
    assert {(run.state, run.status.queue_position) for run in queue.second_while_first} == {("PENDING", 1)}
    assert queue.second is not None
    assert queue.second.state == "SUCCEEDED"


def test_the_same_request_id_twice_is_one_run_and_another_spec_under_it_is_refused(
    client: RetainClient, queue: Queue
) -> None:
    assert queue.second is not None
    assert queue.repeated_id == queue.second.id
    assert [run.name for run in client.list_runs()].count("second") == 1
    assert queue.refusal is not None
    assert "second-1" in queue.refusal.message


def test_equal_specs_and_seeds_end_with_equal_weights(queue: Queue) -> None:
    assert queue.second is not None
    (stage,) = queue.second.stages
    assert stage.accepted is not None
    assert queue.first[-1]["status"]["stages"][0]["accepted"]["weights_digest"] == stage.accepted.weights_digest


# --- bad input


def test_every_fault_of_a_spec_comes_at_once_with_its_field(client: RetainClient) -> None:
    before = len(client.list_runs())
    spec = three_stages("Faulty Name")
    spec["model"] = {"preset": "gigantic", "context": 64}
    spec["stages"][0]["data"]["general"] = "sample://nowhere"
    spec["stages"][1]["data"]["general_share"] = 1.5
    spec["stages"][2]["duration"] = {"steps": 0}
    spec["forgetting"] = {"minor": 0.3, "action": 0.2, "stop": 0.1}
    with pytest.raises(BadInput) as caught:
        client.create_run(spec)
    said = {violation.field: violation.description for violation in caught.value.violations}
    assert said.keys() >= {
        "name",
        "model.preset",
        "stages[0].data.general",
        "stages[1].data.general_share",
        "stages[2].duration.steps",
        "forgetting.action",
        "forgetting.stop",
    }
    assert "gigantic" in said["model.preset"]
    assert "nano" in said["model.preset"]
    assert "sample://nowhere" in said["stages[0].data.general"]
    assert len(client.list_runs()) == before, "what is refused leaves no run"


def test_a_number_that_is_none_is_refused_by_the_server(stack: Stack) -> None:
    spec, faults = to_message(three_stages("nan"))
    assert faults == []
    spec.stages[0].learning_rate = math.nan
    spec.forgetting.action = math.inf
    with channel_to(stack.endpoints["orchestrator"], token=stack.token) as channel:
        stub = orchestrator_grpc.OrchestratorServiceStub(channel)
        answer = stub.ValidatePipelineSpec(orchestrator_pb.ValidatePipelineSpecRequest(spec=spec), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreatePipelineRun(orchestrator_pb.CreatePipelineRunRequest(spec=spec), timeout=20)
    assert {v.field for v in answer.violations} >= {"stages[0].learning_rate", "forgetting.action"}
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_file_without_text_and_a_damaged_checkpoint_end_their_runs_with_the_reason(
    client: RetainClient, stack: Stack, undisturbed: Run, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    accepted = undisturbed.stages[0].accepted
    assert accepted is not None
    store = stack.store()
    weights = f"{key_of(store, accepted.uri)}/model/model.safetensors"
    whole = store.get_bytes(weights)
    # The copy that this machine's worker kept is verified already: what is in the store must be looked at again.
    shutil.rmtree(stack.cache / "content" / "checkpoints" / accepted.manifest_sha256, ignore_errors=True)
    store.put_bytes(weights, whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        without_text = client.create_run(one_stage("empty", general=str(empty)))
        damaged = client.create_run(on_top_of("damaged", accepted.uri))
        ended = until_ended(client, without_text.id)
        assert ended.state == "FAILED"
        assert str(empty) in ended.status.message
        ended = until_ended(client, damaged.id)
        assert ended.state == "FAILED"
        assert "model.safetensors" in ended.status.message
        assert ended.status.submission == 1, "a fault that no other worker group mends is not tried again"
    finally:
        store.put_bytes(weights, whole)
