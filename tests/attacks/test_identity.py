"""Rows 30 to 33 and 44: callers of another project, without a token, of another role, of another run."""

import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from joserfc.jwk import RSAKey

from retain.evaluator.v1 import service_pb2 as evaluator_pb
from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoints_pb2
from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import project_service_pb2 as project_pb
from retain.orchestrator.v1 import project_service_pb2_grpc as project_grpc
from retain.orchestrator.v1 import stage_control_service_pb2 as stages_pb2
from services.common.identity.permissions import METHODS, PERMISSIONS, Permission
from services.common.identity.principal import Role
from tests.attacks.installation import ALONE, Installation, refused
from tests.attacks.matrix import Attack
from tests.fakes.platform import demo_spec
from tests.identity import WORKER, bearer
from tests.identity_provider import Provider

MISSING = {grpc.StatusCode.NOT_FOUND}
NOBODY, DENIED = {grpc.StatusCode.UNAUTHENTICATED}, {grpc.StatusCode.PERMISSION_DENIED}
UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0."  # alg: none
NEVER_MADE = "retain_" + "x" * 43


@pytest.fixture
def stranger(installation: Installation) -> Any:
    """A connection of somebody who has no token."""
    with grpc.insecure_channel(installation.orchestrator, options=ALONE) as channel:
        yield channel


def test_row_31_callers_without_a_token(attack: Attack, installation: Installation, stranger: Any) -> None:
    for method, needed in METHODS.items():
        if needed is Permission.PUBLIC:
            continue
        call = stranger.unary_unary(method)
        refused(attack, lambda c=call: c(b"", timeout=20), codes=NOBODY)
    get = stranger.unary_unary("/retain.orchestrator.v1.OrchestratorService/GetPipelineRun")
    for header in ("", "Bearer", "Basic YTpi", f"Bearer {NEVER_MADE}", f"Bearer {UNSIGNED}", "Bearer " + "x" * 9000):
        refused(attack, lambda h=header: get(b"", timeout=20, metadata=(("authorization", h),)), codes=NOBODY)
    good = installation.people.token("ada")
    with pytest.raises(grpc.RpcError) as let_in:
        get(b"", timeout=20, metadata=bearer(good))
    assert let_in.value.code() not in NOBODY, "the same token, unforged, is let in"
    for token in (NEVER_MADE, UNSIGNED, "' or 1=1", *forged(installation.people, good)):
        said = refused(attack, lambda t=token: get(b"", timeout=20, metadata=bearer(t)), codes=NOBODY)
        assert token not in said, "a token is told back"


def forged(people: Provider, good: str) -> Iterator[str]:
    """Signed tokens of the identity provider as others would make them, or as it made them for others."""
    now = int(time.time())
    yield people.token(exp=now - 3600, iat=now - 7200)
    yield people.token(aud="another-application")
    yield people.token(iss="https://evil.example")
    yield people.token(nbf=now + 3600)
    yield people.token(header={"typ": "logout+jwt"})
    head, body, signature = good.split(".")
    strangers = RSAKey.generate_key(2048, auto_kid=True)
    yield people.token(key=strangers)
    yield people.token(key=strangers, header={"kid": people.key.kid})
    yield f"{head}.{_encoded(json.dumps({'sub': 'root', 'groups': ['retain-admin'], 'exp': now + 60}))}.{signature}"
    for algorithm in ("none", "None", "HS256"):
        named = _encoded(json.dumps({"alg": algorithm, "kid": people.key.kid, "typ": "JWT"}))
        yield f"{named}.{body}."
        for secret in (people.key.as_pem(private=False), people.key.as_der(private=False), b""):
            made = hmac.new(secret, f"{named}.{body}".encode(), hashlib.sha256).digest()
            yield f"{named}.{body}.{_encoded(made)}"


def _encoded(value: str | bytes) -> str:
    return base64.urlsafe_b64encode(value.encode() if isinstance(value, str) else value).decode().rstrip("=")


def test_row_30_another_projects_checkpoint(attack: Attack, installation: Installation, victim: Any) -> None:
    """By URI as a base, by id, digest and URI in every call that takes one, its run, its upload, its evaluation."""
    with installation.caller() as admin:
        projects: Any = project_grpc.ProjectServiceStub(admin.channel)
        with contextlib.suppress(grpc.RpcError):  # it is there from the last time
            projects.CreateProject(project_pb.CreateProjectRequest(name="strangers"), timeout=20)
        listed = checkpoints_pb2.ListCheckpointsRequest(run_id=victim.id, page_size=1)
        deadline = time.monotonic() + 120
        while not (known := admin.checkpoints.ListCheckpoints(listed, timeout=20).checkpoints):
            assert time.monotonic() < deadline, "the victim takes no checkpoint"
            time.sleep(0.2)
    stolen = known[0]
    with installation.principal("row-30", "strangers") as token, installation.caller(token) as stranger:
        assert (
            list(stranger.checkpoints.ListCheckpoints(checkpoints_pb2.ListCheckpointsRequest(), timeout=20).checkpoints)
            == []
        )
        assert list(stranger.runs.ListPipelineRuns(pb.ListPipelineRunsRequest(), timeout=20).runs) == []
        for key in (stolen.id, stolen.ref.uri, stolen.ref.manifest_sha256, stolen.ref.manifest_sha256[:8]):
            for call, request in (
                (stranger.checkpoints.GetCheckpoint, checkpoints_pb2.GetCheckpointRequest),
                (stranger.checkpoints.ExportCheckpoint, checkpoints_pb2.ExportCheckpointRequest),
                (stranger.checkpoints.VoidCheckpoint, checkpoints_pb2.VoidCheckpointRequest),
                (stranger.checkpoints.ShareCheckpoint, checkpoints_pb2.ShareCheckpointRequest),
            ):
                refused(attack, lambda c=call, r=request, k=key: c(r(checkpoint_id=k), timeout=20), codes=MISSING)
        spec = demo_spec("thief")
        del spec.stages[0]
        spec.model.ClearField("preset")
        spec.model.checkpoint, spec.model.context = stolen.ref.uri, 256
        spec.ClearField("tokenizer")
        spec.stages[0].data.general = "sample://docs"
        locked = {grpc.StatusCode.FAILED_PRECONDITION}
        refused(attack, lambda: stranger.create(spec), codes=locked, naming="there is no checkpoint")
        spec = demo_spec("thief")
        spec.stages[0].data.general = f"s3://retain/uploads/{'ab' * 32}/data.jsonl"
        refused(attack, lambda: stranger.create(spec), naming="expected what project strangers uploaded")
        spec.stages[0].data.general = stolen.ref.uri
        refused(attack, lambda: stranger.create(spec), naming="stages[0].data.general")
        for call, request in (
            (stranger.runs.GetPipelineRun, pb.GetPipelineRunRequest),
            (stranger.runs.CancelPipelineRun, pb.CancelPipelineRunRequest),
            (stranger.runs.DeletePipelineRun, pb.DeletePipelineRunRequest),
            (stranger.runs.ListDecisions, pb.ListDecisionsRequest),
        ):
            refused(attack, lambda c=call, r=request: c(r(run_id=victim.id), timeout=20), codes=MISSING)
        watch = pb.WatchPipelineRunRequest(run_id=victim.id)
        refused(attack, lambda: list(stranger.runs.WatchPipelineRun(watch, timeout=20)), codes=MISSING)
        logs = pb.StreamLogsRequest(run_id=victim.id)
        refused(attack, lambda: list(stranger.runs.StreamLogs(logs, timeout=20)), codes=MISSING)
        if installation.evaluator:  # a process of its own, in the full matrix
            sample = evaluator_pb.SampleTextRequest(checkpoint=stolen.ref, prompt="x")
            refused(attack, lambda: list(stranger.evaluator.SampleText(sample, timeout=60)), codes=MISSING)
            history = evaluator_pb.GetForgettingHistoryRequest(run_id=victim.id)
            refused(attack, lambda: stranger.evaluator.GetForgettingHistory(history, timeout=60), codes=MISSING)


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
