"""Rows 31 to 33 and 44: callers without a token, of another role, of another run."""

from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import stage_control_service_pb2 as stages_pb2
from services.common.identity.permissions import METHODS, PERMISSIONS, Permission
from services.common.identity.principal import Role
from tests.attacks.installation import ALONE, Installation, refused
from tests.attacks.matrix import Attack
from tests.identity import WORKER, bearer

NOBODY, DENIED = {grpc.StatusCode.UNAUTHENTICATED}, {grpc.StatusCode.PERMISSION_DENIED}
UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0."  # alg: none
NEVER_MADE = "retain_" + "x" * 43


@pytest.fixture
def stranger(installation: Installation) -> Any:
    """A connection of somebody who has no token."""
    with grpc.insecure_channel(installation.orchestrator, options=ALONE) as channel:
        yield channel


def test_row_31_callers_without_a_token(attack: Attack, stranger: Any) -> None:
    for method, needed in METHODS.items():
        if needed is Permission.PUBLIC:
            continue
        call = stranger.unary_unary(method)
        refused(attack, lambda c=call: c(b"", timeout=20), codes=NOBODY)
    get = stranger.unary_unary("/retain.orchestrator.v1.OrchestratorService/GetPipelineRun")
    for header in ("", "Bearer", "Basic YTpi", f"Bearer {NEVER_MADE}", f"Bearer {UNSIGNED}", "Bearer " + "x" * 5000):
        refused(attack, lambda h=header: get(b"", timeout=20, metadata=(("authorization", h),)), codes=NOBODY)


def test_row_32_a_viewer_that_changes_things(attack: Attack, installation: Installation, stranger: Any) -> None:
    with installation.caller() as admin:
        tokens: Any = identity_grpc.IdentityServiceStub(admin.channel)
        made = tokens.CreateToken(identity_pb.CreateTokenRequest(name="row-32", roles=["viewer"]), timeout=20)
        forbidden = [
            method
            for method, needed in METHODS.items()
            if needed is not Permission.PUBLIC and needed not in PERMISSIONS[Role.VIEWER]
        ]
        assert len(forbidden) > 20
        for method in forbidden:
            call = stranger.unary_unary(method)
            refused(attack, lambda c=call: c(b"", timeout=20, metadata=bearer(made.secret)), codes=DENIED)
        tokens.RevokeToken(identity_pb.RevokeTokenRequest(name="row-32"), timeout=20)
        listing = stranger.unary_unary("/retain.orchestrator.v1.OrchestratorService/ListPipelineRuns")
        refused(attack, lambda: listing(b"", timeout=20, metadata=bearer(made.secret)), codes=NOBODY)


def test_row_33_a_worker_of_another_run(attack: Attack, installation: Installation, stranger: Any) -> None:
    """Its own token, another run's name; a code that nobody was given; a person as a worker."""
    with installation.caller() as caller:
        runs = caller.runs.ListPipelineRuns(pb.ListPipelineRunsRequest(), timeout=20).runs
        for run_id in [run.id for run in runs] or ["any-run"]:
            begin = stages_pb2.BeginAttemptRequest(run_id=f"{run_id}-of-others", submission=1, request_id="r")
            token = installation.worker_token(run_id)
            metadata = bearer(token if token != WORKER else installation.token)
            call = stranger.unary_unary(
                "/retain.orchestrator.v1.StageControlService/BeginAttempt",
                request_serializer=stages_pb2.BeginAttemptRequest.SerializeToString,
            )
            refused(attack, lambda b=begin, m=metadata, c=call: c(b, timeout=20, metadata=m), codes=DENIED)
            join = identity_pb.JoinRunRequest(run_id=run_id, submission=1, code="x" * 43, token="y" * 43)
            joins: Any = identity_grpc.IdentityServiceStub(stranger)
            refused(attack, lambda j=join, s=joins: s.JoinRun(j, timeout=20), codes=NOBODY)


def test_row_44_reflection_without_a_token(attack: Attack, stranger: Any) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(stranger)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    refused(attack, lambda: list(stub.ServerReflectionInfo(iter([asked]), timeout=20)), codes=NOBODY)
