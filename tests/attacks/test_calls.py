"""Rows 34 to 49 and 52: calls, connections, the doors around the services, and what they tell."""

import base64
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoints_pb2
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.orchestrator.v1 import stage_control_service_pb2 as stages_pb2
from services.common.errors import RetainError
from services.common.grpc import fair_share
from services.common.limits import HANDSHAKE_S, LARGEST_REQUEST_BYTES, REQUEST_S, STREAMS_PER_CONNECTION, Rate
from services.orchestrator.adapters.database import connect
from tests.attacks.installation import Installation, refused
from tests.attacks.matrix import Attack
from tests.fakes.platform import demo_spec
from tests.ports import free_port
from tests.unit.services.common.grpc.test_fair_share import hpack, raw_frame

STALE, MANY = {grpc.StatusCode.ABORTED}, {grpc.StatusCode.RESOURCE_EXHAUSTED}
# Where the servers know who calls, a person is no worker, whatever is said.
NO_WORKER = grpc.StatusCode.PERMISSION_DENIED
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw_frame(4, 0, 0, b"")
GET = "/retain.orchestrator.v1.OrchestratorService/GetPipelineRun"


def test_row_34_an_older_attempt(attack: Attack, installation: Installation, victim: Any) -> None:
    present = victim.status.stages[0].attempt
    with installation.caller() as caller:
        for submission, attempt in ((0, present), (victim.status.submission, present - 1), (99, present)):
            for request in (
                stages_pb2.ReportProgressRequest(run_id=victim.id, submission=submission, attempt=attempt, step=1),
                stages_pb2.ReportCheckpointRequest(run_id=victim.id, submission=submission, attempt=attempt),
                stages_pb2.EndStageRequest(run_id=victim.id, submission=submission, attempt=attempt, outcome=2),
                stages_pb2.GetDirectiveRequest(run_id=victim.id, submission=submission, attempt=attempt, boundary=1),
            ):
                name = type(request).__name__.removesuffix("Request")
                codes = {*STALE, NO_WORKER}
                refused(attack, lambda n=name, r=request: getattr(caller.stages, n)(r, timeout=20), codes=codes)


def test_row_35_figures_that_cannot_be(attack: Attack, installation: Installation, victim: Any) -> None:
    base = {"run_id": victim.id, "submission": victim.status.submission, "attempt": victim.status.stages[0].attempt}
    total = victim.status.stages[0].total_steps
    wrong: list[dict[str, Any]] = [
        {"step": total + 1}, {"step": 2**62}, {"step": -1}, {"tokens": 2**62}, {"tokens": -5}, {"tokens": 10**14},
        {"train_loss_nats": math.nan}, {"train_loss_nats": math.inf}, {"learning_rate": -math.inf},
        {"tokens_per_second": math.nan}, {"wait_seconds": -1e300}, {"heartbeat": -1}, {"prepare_progress": math.nan},
    ]  # fmt: skip
    wrong_figures = {grpc.StatusCode.INVALID_ARGUMENT, NO_WORKER}
    with installation.caller() as caller:
        for change in wrong:
            request = stages_pb2.ReportProgressRequest(**base, phase=resources.STAGE_PHASE_TRAINING, **change)
            refused(attack, lambda r=request: caller.stages.ReportProgress(r, timeout=20), codes=wrong_figures)
        for boundary, step in ((1, 2**62), (1, -1), (2**30, 5), (-1, 5)):
            request = stages_pb2.ReportCheckpointRequest(**base, boundary=boundary, bytes=1)
            request.checkpoint.uri, request.checkpoint.step = f"s3://retain/runs/{victim.id}/x", step
            refused(attack, lambda r=request: caller.stages.ReportCheckpoint(r, timeout=20), codes=wrong_figures)
        request.boundary, request.checkpoint.step = 1, 10
        request.checkpoint.uri = "s3://retain/runs/somebody-else/pretrain/attempt-1/step-000000010"
        known = {*wrong_figures, grpc.StatusCode.ALREADY_EXISTS}
        refused(attack, lambda: caller.stages.ReportCheckpoint(request, timeout=20), codes=known)
        now = caller.runs.GetPipelineRun(pb.GetPipelineRunRequest(run_id=victim.id), timeout=20).run
    assert now.status.stages[0].step <= total


def test_row_36_messages_over_the_limit(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        for size in (LARGEST_REQUEST_BYTES + 1, 8 * LARGEST_REQUEST_BYTES):
            call = caller.channel.unary_unary(GET)
            refused(attack, lambda s=size, c=call: c(b"\0" * s, timeout=20), codes=MANY)
        large = (("x-large", "v" * 20_000),)
        request = pb.ListPipelineRunsRequest()
        refused(attack, lambda: caller.runs.ListPipelineRuns(request, timeout=20, metadata=large), codes=MANY)


def address_of(installation: Installation) -> tuple[str, int]:
    host, _, port = installation.orchestrator.rpartition(":")
    return host, int(port)


def ended_within(line: socket.socket, seconds: float) -> bytes:
    """What comes until the other side ends the connection. Fails when it does not in time."""
    came, deadline = b"", time.monotonic() + seconds
    while True:
        line.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            piece = line.recv(65_536)
        except ConnectionError:
            return came
        if not piece:
            return came
        came += piece
        assert time.monotonic() < deadline, "the connection is still open"


def head(path: str, token: str = "") -> bytes:
    """The header block of a call."""
    fields: tuple[tuple[bytes, bytes], ...] = (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"a"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc"),
    )  # fmt: skip
    if token:
        fields += ((b"authorization", f"Bearer {token}".encode()),)
    return b"".join(hpack(name, value) for name, value in fields)


@pytest.mark.attacks
def test_row_37_handshakes_and_bodies_that_never_end(attack: Attack, installation: Installation) -> None:
    began = time.monotonic()
    with socket.create_connection(address_of(installation)) as line:
        line.sendall(PREFACE[:10])
        ended_within(line, HANDSHAKE_S + 10)
    attack.refused(f"a handshake is ended after {time.monotonic() - began:.0f} s")
    with socket.create_connection(address_of(installation)) as line:
        line.sendall(PREFACE + raw_frame(1, 4, 1, head(GET, installation.token)))
        came, deadline = b"", time.monotonic() + REQUEST_S + 10
        while b"no whole request" not in came:
            line.settimeout(max(0.1, deadline - time.monotonic()))
            came += line.recv(65_536)
    attack.refused(f"a call without its message is ended after {REQUEST_S:g} s")


def test_row_38_pings_without_end(attack: Attack, installation: Installation) -> None:
    with socket.create_connection(address_of(installation)) as line:
        line.sendall(PREFACE)
        try:
            for _ in range(200):
                line.sendall(raw_frame(6, 0, 0, b"12345678") * 50)
        except ConnectionError:
            attack.refused("the connection is ended")
            return
        came = ended_within(line, 20)
    assert b"too_many_pings" in came
    attack.refused("GOAWAY too_many_pings")


def test_row_39_streams_that_are_reset_at_once(attack: Attack, installation: Installation) -> None:
    """CVE-2023-44487. The server continues answering others; streams beyond the limit are refused one by one."""
    block = head(GET, installation.token)
    with socket.create_connection(address_of(installation)) as line, installation.caller() as other:
        line.sendall(PREFACE)
        began, slowest = time.monotonic(), 0.0
        try:
            for number in range(10_000):
                stream = 2 * number + 1
                line.sendall(raw_frame(1, 4, stream, block) + raw_frame(3, 0, stream, b"\0\0\0\x08"))
                if number % 500 == 0:
                    asked = time.perf_counter()
                    other.runs.ListPipelineRuns(pb.ListPipelineRunsRequest(), timeout=20)
                    slowest = max(slowest, time.perf_counter() - asked)
        except ConnectionError:
            attack.refused("the connection is ended")
        assert slowest < 5.0, f"somebody else waited {slowest:.1f} s"
    attack.refused(f"{time.monotonic() - began:.1f} s; somebody else waited {1000 * slowest:.0f} ms at most")
    with socket.create_connection(address_of(installation)) as line:
        line.sendall(PREFACE)
        opened = b"".join(raw_frame(1, 4, 2 * n + 1, block) for n in range(STREAMS_PER_CONNECTION + 200))
        try:
            line.sendall(opened)
        except ConnectionError:
            attack.refused("the connection is ended")
            return
        line.settimeout(5)
        came = line.recv(1 << 20)
        assert came
    attack.refused(f"{STREAMS_PER_CONNECTION} streams a connection")


def test_row_40_two_thousand_watchers(attack: Attack, installation: Installation, victim: Any) -> None:
    """Of one principal, over eight connections: so many stay open, the others hear which limit and when to come again;
    another principal is served meanwhile."""
    watch = pb.WatchPipelineRunRequest(run_id=victim.id)
    with contextlib.ExitStack() as opened, installation.principal("row-40") as token:
        callers = [opened.enter_context(installation.caller(token)) for _ in range(8)]
        watches = [caller.runs.WatchPipelineRun(watch, timeout=120) for caller in callers for _ in range(250)]
        codes, said = Counter(), set()
        for one in watches[::-1]:
            try:
                next(one)
            except grpc.RpcError as error:
                codes[error.code()] += 1
                said.add(error.details() or "")
        with installation.caller() as other:
            began = time.perf_counter()
            other.runs.GetPipelineRun(pb.GetPipelineRunRequest(run_id=victim.id), timeout=20)
            waited_ms = 1000 * (time.perf_counter() - began)
        for one in watches:
            one.cancel()
    opened_at_all = len(watches) - codes.total()
    assert len(watches) == 2000
    assert opened_at_all <= Rate().streams, codes
    assert set(codes) == MANY, codes
    assert all("try again in" in text for text in said), said
    assert any("open streams" in text for text in said), said
    attack.refused(
        f"{opened_at_all} of {len(watches)} stay open, {codes.total()} RESOURCE_EXHAUSTED; another principal waited "
        f"{waited_ms:.0f} ms"
    )


def test_row_41_request_ids_again(attack: Attack, installation: Installation, victim: Any) -> None:
    with installation.caller() as caller:
        first = caller.create(demo_spec("once"), request_id="again-41").run.id
        assert caller.create(demo_spec("once"), request_id="again-41").run.id == first
        exists = {grpc.StatusCode.ALREADY_EXISTS}
        refused(attack, lambda: caller.create(demo_spec("twice"), request_id="again-41"), codes=exists)
        refused(attack, lambda: caller.create(demo_spec(), request_id="x" * 129))
        caller.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=first), timeout=20)


def test_row_42_forged_tokens_of_pages_and_etags(attack: Attack, installation: Installation, victim: Any) -> None:
    def token(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode()

    forged = ["x", "%%%", token("5:decisions"), token("-1:runs"), token(f"{'9' * 400}:runs"), token(f"{2**70}:runs"),
              token("1e9:runs"), token("١:other"), "A" * 600, token("0;drop table runs:runs")]  # fmt: skip
    with installation.caller() as caller:
        for page in forged:
            listed = pb.ListPipelineRunsRequest(page_token=page)
            refused(attack, lambda r=listed: caller.runs.ListPipelineRuns(r, timeout=20))
            stored = checkpoints_pb2.ListCheckpointsRequest(page_token=page)
            refused(attack, lambda r=stored: caller.checkpoints.ListCheckpoints(r, timeout=20))
            decided = pb.ListDecisionsRequest(run_id=victim.id, page_token=page)
            refused(attack, lambda r=decided: caller.runs.ListDecisions(r, timeout=20))
        for etag in ("x", f"{victim.id}.0", f"{victim.id}.99999999", "somebody-else.1", "' or 1=1"):
            request = pb.CancelPipelineRunRequest(run_id=victim.id, etag=etag)
            refused(attack, lambda r=request: caller.runs.CancelPipelineRun(r, timeout=20), codes=STALE)


def test_row_43_calls_without_a_deadline(
    attack: Attack, installation: Installation, victim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GetDirective is held open for seconds and no longer; what hangs is ended by the server's own limit."""
    base = {"run_id": victim.id, "submission": victim.status.submission, "attempt": victim.status.stages[0].attempt}
    with installation.caller() as caller:
        began = time.monotonic()
        try:
            answer = caller.stages.GetDirective(stages_pb2.GetDirectiveRequest(**base, boundary=10**6))
            assert answer.pending or answer.message
        except grpc.RpcError as error:
            if error.code() is not NO_WORKER:
                raise
        assert time.monotonic() - began < 60
    attack.refused(f"a held call ends after {time.monotonic() - began:.0f} s")
    assert all(0 < seconds <= 1200 for seconds in (fair_share.CALL_S, *fair_share.CALLS_S.values()))
    assert math.isfinite(fair_share.CALL_S)


@pytest.mark.attacks
def test_row_45_ray_jobs_without_a_token(attack: Attack, installation: Installation) -> None:
    assert installation.stack is not None
    ray = installation.stack.endpoints["ray"]
    body = json.dumps({"entrypoint": "id"}).encode()
    for method, path in (
        ("POST", "/api/jobs/"),
        ("GET", "/api/jobs/"),
        ("GET", "/api/cluster_status"),
        ("GET", "/nodes"),
    ):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
            status = http_status(ray + path, method, body if method == "POST" else None, headers)
            assert status in (401, 403), f"{method} {path}: {status}"
            attack.refused(f"{status}")


@pytest.mark.attacks
def test_row_46_a_browser_at_rays_dashboard(attack: Attack, installation: Installation) -> None:
    """A page of the web can send requests that need no leave of the browser; none of them has the token."""
    assert installation.stack is not None
    ray = installation.stack.endpoints["ray"]
    page = {"Origin": "https://evil.example", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site"}
    for content in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {**page, "Content-Type": content}
        status = http_status(f"{ray}/api/jobs/", "POST", b'{"entrypoint": "id"}', headers)
        assert status in (401, 403, 405), status
        attack.refused(str(status))
    status = http_status(f"{ray}/api/jobs/", "GET", None, {**page, "Host": "evil.example"})
    assert status in (401, 403), status
    attack.refused(str(status))


def http_status(url: str, method: str, body: bytes | None, headers: dict[str, str]) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=body, method=method, headers=headers), timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.attacks
def test_row_47_the_panel_from_outside(attack: Attack, installation: Installation, tmp_path: Path) -> None:
    port = free_port()
    env = {**os.environ, "RETAIN_SERVER": installation.orchestrator, "RETAIN_PANEL_PORT": str(port)}
    env = {name: value for name, value in env.items() if name not in ("RETAIN_PANEL_BIND", "RETAIN_PANEL_HOSTS")}
    panel = subprocess.Popen([sys.executable, "-m", "ui.panel"], env={**env, "RETAIN_HOME": str(tmp_path)})
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                if http_status(f"{url}/_stcore/health", "GET", None, {}) == 200:
                    break
            except OSError:
                assert panel.poll() is None, "the panel ended"
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert http_status(url, "GET", None, {}) == 200
        for headers in (
            {"Host": "evil.example"},
            {"Host": f"127.0.0.1.evil.example:{port}"},
            {"Origin": "https://evil.example"},
        ):
            assert http_status(url, "GET", None, headers) == 403
            attack.refused("403")
        for path in ("/..%2f..%2fetc/passwd", "/static/..%2f..%2f..%2fetc/passwd", "/../../etc/passwd",
                     "/app/static/%2e%2e/%2e%2e/app.py", "/media/..%5c..%5cetc"):  # fmt: skip
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as reply:
                page = reply.read()
            status, body = raw_get(port, path)
            assert status >= 400 or body == page, f"{path}: {status}"
            assert b"root:" not in body
            attack.refused("nothing but the page itself")
        for origin in ("https://evil.example", "null", f"http://127.0.0.1:{port + 1}"):
            assert upgrade(port, f"127.0.0.1:{port}", origin) == 403
            attack.refused("websocket: 403")
        assert upgrade(port, "evil.example", "http://evil.example") == 403
        assert upgrade(port, f"127.0.0.1:{port}", f"http://127.0.0.1:{port}") == 101
    finally:
        panel.terminate()
        panel.wait(20)


def raw_get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a path that is sent as it is."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        came = b""
        while piece := line.recv(65_536):
            came += piece
    top, _, body = came.partition(b"\r\n\r\n")
    return int(top.split()[1]), body


def upgrade(port: int, host: str, origin: str) -> int:
    """Status of a request for a WebSocket."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        return int(line.recv(1024).split()[1])


def test_row_48_script_in_names(attack: Attack, installation: Installation) -> None:
    from ui.panel.shared import as_text

    script = "<script>alert(1)</script>"
    with installation.caller() as caller:
        refused(attack, lambda: caller.create(demo_spec(script)), naming="name")
        spec = demo_spec()
        spec.forgetting.retention[script] = "sample://math"
        refused(attack, lambda: caller.create(spec), naming="retention")
    for text in (
        script,
        "[a](javascript:alert(1))",
        "![x](http://evil.example/a.png)",
        ":material/home:",
        "**x**",
        "$x$",
    ):
        shown = as_text(text)
        assert not any(mark in shown.replace("\\" + mark, "") for mark in "<>[]()*$:!")
        attack.refused("shown as text")


def test_row_49_labels_without_end(attack: Attack, installation: Installation) -> None:
    """Neither the names of calls nor those of runs make series without an end."""
    before = series(installation)
    with installation.caller() as caller:
        for number in range(500):
            unknown = caller.channel.unary_unary(f"/retain.orchestrator.v1.OrchestratorService/Made{number}/Up")
            refused(attack, lambda c=unknown: c(b"", timeout=20), codes={grpc.StatusCode.UNIMPLEMENTED})
    assert series(installation) <= before + 20


def series(installation: Installation) -> int:
    if installation.platform is not None:
        return sum(len(metric.samples) for metric in installation.platform.orchestrator.registry.collect())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(installation.metrics, timeout=20) as reply:
        return sum(not line.startswith(b"#") for line in reply.read().splitlines())


@pytest.mark.attacks
def test_row_52_secrets_where_others_read(attack: Attack, installation: Installation) -> None:
    stack = installation.stack
    assert stack is not None
    keys = stack.home.credentials()
    secrets = [keys.secret_key, keys.ray_token, installation.token, (stack.home.path / "service_token").read_text()]
    for name in ("object_store", "ray", "evaluator", "orchestrator"):
        for process in (stack.program(name), *stack.program(name).children(recursive=True)):
            try:
                words = " ".join(process.cmdline())
            except psutil.NoSuchProcess:  # it has ended since, a zombie too
                continue
            assert not any(secret in words for secret in secrets), f"{name} shows a secret in its command line"
    attack.refused("no command line")
    for log in stack.home.path.rglob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), f"{log.name} holds a secret"
    attack.refused("no log")
    request = urllib.request.Request(
        f"{stack.endpoints['ray']}/api/jobs/", headers={"Authorization": f"Bearer {keys.ray_token}"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        jobs = reply.read().decode()
    assert not any(secret in jobs for secret in secrets), "Ray's list of jobs shows a secret in a job's environment"
    attack.refused("no job environment")
    for process in (stack.program("ray"), *stack.program("ray").children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            held = process.environ()
            assert keys.secret_key not in held.values(), f"{process.name()} of Ray holds the store's keys"
            assert "AWS_SECRET_ACCESS_KEY" not in held
    attack.refused("no key of the store with Ray's processes")
    with pytest.raises(RetainError) as caught:
        connect("postgresql+psycopg://retain:hidden-password@127.0.0.1:1/retain")
    assert "hidden-password" not in str(caught.value)
    attack.refused("no password in an error of the database")
