"""What is attacked: the local stack with real processes, or the orchestrator in this process for the smoke subset."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from retain.evaluator.v1 import service_pb2_grpc as evaluator_grpc
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as checkpoints_grpc
from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as runs_grpc
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as stages_grpc
from retain.types.v1 import spec_pb2
from services.common.identity.oidc_settings import OidcSettings
from tests.attacks.matrix import Attack
from tests.e2e.stack import Stack
from tests.fakes.platform import Platform, demo_spec
from tests.identity import ADMIN, WORKER, with_token
from tests.identity_provider import COMMAND, Provider, settings

CALL_S = 20.0
# A connection of its own for each attacker, as separate people have.
ALONE = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
GOAL_TIMES = 3.0  # said, not asserted: it hangs on the machine
ATTACKERS_YIELD = 10
INPUT = {grpc.StatusCode.INVALID_ARGUMENT}


class AsWorker(grpc.UnaryUnaryClientInterceptor):
    """Sends the token of the worker of the run that a request names."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(with_token(details, self._installation.worker_token(request.run_id)), request)


class Caller:
    """One connection to an installation with the stubs of its services."""

    def __init__(self, installation: Installation, token: str = "") -> None:
        token = token or installation.token
        self.channel = _with_token(grpc.insecure_channel(installation.orchestrator, options=ALONE), token)
        self.runs: Any = runs_grpc.OrchestratorServiceStub(self.channel)
        as_worker = grpc.intercept_channel(
            grpc.insecure_channel(installation.orchestrator, options=ALONE), AsWorker(installation)
        )
        self.stages: Any = stages_grpc.StageControlServiceStub(as_worker)
        self.checkpoints: Any = checkpoints_grpc.CheckpointServiceStub(self.channel)
        evaluator = grpc.insecure_channel(installation.evaluator or "127.0.0.1:9", options=ALONE)
        self.to_evaluator = _with_token(evaluator, token)
        self.evaluator: Any = evaluator_grpc.EvaluatorServiceStub(self.to_evaluator)

    def close(self) -> None:
        self.channel.close()
        self.to_evaluator.close()

    def create(self, spec: spec_pb2.PipelineSpec, request_id: str = "") -> Any:
        return self.runs.CreatePipelineRun(
            pb.CreatePipelineRunRequest(spec=spec, request_id=request_id), timeout=CALL_S
        )


@dataclass(kw_only=True)
class Installation:
    """Where it can be reached, and the token of somebody who may do everything that people may do. `stack` is None in
    the smoke subset; `platform` otherwise."""

    orchestrator: str
    token: str = ""
    evaluator: str = ""
    metrics: str = ""
    people: Provider  # the identity provider that it trusts
    stack: Stack | None = None
    platform: Platform | None = None

    def worker_token(self, run_id: str) -> str:
        """What the workers of a run send, where they can be asked: on a stack that is between them and the server."""
        if self.platform is None:
            return self.token
        workers = reversed(list(self.platform.launcher.workers.values()))
        return next((one.token for one in workers if one.run_id == run_id), WORKER)

    @contextlib.contextmanager
    def principal(self, name: str, *projects: str, role: str = "operator") -> Iterator[str]:
        """The token of somebody new, good inside the block."""
        with self.caller() as admin:
            tokens: Any = identity_grpc.IdentityServiceStub(admin.channel)
            request = identity_pb.CreateTokenRequest(
                name=f"{name}-{secrets.token_hex(4)}", roles=[role], projects=projects
            )
            made = tokens.CreateToken(request, timeout=CALL_S)
            try:
                yield made.secret
            finally:
                tokens.RevokeToken(identity_pb.RevokeTokenRequest(name=made.token.name), timeout=CALL_S)

    @contextlib.contextmanager
    def caller(self, token: str = "") -> Iterator[Caller]:
        """A new caller, with this token or that of somebody who may do everything that people may do."""
        made = Caller(self, token)
        try:
            yield made
        finally:
            made.close()


class _Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the token to every call."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._with(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._with(details), request)

    def _with(self, details: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._token}")]
        return details._replace(metadata=metadata)


def _with_token(channel: grpc.Channel, token: str) -> grpc.Channel:
    return grpc.intercept_channel(channel, _Token(token)) if token else channel


def refused(attack: Attack, call: Callable[[], Any], *, codes: set[grpc.StatusCode] = INPUT, naming: str = "") -> str:
    """Makes the call, which must fail with one of the codes and name what is wrong. Returns what was said."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    said: str = error.details() or ""
    assert error.code() in codes, f"{error.code()}: {said}"
    assert naming in said, said
    assert len(said.encode()) <= 4096, "an error of more than 4 KB"
    attack.refused(str(error.code().name))
    return said


@contextlib.contextmanager
def in_process(folder: Path, people: Provider) -> Iterator[Installation]:
    """The real orchestrator with fake workers, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    async def made() -> Platform:
        settings = OidcSettings(issuer=people.issuer, audience=COMMAND)
        return Platform(f"sqlite:///{folder / 'retain.db'}", provider=settings)

    platform = wait(made())
    try:
        port = wait(platform.start())
        yield Installation(orchestrator=f"127.0.0.1:{port}", token=ADMIN, people=people, platform=platform)
    finally:
        wait(platform.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def local_stack(folder: Path, people: Provider) -> Iterator[Installation]:
    """`retain up` without the panel: object store, Ray, evaluator, orchestrator, each a process."""
    stack = Stack(folder=folder, env=settings(people.issuer))
    try:
        stack.up()
        where = stack.endpoints
        yield Installation(
            orchestrator=where["orchestrator"],
            evaluator=where["evaluator"],
            metrics=where["metrics"],
            token=stack.address.token or "",
            people=people,
            stack=stack,
        )
    finally:
        stack.down()


class SecondUser:
    """Lists runs twenty times a second and lets a run train, while others attack."""

    def __init__(self, installation: Installation) -> None:
        self._alone = contextlib.ExitStack()  # a principal of their own: nobody else's calls count against them
        token = self._alone.enter_context(installation.principal("second-user"))
        self._caller = self._alone.enter_context(installation.caller(token))
        self._listing = [sys.executable, "-m", "tests.attacks.second_user", installation.orchestrator]
        self._env = {**os.environ, "RETAIN_TOKEN": token}
        self._calls: list[tuple[float, float]] = []  # when it began, in seconds of CLOCK_MONOTONIC; milliseconds
        self._before: list[float] = []
        self._failed: list[str] = []
        self.run_id = ""

    def begin(self) -> None:
        """Starts the run, and times List without anybody else."""
        spec = demo_spec("second-user")
        for stage in spec.stages:
            stage.duration.steps = 100_000
        self.run_id = self._caller.create(spec).run.id
        self._until(lambda run: run.status.phase == resources.STAGE_PHASE_TRAINING, "its training")
        pipe = subprocess.PIPE
        self._lister = subprocess.Popen(self._listing, env=self._env, stdin=pipe, stdout=pipe, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        time.sleep(8)
        self._before, self._calls = [ms for _, ms in self._calls], []
        # Attackers are on machines of their own: what they prepare here is not to take the servers' processors.
        os.nice(ATTACKERS_YIELD)

    def run(self) -> Any:
        """The run as it stands."""
        return self._caller.runs.GetPipelineRun(pb.GetPipelineRunRequest(run_id=self.run_id), timeout=CALL_S).run

    def end(self, spans: list[tuple[int, float, float]]) -> list[str]:
        """What it came to, for the table. Fails where somebody else noticed the attacks.

        spans: row, begin and end of each attack, in seconds of CLOCK_MONOTONIC.
        """
        step = max(stage.step for stage in self.run().status.stages)
        time.sleep(3)
        now = self.run()
        assert self._lister.stdin is not None
        self._lister.stdin.close()  # it ends
        self._reader.join(2 * CALL_S)
        assert self._lister.wait(CALL_S) == 0
        moved = max(stage.step for stage in now.status.stages) - step
        self._caller.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=self.run_id), timeout=CALL_S)
        before, during = percentile(self._before, 0.99), percentile([ms for _, ms in self._calls], 0.99)
        said = [
            f"the second user's run: {resources.RunState.Name(now.status.state)}, step {step + moved}, submission "
            f"{now.status.submission}",
            f"the second user's List p99: {during:.1f} ms during the attacks ({len(self._calls)} calls), "
            f"{before:.1f} ms before ({len(self._before)} calls): {during / before:.1f} times "
            f"(goal: under {GOAL_TIMES:g})",
            f"its slowest List by row: {slowest(self._calls, spans)}",
        ]
        self._alone.close()
        assert now.status.state == resources.RUN_STATE_RUNNING, said
        assert now.status.submission == 1, "the attacks ended its workers"
        assert self._failed == [], self._failed[:3]
        return said

    def _until(self, reached: Callable[[Any], bool], what: str) -> None:
        deadline = time.monotonic() + 180
        while not reached(run := self.run()):
            assert time.monotonic() < deadline, f"not within three minutes: {what}; {run.status}"
            time.sleep(0.2)

    def _read(self) -> None:
        assert self._lister.stdout is not None
        for line in self._lister.stdout:
            began, ms, *failed = line.strip().split(" ", 2)
            self._calls.append((float(began), float(ms)))
            self._failed += failed


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so large a share does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def slowest(calls: list[tuple[float, float]], spans: list[tuple[int, float, float]], most: int = 8) -> str:
    """The rows in which the slowest calls began: row, slowest of its calls in milliseconds."""
    rows: dict[int, float] = {}
    for began, ms in calls:
        row = next((number for number, begin, end in spans if begin <= began <= end), 0)
        rows[row] = max(rows.get(row, 0.0), ms)
    worst = sorted(rows.items(), key=lambda one: -one[1])[:most]
    return ", ".join(f"{f'row {row}' if row else 'between rows'} {ms:.0f} ms" for row, ms in worst)
