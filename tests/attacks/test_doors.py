"""Rows 31 and 44: who has no token, or one that nobody made."""

import base64
import json
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as runs_grpc
from tests.attacks.installation import ALONE, Installation, refused
from tests.attacks.matrix import Attack

NOBODY = {grpc.StatusCode.UNAUTHENTICATED}


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# A JWT that says that it needs no signature, one whose time is over, and what is no token at all.
FORGED = (
    f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part({'sub': 'admin', 'roles': ['admin']})}.",
    f"{_part({'alg': 'HS256'})}.{_part({'sub': 'admin', 'exp': 1, 'aud': 'another'})}.AAAA",
    "x", "", "' or 1=1", "A" * 4000,
)  # fmt: skip


def test_row_31_no_token_or_a_forged_one(attack: Attack, installation: Installation) -> None:
    with grpc.insecure_channel(installation.orchestrator, options=ALONE) as channel:
        stub: Any = runs_grpc.OrchestratorServiceStub(channel)
        headers = [(), *((("authorization", f"Bearer {token}"),) for token in FORGED)]
        headers += [(("authorization", "Basic YWRtaW46YWRtaW4="),), (("authorization", "Bearer"),)]
        for metadata in headers:
            for name, request in (
                ("ListPipelineRuns", pb.ListPipelineRunsRequest()),
                ("DeletePipelineRun", pb.DeletePipelineRunRequest(run_id="a")),
            ):
                call = getattr(stub, name)
                said = refused(attack, lambda c=call, r=request, m=metadata: c(r, timeout=20, metadata=m), codes=NOBODY)
                assert not any(token in said for token in FORGED if len(token) > 8), "a token is told back"


def test_row_44_reflection_without_a_token(attack: Attack, installation: Installation) -> None:
    with grpc.insecure_channel(installation.orchestrator, options=ALONE) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        refused(attack, lambda: list(stub.ServerReflectionInfo(iter([asked]), timeout=20)), codes=NOBODY)
