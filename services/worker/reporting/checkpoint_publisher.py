"""The way of a checkpoint from the training thread to the orchestrator's database, on a thread of its own.

Written to a local folder (manifest last), uploaded (manifest last), registered with ReportCheckpoint: from then on it
exists. The training thread only made the copies; with a decision lag of 1 it trains on meanwhile. A store or an
orchestrator that is away is waited for, and so is room on a full disk; what cannot be mended comes out of `flush` on
the training thread. `abandon` makes the thread stop before its next file: after the fence nothing more is written.
"""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model.checkpointing import checkpoint
from model.checkpointing.checkpoint import MANIFEST, Manifest
from model.data.held_out import HeldOut
from model.tokenization.tokenizer import Tokenizer
from model.training.job import Snapshot
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import values_pb2
from services.common.cache.disk_space import when_there_is_room
from services.common.errors import Stale
from services.common.logging import get_logger
from services.common.store.object_store import PARALLEL_FILES, ObjectStore, key_of
from services.worker.leaving import ToldToLeave
from services.worker.local_cache import LocalCache
from services.worker.orchestrator_client import ControlClient
from services.worker.reporting.progress import ProgressReporter


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where an attempt writes, and what its first checkpoint grew from."""

    attempt: int
    stage_index: int
    output_uri: str
    parent_sha256: str
    spec_digest: str
    sampled: checkpoint.Sampled = ()


class Publisher:
    """Publishes the checkpoints of one attempt, one after another."""

    def __init__(
        self,
        lineage: Lineage,
        *,
        store: ObjectStore,
        cache: LocalCache,
        control: ControlClient,
        progress: ProgressReporter,
        tokenizer: Tokenizer,
        held_out: HeldOut,
    ) -> None:
        self._lineage, self._parent = lineage, lineage.parent_sha256
        self._store, self._cache, self._control, self._progress = store, cache, control, progress
        self._tokenizer, self._held_out = tokenizer, held_out
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._pending: Future[None] | None = None
        self._abandoned = threading.Event()
        self._log = get_logger().bind(attempt=lineage.attempt, stage_index=lineage.stage_index)
        self.upload_seconds = 0.0

    def publish(self, snapshot: Snapshot) -> None:
        """Begin. A checkpoint that is still on its way is waited for: at most one copy is held in memory."""
        self.flush()
        self._pending = self._pool.submit(self._publish, snapshot)

    def flush(self) -> None:
        """Wait until everything that was begun is registered. Raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def abandon(self) -> None:
        """Write nothing more. Does not wait for a try that is under way: its file is part of no checkpoint."""
        self._abandoned.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _publish(self, snapshot: Snapshot) -> None:
        """A full disk makes the whole of it begin anew, in a new folder, once there is room."""
        when_there_is_room(
            lambda: self._write_and_register(snapshot),
            self._cache.content.root,
            told=self._progress.waiting,
            pause=self._pause,
            free=self._cache.content.free,
        )

    def _pause(self, seconds: float) -> None:
        self._check()
        self._control.leaving.pause(seconds)  # told to leave: there will be no room in time

    def _check(self) -> None:
        if self._abandoned.is_set() or self._progress.fenced:
            raise Stale("the attempt was given up while its checkpoint was on its way")

    def _write_and_register(self, snapshot: Snapshot) -> None:
        started = time.perf_counter()
        with self._cache.work_folder() as folder:
            manifest = checkpoint.write(
                folder,
                model=snapshot.model,
                tokenizer=self._tokenizer,
                optimizer=snapshot.optimizer,
                state=snapshot.state,
                parent=self._parent,
                spec_digest=self._lineage.spec_digest,
                held_out=self._held_out,
                sampled=self._lineage.sampled,
                beat=self._progress.beat,
            )
            uri = f"{self._lineage.output_uri}/step-{snapshot.state.step:09d}"
            self._upload(manifest, folder, key_of(self._store, uri))
            seconds = time.perf_counter() - started
            self.upload_seconds += seconds
            self._report(snapshot, manifest, uri, seconds)
            self._parent = manifest.sha256
            self._keep(folder, manifest)
            self._log.info(
                "checkpoint registered",
                step=snapshot.state.step,
                boundary=snapshot.boundary,
                interim=snapshot.interim,
                upload_seconds=seconds,
            )

    def _keep(self, folder: Path, manifest: Manifest) -> None:
        """Into the local cache. It is registered: without a copy here it will be fetched."""
        try:
            self._cache.keep_checkpoint(folder, manifest.sha256)
        except (OSError, ToldToLeave) as error:
            self._log.warning("the checkpoint is not kept here", error=str(error))

    def _upload(self, manifest: Manifest, folder: Path, key: str) -> None:
        def put(name: str) -> None:
            self._check()
            self._store.put_file(f"{key}/{name}", folder / name)
            self._progress.beat()

        with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="upload") as pool:
            list(pool.map(put, manifest.files))
        put(MANIFEST)

    def _report(self, snapshot: Snapshot, manifest: Manifest, uri: str, upload_seconds: float) -> None:
        reference = values_pb2.CheckpointRef(
            uri=uri,
            manifest_sha256=manifest.sha256,
            weights_digest=manifest.weights_digest,
            step=snapshot.state.step,
            tokens=snapshot.state.tokens,
        )
        request = control_pb2.ReportCheckpointRequest(
            attempt=self._lineage.attempt,
            stage_index=self._lineage.stage_index,
            boundary=snapshot.boundary,
            checkpoint=reference,
            parent=self._parent,
            bytes=manifest.size_bytes,
            train_loss_nats=snapshot.loss_nats,
            upload_seconds=upload_seconds,
            stall_seconds=snapshot.stall_seconds,
            interim=snapshot.interim,
        )
        self._control.report_checkpoint(request)
