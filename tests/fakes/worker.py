"""A worker group that speaks StageControlService over real gRPC and trains in `SimulatedTraining`: for tests.

`killed` ends it as a crash would, `paused` lets it hang, `leave` is what a draining machine says.
tests/fakes/launcher.py starts it as a job.
"""

import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field

import grpc

from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import resources_pb2 as res
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as pb_grpc
from retain.types.v1 import values_pb2
from services.common.identity.tokens import new_token
from services.common.store.object_store import ObjectStore, key_of
from services.common.tls.channel import open_channel
from tests.fakes.simulated_training import START_NATS, SimulatedTraining
from tests.identity import bearer

PREPARED_TOKENS = 50_000


class Killed(Exception):
    """The job was killed."""


@dataclass
class FakeWorker:
    """One worker group's rank 0."""

    run_id: str
    submission: int
    server: str
    simulated: SimulatedTraining
    store: ObjectStore
    killed: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)
    log: list[str] = field(default_factory=list)
    steps_done: list[tuple[str, int, int]] = field(default_factory=list)
    fail_prepare: tuple[str, str] | None = None
    failed_calls: list[str] = field(default_factory=list)
    heartbeat: int = 0
    join_code: str = ""
    token: str = field(default_factory=new_token)

    def run(self) -> None:
        """Take work until there is none."""
        with open_channel(self.server, options=[("grpc.max_reconnect_backoff_ms", 300)]) as channel:
            self.stub = pb_grpc.StageControlServiceStub(channel)
            self._join(identity_grpc.IdentityServiceStub(channel))
            while True:
                work = self._begin()
                kind = work.WhichOneof("work")
                self.log.append(f"work: {kind}")
                if kind == "release":
                    return
                if kind == "prepare":
                    self._prepare(work.prepare)
                elif self._stage(work.stage) == res.VERDICT_STOP or self.leave.is_set():
                    return

    def call(self, method, request, tries: int = 400):
        """One idempotent call, repeated while the orchestrator is away."""
        for _ in range(tries):
            self._alive()
            try:
                return method(request, timeout=10, metadata=bearer(self.token))
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                self.failed_calls.append(f"{error.code()}: {error.details()}")
                time.sleep(0.05)
        raise Killed("the orchestrator stayed away")

    def _join(self, stub: identity_grpc.IdentityServiceStub) -> None:
        request = identity_pb.JoinRunRequest(
            run_id=self.run_id, submission=self.submission, code=self.join_code, token=self.token
        )
        self.call(stub.JoinRun, request)

    def _begin(self):
        return self.call(
            self.stub.BeginAttempt,
            pb.BeginAttemptRequest(run_id=self.run_id, submission=self.submission, request_id=uuid.uuid4().hex),
        )

    def _fence(self, attempt: int, index: int) -> dict:
        return {"run_id": self.run_id, "submission": self.submission, "attempt": attempt, "stage_index": index}

    def _alive(self) -> None:
        while self.paused.is_set() and not self.killed.is_set():
            time.sleep(0.01)
        if self.killed.is_set():
            raise Killed(self.run_id)

    def _prepare(self, work) -> None:
        fence = self._fence(work.attempt, -1)
        for percent in (0.3, 0.7):
            self.heartbeat += 1
            self.call(
                self.stub.ReportProgress,
                pb.ReportProgressRequest(
                    **fence, phase=res.STAGE_PHASE_PREPARING, prepare_progress=percent, heartbeat=self.heartbeat
                ),
            )
        if self.fail_prepare:
            reason, message = self.fail_prepare
            failed = pb.EndStageRequest(**fence, outcome=pb.END_OUTCOME_FAILED, reason=reason, message=message)
            self.call(self.stub.EndStage, failed)
            return
        prepared = prepared_data(work, self.store.bucket)
        if work.spec.model.WhichOneof("source") == "huggingface":
            digest = self.simulated.remember({"general": 3.0, "general*": 3.0}, "base", work.spec.model.huggingface)
            prepared.base.CopyFrom(
                values_pb2.CheckpointRef(
                    uri=f"s3://{self.store.bucket}/prepared/base", manifest_sha256=digest, weights_digest=digest
                )
            )
        request = pb.EndStageRequest(**fence, outcome=pb.END_OUTCOME_COMPLETED, prepared=prepared)
        self.call(self.stub.EndStage, request)

    def _stage(self, work) -> int:
        start = work.resume if work.HasField("resume") else work.parent
        if start.uri in self.simulated.unreadable | self.simulated.unreadable_to_workers:
            self._interrupted(work, damaged=start, message="model/model.safetensors is cut")
            return res.VERDICT_ROLL_BACK
        losses = self.simulated.losses_of(start.weights_digest) or {work.target: START_NATS}
        shares, lr_scale = dict(work.shares), work.lr_scale
        step, lag = work.resume.step, work.decision_lag
        parent = start.manifest_sha256
        boundaries = -(-work.total_steps // work.steps_per_boundary)
        boundary = boundaries if step == work.total_steps else step // work.steps_per_boundary
        while True:
            if boundary > 0:
                reply = self._directive(work, boundary)
                if reply.verdict == res.VERDICT_ACCEPT:
                    done = pb.EndStageRequest(**self._fence(work.attempt, work.index), outcome=pb.END_OUTCOME_COMPLETED)
                    self.call(self.stub.EndStage, done)
                    return reply.verdict
                if reply.verdict in (res.VERDICT_ROLL_BACK, res.VERDICT_STOP):
                    return reply.verdict
                shares, lr_scale = dict(reply.shares), reply.lr_scale
            assert boundary < boundaries, "the last boundary is accepted, rolled back or stopped"
            boundary += 1
            begun, before = step, losses
            end = min(boundary * work.steps_per_boundary, work.total_steps)
            trained = {"target": work.target, "shares": shares, "lr_scale": lr_scale}
            losses = self.simulated.train(before, **trained, fraction=(end - begun) / work.total_steps)
            step = self._train(work, step, end, losses, lr_scale)
            if step < end:
                losses = self.simulated.train(before, **trained, fraction=(step - begun) / work.total_steps)
                self._checkpoint(work, boundary - 1, step, losses, parent, interim=True)
                self._interrupted(work, message="the machine drains")
                return res.VERDICT_STOP
            parent = self._checkpoint(work, boundary, step, losses, parent)
            assert lag in (0, 1)

    def _interrupted(self, work, **said) -> None:
        outcome = pb.END_OUTCOME_INTERRUPTED
        self.call(
            self.stub.EndStage, pb.EndStageRequest(**self._fence(work.attempt, work.index), outcome=outcome, **said)
        )

    def _train(self, work, step: int, end: int, losses, lr_scale: float) -> int:
        """The step that was reached: `end`, or one before it when the machine drains."""
        stage = work.spec.stages[work.index]
        while step < end:
            if self.leave.is_set() and step % work.steps_per_boundary:
                return step
            pace = max(1, min(end - step, int(self.simulated.steps_per_s * 0.1)))
            step += pace
            self.steps_done.append((work.name, work.attempt, step))
            self.heartbeat += 1
            self._report(
                work,
                res.STAGE_PHASE_TRAINING,
                step=step,
                tokens=step * stage.batch.sequences * work.spec.model.context,
                train_loss_nats=losses[work.target],
                learning_rate=stage.learning_rate * lr_scale,
                tokens_per_second=self.simulated.steps_per_s * stage.batch.sequences * work.spec.model.context,
            )
            time.sleep(pace / self.simulated.steps_per_s)
        return end

    def _report(self, work, phase, **figures) -> None:
        self.call(
            self.stub.ReportProgress,
            pb.ReportProgressRequest(
                **self._fence(work.attempt, work.index), phase=phase, heartbeat=self.heartbeat, **figures
            ),
        )

    def _checkpoint(self, work, boundary: int, step: int, losses, parent: str, *, interim: bool = False) -> str:
        uri = f"{work.output_uri}/step-{step:09d}"
        weights = self.simulated.remember(losses, self.run_id, work.name)
        data = json.dumps(losses, sort_keys=True).encode()
        files = {"model/config.json": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
        manifest = json.dumps(
            {"format": 1, "files": files, "weights_digest": weights, "parent": parent, "step": step}, sort_keys=True
        ).encode()
        key = key_of(self.store, uri)
        self.store.put_bytes(f"{key}/model/config.json", data)
        self.store.put_bytes(f"{key}/manifest.json", manifest)
        sha = hashlib.sha256(manifest).hexdigest()
        tokens = step * work.spec.stages[work.index].batch.sequences * work.spec.model.context
        self.call(
            self.stub.ReportCheckpoint,
            pb.ReportCheckpointRequest(
                **self._fence(work.attempt, work.index),
                boundary=boundary,
                interim=interim,
                checkpoint=values_pb2.CheckpointRef(
                    uri=uri, manifest_sha256=sha, weights_digest=weights, step=step, tokens=tokens
                ),
                parent=parent,
                bytes=len(data) + len(manifest),
                train_loss_nats=losses[work.target],
                upload_seconds=0.01,
            ),
        )
        return sha

    def _directive(self, work, boundary: int):
        while True:
            request = pb.GetDirectiveRequest(**self._fence(work.attempt, work.index), boundary=boundary)
            reply = self.call(self.stub.GetDirective, request)
            if not reply.pending:
                self.log.append(f"{work.name} attempt {work.attempt} boundary {boundary}: {reply.verdict}")
                return reply
            self._report(work, res.STAGE_PHASE_WAITING, step=int(work.resume.step))


def prepared_data(work, bucket: str) -> pb.PreparedData:
    """What preparing would have made: a shard for each source, control and report sets for each."""
    prepared = pb.PreparedData(parameters=1_000_000)
    prepared.tokenizer.CopyFrom(folder("tokenizer", "tokenizers", bucket))
    for stage in work.stages:
        made = prepared.stages.add(index=stage.index)
        for name, source in stage.sources.items():
            made.shards.append(folder(name, "prepared", bucket, source))
            role = values_pb2.SET_ROLE_TARGET if name == stage.target else values_pb2.SET_ROLE_RETENTION
            for use in (values_pb2.SET_USE_CONTROL, values_pb2.SET_USE_REPORT):
                place = folder(name, "evalsets", bucket, source, use)
                made.sets.add(name=name, uri=place.uri, digest=place.digest, role=role, use=use)
        for name in stage.never_replayed:
            for use in (values_pb2.SET_USE_CONTROL, values_pb2.SET_USE_REPORT):
                place = folder(name, "evalsets", bucket, use)
                role = values_pb2.SET_ROLE_RETENTION
                made.sets.add(name=name, uri=place.uri, digest=place.digest, role=role, use=use)
    prepared.overlap.update({"general": 0.0})
    return prepared


def folder(name: str, kind: str, bucket: str, *salt: object) -> values_pb2.PreparedFolder:
    """A prepared folder, named by a digest."""
    digest = hashlib.sha256(repr((name, kind, salt)).encode()).hexdigest()
    return values_pb2.PreparedFolder(
        name=name,
        uri=f"s3://{bucket}/{kind}/{digest[:16]}",
        digest=digest,
        tokens=PREPARED_TOKENS,
        loss_tokens=PREPARED_TOKENS,
        documents=100,
    )
