"""A real evaluator process with a real object store, and real checkpoints and sets in it, for tests."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import torch

from model.checkpointing.checkpoint import write_imported
from model.checkpointing.hf import load_pretrained
from model.data.eval_set import EvalSet
from model.document import Document
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from retain.evaluator.v1 import resources_pb2, service_pb2, service_pb2_grpc
from retain.types.v1 import values_pb2
from services.common.store.minio_store import MinioStore
from services.common.store.object_store import put_folder, s3_uri
from tests.contract.object_store_servers import ACCESS_KEY, SECRET_KEY, Server
from tests.identity import ADMIN, SERVICE
from tests.identity import channel as channel_to
from tests.ports import free_ports

START_TIMEOUT_S = 60.0
T = TypeVar("T")


def store_of(server: Server) -> MinioStore:
    store = MinioStore(server.endpoint, "retain", access_key=ACCESS_KEY, secret_key=SECRET_KEY, patience_s=30)
    store.ensure_bucket()
    return store


def put_model(
    store: MinioStore, model: Llama, tokenizer: Tokenizer, folder: Path, *, key: str | None = None
) -> values_pb2.CheckpointRef:
    """The model as a checkpoint in the store, at `key` or as an import."""
    manifest = write_imported(folder, model=model, tokenizer=tokenizer)
    key = key or f"imports/{manifest.weights_digest}"
    put_folder(store, folder, key, last="manifest.json")
    return values_pb2.CheckpointRef(
        uri=s3_uri(store, key), manifest_sha256=manifest.sha256, weights_digest=manifest.weights_digest
    )


def put_set(
    store: MinioStore, name: str, texts: list[str], tokenizer: Tokenizer, folder: Path, *, context: int = 256
) -> values_pb2.EvalSetRef:
    """The texts as a frozen retention set in the store."""
    documents = [Document(text=text, origin=f"{name}/{row}") for row, text in enumerate(texts)]
    digest = EvalSet.build(name, documents, tokenizer, context).write(folder)
    key = f"evalsets/{digest}"
    put_folder(store, folder, key, last="meta.json")
    return values_pb2.EvalSetRef(name=name, uri=s3_uri(store, key), digest=digest, role=values_pb2.SET_ROLE_RETENTION)


def stories_model(shared_data: Path) -> tuple[Llama, Tokenizer]:
    folder = shared_data / "models" / "stories260K-hf"
    return load_pretrained(folder), Tokenizer.load(folder)


def noisy(model: Llama, *, scale: float, seed: int = 0) -> Llama:
    """A copy whose matrices are disturbed by noise of `scale` times their own spread: it forgot, by a set amount."""
    generator = torch.Generator().manual_seed(seed)
    copy = Llama(model.config)
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in copy.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise * parameter.std() * scale)
    return copy.eval()


def asked_again(call: Callable[[], T], *, within_s: float = 40.0) -> T:
    """What a call returns that is made again while a server is away, which has only just been started."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > end_s:
                raise
            time.sleep(0.2)


@dataclass
class EvaluatorProcess:
    """The service as its own process. `restart` keeps the ports."""

    endpoint: str
    home: Path
    port: int
    metrics_port: int
    server: str = "127.0.0.1:1"  # no orchestrator there
    threads: int = 1
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def on(cls, endpoint: str, home: Path, **how: str) -> "EvaluatorProcess":
        port, metrics_port = free_ports(2)
        return cls(endpoint=endpoint, home=home, port=port, metrics_port=metrics_port, **how)

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        env = os.environ | {
            "RETAIN_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "RETAIN_EVALUATOR_BIND": f"127.0.0.1:{self.port}",
            "RETAIN_METRICS_BIND": f"127.0.0.1:{self.metrics_port}",
            "RETAIN_SERVER": self.server,
            "RETAIN_HOME": str(self.home),
            "RETAIN_ADMIN_TOKEN": ADMIN,
            "RETAIN_SERVICE_TOKEN": SERVICE,
            "RETAIN_EVALUATOR_THREADS": str(self.threads),
        }
        with (self.home / "evaluator.log").open("ab") as log:
            command = [sys.executable, "-m", "services.evaluator.main"]
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=START_TIMEOUT_S)
            except grpc.FutureTimeoutError as error:
                raise RuntimeError((self.home / "evaluator.log").read_text()[-3000:]) from error

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout=20)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @contextlib.contextmanager
    def stub(self, token: str = SERVICE) -> Iterator[service_pb2_grpc.EvaluatorServiceStub]:
        with channel_to(f"127.0.0.1:{self.port}", token=token) as channel:
            yield service_pb2_grpc.EvaluatorServiceStub(channel)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as reply:
            return reply.read().decode()

    def evaluate(
        self, evaluation_id: str, request: resources_pb2.EvaluationRequest, *, create_timeout_s: float = 10
    ) -> resources_pb2.Evaluation:
        """Asks and waits for the end."""
        with self.stub() as stub:
            create = service_pb2.CreateEvaluationRequest(evaluation_id=evaluation_id, request=request)
            stub.CreateEvaluation(create, timeout=create_timeout_s)
            watch = service_pb2.WatchEvaluationRequest(evaluation_id=evaluation_id)
            *_, last = stub.WatchEvaluation(watch, timeout=60)
            return last.evaluation


def request_for(
    checkpoint: values_pb2.CheckpointRef,
    sets: list[values_pb2.EvalSetRef],
    baseline: values_pb2.CheckpointRef | None = None,
    *,
    run: str = "r1",
    step: int = 100,
    export: bool = True,
) -> resources_pb2.EvaluationRequest:
    baselines = [resources_pb2.Baseline(set_name=ref.name, checkpoint=baseline) for ref in sets] if baseline else []
    return resources_pb2.EvaluationRequest(
        checkpoint=checkpoint,
        sets=sets,
        baselines=baselines,
        run_id=run,
        stage="midtrain/code",
        step=step,
        attempt=1,
        export_metrics=export,
        train_loss_nats=1.5,
    )
