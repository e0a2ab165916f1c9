"""Looking at data over the wire: a real orchestrator says what a run of the project may read."""

from pathlib import Path

import grpc
import pytest

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from tests.identity import VIEWER, bearer
from tests.integration.orchestrator.harness import status_of
from tests.integration.test_projects import SHA, two_projects

pytestmark = pytest.mark.integration


async def test_a_preview_shows_what_a_run_of_the_project_may_read_and_no_more(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        method = "/retain.evaluator.v1.EvaluatorService/PreviewData"
        request = two.of_a(method)
        request.spec.stages[0].data.general = "sample://science?documents=20"
        (found,) = await two.call(method, request, two.tokens["a"])
        assert (found.preview.kind, len(found.preview.documents)) == ("text", 3)
        upload = pb.CreateUploadRequest(sha256=SHA, file_name="data.jsonl", bytes=10)
        of_b = await two.client.runs.CreateUpload(upload, metadata=bearer(two.tokens["b"]))
        for place in (of_b.uri, "file:///etc/passwd", "s3://retain/runs/x", "s3://elsewhere/x"):
            request.spec.stages[0].data.general = place
            code, said = await status_of(two.call(method, request, two.tokens["a"]))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, said
            assert "got" in said
        request.spec.stages[0].data.general = "sample://science?documents=20"
        request.spec.ClearField("tokenizer")
        model = request.spec.model
        for model.huggingface in (of_b.uri, "file:///etc", "s3://elsewhere/x"):
            code, said = await status_of(two.call(method, request, two.tokens["a"]))
            assert (code, "model.huggingface" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True), said
        model.checkpoint = "s3://retain/runs/nobodys/pretrain/attempt-1/step-000000010"
        code, said = await status_of(two.call(method, request, two.tokens["a"]))
        assert (code, "of the project a" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True), said
        code, _ = await status_of(two.call(method, two.of_a(method), VIEWER))
        assert code is grpc.StatusCode.PERMISSION_DENIED, "what a run would read is for whoever may start one"


async def test_a_file_of_the_project_is_measured_and_no_other(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        method = "/retain.evaluator.v1.EvaluatorService/EvaluateFile"
        upload = pb.CreateUploadRequest(sha256=SHA, file_name="data.jsonl", bytes=10)
        of_a, of_b = [
            await two.client.runs.CreateUpload(upload, metadata=bearer(two.tokens[who])) for who in ("a", "b")
        ]
        request = two.of_a(method)
        request.uri = of_a.uri
        *_, last = await two.call(method, request, two.tokens["a"])
        assert last.evaluation.result.perplexity == pytest.approx(2.0)
        request.uri = of_b.uri
        code, said = await status_of(two.call(method, request, two.tokens["a"]))
        assert (code, "what project a uploaded" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        request.project = "b"  # one's own file, on a checkpoint of others
        code, said = await status_of(two.call(method, request, two.tokens["b"]))
        assert (code, "no checkpoint" in said) == (grpc.StatusCode.NOT_FOUND, True)
        code, _ = await status_of(two.call(method, two.of_a(method), VIEWER))
        assert code is grpc.StatusCode.PERMISSION_DENIED
