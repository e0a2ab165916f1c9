"""What a run builds on: checkpoints of other runs, imported models, uploads; and what is refused."""

import hashlib
import json
from pathlib import Path

import grpc

from retain.orchestrator.v1 import checkpoint_service_pb2 as ck
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.platform import demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.integration.orchestrator.harness import Client, orchestrator, status_of, without_forgetting


async def test_what_is_locked_names_what_unlocks_it(tmp_path: Path) -> None:
    spec = demo_spec("locked")
    del spec.stages[0]
    spec.stages[0].data.general = "sample://docs"
    async with orchestrator(tmp_path) as client:
        code, said = await status_of(client.create(spec))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "PRETRAIN" in said
        spec.model.checkpoint = "s3://retain/runs/none/pretrain/attempt-1/step-000000001"
        spec.model.context = 256
        spec.ClearField("tokenizer")
        code, said = await status_of(client.create(spec))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "unlocks" in said


async def test_a_run_builds_on_the_accepted_checkpoint_of_another_which_then_cannot_be_deleted(tmp_path: Path) -> None:
    first = demo_spec("base")
    del first.stages[1:]
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=150.0)) as client:
        base = await client.end((await client.create(first)).id)
        spec = without_forgetting()
        del spec.stages[0]
        spec.stages[0].data.general = "sample://docs"
        spec.model.checkpoint = base.status.stages[0].accepted.uri
        spec.model.context = 256
        spec.ClearField("tokenizer")
        second = await client.create(spec)
        code, said = await status_of(client.runs.DeletePipelineRun(pb.DeletePipelineRunRequest(run_id=base.id)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert second.id in said or "ending" in said
        ended = await client.end(second.id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        oldest = (await client.lineage(second.id))[-1]
        assert oldest.parent == base.status.stages[0].accepted.manifest_sha256
        assert ended.status.stages[0].scores[0].retention_set == "general"


CONFIG = {
    "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 1, "intermediate_size": 8, "max_position_embeddings": 128,
}  # fmt: skip


async def _upload(client: Client, folder: str, files: dict[str, bytes]) -> str:
    uri = ""
    for name, data in files.items():
        request = pb.CreateUploadRequest(
            sha256=hashlib.sha256(data).hexdigest(), file_name=name, bytes=len(data), folder=folder
        )
        ticket = await client.runs.CreateUpload(request)
        uri = ticket.uri
        assert ticket.url
        client.platform.store.put_bytes(f"uploads/{folder}/model/{name}", data)
        assert (await client.runs.CreateUpload(request)).url == "", "the same file is uploaded once"
    return uri


async def test_a_hugging_face_folder_becomes_a_base_and_code_in_it_does_not(tmp_path: Path) -> None:
    files = {"config.json": json.dumps(CONFIG).encode(), "tokenizer.json": b"{}", "model.safetensors": b"weights"}
    async with orchestrator(tmp_path) as client:
        uri = await _upload(client, "mine", files)
        imported = (
            await client.checkpoints.ImportCheckpoint(ck.ImportCheckpointRequest(uri=uri, name="mine"))
        ).checkpoint
        again = (await client.checkpoints.ImportCheckpoint(ck.ImportCheckpointRequest(uri=uri))).checkpoint
        assert imported.id == again.id
        assert imported.state == res.CHECKPOINT_STATE_ACCEPTED
        manifest = client.platform.store.get_bytes("uploads/mine/manifest.json")
        assert hashlib.sha256(manifest).hexdigest() == imported.ref.manifest_sha256
        spec = without_forgetting()
        del spec.stages[0]
        spec.stages[0].data.general = "sample://docs"
        spec.model.huggingface = uri
        spec.ClearField("tokenizer")
        created = await client.create(spec)
        assert created.spec.model.context == 128, "read from the model's config.json"
        assert (await client.end(created.id)).status.state == res.RUN_STATE_SUCCEEDED
        for name, config in (
            ("remote-code", CONFIG | {"auto_map": {"AutoModel": "x.Y"}}),
            ("mamba", CONFIG | {"architectures": ["MambaForCausalLM"]}),
        ):
            uri = await _upload(client, name, files | {"config.json": json.dumps(config).encode()})
            code, said = await status_of(client.checkpoints.ImportCheckpoint(ck.ImportCheckpointRequest(uri=uri)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, said
        uri = await _upload(client, "pickle", files | {"pytorch_model.bin": b"x"})
        code, said = await status_of(client.checkpoints.ImportCheckpoint(ck.ImportCheckpointRequest(uri=uri)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "pickle" in said
        code, _ = await status_of(
            client.checkpoints.ImportCheckpoint(ck.ImportCheckpointRequest(uri="s3://retain/elsewhere"))
        )
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        bad = pb.CreateUploadRequest(sha256="x", file_name="../up", bytes=1)
        assert (await status_of(client.runs.CreateUpload(bad)))[0] is grpc.StatusCode.INVALID_ARGUMENT
