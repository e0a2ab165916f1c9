"""A job's first word: its code for a token, before anything slow is imported, and nothing of the code left behind."""

import os
import subprocess
import sys
from concurrent import futures
from typing import Any

import grpc
import pytest

from retain.orchestrator.v1 import identity_service_pb2 as pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as pb_grpc
from services.common.errors import InvalidInput, Refused, Unavailable
from services.common.identity.tokens import SHORTEST_TOKEN
from services.worker import main as worker_main
from services.worker.joining import join


class Orchestrator(pb_grpc.IdentityServiceServicer):
    """Fails as it is told to, then takes what comes."""

    def __init__(self) -> None:
        self.faults: list[grpc.StatusCode] = []
        self.requests: list[pb.JoinRunRequest] = []

    def JoinRun(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        if self.faults:
            context.abort(self.faults.pop(0), "scripted")
        return pb.JoinRunResponse(idle_seconds=3600)


@pytest.fixture
def orchestrator(monkeypatch: pytest.MonkeyPatch):
    servicer = Orchestrator()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    pb_grpc.add_IdentityServiceServicer_to_server(servicer, server)
    monkeypatch.setenv("RETAIN_SERVER", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    yield servicer
    server.stop(None).wait()


def test_the_token_is_of_the_workers_own_making_and_the_same_in_every_try(orchestrator: Orchestrator) -> None:
    orchestrator.faults = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED]
    token = join("r1", 3, code="the-code")
    assert len(token) >= SHORTEST_TOKEN
    assert [(r.run_id, r.submission, r.code, r.token) for r in orchestrator.requests] == [
        ("r1", 3, "the-code", token)
    ] * 3
    assert join("r1", 3, code="the-code") != token


def test_a_refusal_is_final(orchestrator: Orchestrator) -> None:
    orchestrator.faults = [grpc.StatusCode.UNAUTHENTICATED]
    with pytest.raises(Refused):
        join("r1", 3, code="the-code")
    assert len(orchestrator.requests) == 1


def test_an_orchestrator_that_stays_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIN_SERVER", "127.0.0.1:1")
    with pytest.raises(Unavailable):
        join("r1", 3, code="the-code", patience_s=0.3)


def test_a_token_is_not_sent_in_plain_text_over_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIN_SERVER", "orchestrator.example:7070")
    monkeypatch.delenv("RETAIN_TLS_CA", raising=False)
    with pytest.raises(InvalidInput, match=r"would travel to orchestrator\.example:7070 in plain text"):
        join("r1", 3, code="the-code")


def test_the_entry_point_takes_the_code_out_of_its_environment_and_hands_the_token_on(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.worker import ray_group

    groups = []

    def run_group(settings: Any, token: str) -> None:
        groups.append((settings.run_id, token, "RETAIN_JOIN_CODE" in os.environ, ray_group.worker_env(settings)))

    monkeypatch.setattr(ray_group, "run_group", run_group)
    monkeypatch.setattr(worker_main.signal, "signal", lambda *_: None)
    monkeypatch.setenv("RETAIN_JOIN_CODE", "the-code")
    with pytest.raises(SystemExit) as ended:
        worker_main.main(["--run", "r1", "--submission", "3"])
    assert ended.value.code == 0
    ((run_id, token, has_code, env),) = groups
    assert (run_id, token, has_code) == ("r1", orchestrator.requests[0].token, False)
    assert token not in env.values()
    assert "the-code" not in env.values()


def test_a_group_that_may_not_join_trains_nothing(orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrator.faults = [grpc.StatusCode.UNAUTHENTICATED]
    monkeypatch.setattr(worker_main.signal, "signal", lambda *_: None)
    monkeypatch.delenv("RETAIN_JOIN_CODE", raising=False)
    with pytest.raises(SystemExit) as ended:
        worker_main.main(["--run", "r1", "--submission", "3"])
    assert "UNAUTHENTICATED" in str(ended.value.code)


def test_nothing_that_is_slow_to_import_comes_before_the_join() -> None:
    code = "import sys, services.worker.main; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
