"""What every worker of a group does: ask for work, do it, ask again, until there is none.

The first rank asks and hands the assignment to the others. The same processes go from stage to stage, so that a
stage begins within seconds of the end of the one before: imports, process group and connections are there already, and
the parent's checkpoint lies in the local cache.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from model.errors import RetainModelError
from model.training.job import Verdict
from model.training.malloc import keep_freed_memory
from model.training.process_group import ProcessGroup
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.common.cache.disk_space import when_there_is_room
from services.common.errors import FailedPrecondition, RetainError, Stale, Unavailable
from services.common.logging import configure_logging, get_logger
from services.common.store.minio_store import OWN_KEYS, MinioStore
from services.common.store.renewed_keys import RenewedKeys
from services.worker import leaving
from services.worker.attempt.run_attempt import RankZero, interrupted, run_stage
from services.worker.cache_root import default_root
from services.worker.leaving import ToldToLeave
from services.worker.local_cache import LocalCache
from services.worker.orchestrator_client import ControlClient
from services.worker.preparation.computing import computing
from services.worker.preparation.prepare_runner import PrepareRunner
from services.worker.present import Present
from services.worker.reporting.heartbeat import BeatReceiver, BeatSender, counters_of
from services.worker.reporting.progress import PREPARING, ProgressReporter


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a worker is told at its start; all else comes from its environment and from the orchestrator."""

    run_id: str
    submission: int
    threads: int
    token: str = field(repr=False)
    cache: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as Ray carries it."""
        return {
            "run_id": self.run_id,
            "submission": self.submission,
            "threads": self.threads,
            "token": self.token,
            "cache": str(self.cache) if self.cache else None,
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "WorkerConfig":
        """The inverse."""
        return cls(**{**config, "cache": Path(config["cache"]) if config["cache"] else None})


def work_loop(config: Mapping[str, Any]) -> None:
    """The train function of the group. Returns when the orchestrator releases the group or its submission is old."""
    worker = WorkerConfig.from_dict(config)
    configure_logging("worker")
    torch.set_num_threads(worker.threads)
    keep_freed_memory()
    group = ProcessGroup.current()
    control = ControlClient.from_env(
        run_id=worker.run_id, submission=worker.submission, token=worker.token, leaving=leaving.PROCESS
    )
    store = open_store(control)
    root = worker.cache or default_root()
    rank_zero = start_rank_zero(control, store) if group.is_rank_zero else None
    try:
        with leaving.PROCESS.at_work():
            cache = open_cache(root, store, group, rank_zero)
            if cache is None:
                return
            with (
                Present(cache.content, run_id=worker.run_id),
                relayed(group, store=store, cache=cache, rank_zero=rank_zero),
            ):
                while serve(group, store=store, cache=cache, rank_zero=rank_zero):
                    pass
    finally:
        if rank_zero is not None:
            rank_zero.progress.close()
        control.close()
        store.close()


def open_store(control: ControlClient) -> MinioStore:
    """The store, with keys of this run, which the orchestrator hands out; with those of this machine where its
    environment has some, for stores that make no keys for a run."""
    own = all(os.environ.get(name) for name in OWN_KEYS)
    return MinioStore.from_env(keys=None if own else RenewedKeys(control.store_keys))


def start_rank_zero(control: ControlClient, store: MinioStore) -> RankZero:
    """The first rank's lines to the orchestrator."""
    progress = ProgressReporter(control.report_progress)
    store.on_retry, store.on_waiting = progress.upload_failed, progress.waiting
    return RankZero(control=control, progress=progress)


def open_cache(root: Path, store: MinioStore, group: ProcessGroup, rank_zero: RankZero | None) -> LocalCache | None:
    """The cache of this machine; None when its folder is not ours to use, which the run is told."""
    try:
        return group.run_on_all(lambda: room_for_cache(store, root))
    except ToldToLeave:
        return None
    except FailedPrecondition as error:
        get_logger().error("no local cache", error=str(error))
        refused = error
    try:
        work = ask(group, rank_zero)
    except (Stale, ToldToLeave):
        return None
    kind = work.WhichOneof("work")
    if rank_zero is not None and kind != "release":
        given = work.prepare if kind == "prepare" else work.stage
        index = -1 if kind == "prepare" else work.stage.index
        rank_zero.control.end_stage(
            control_pb2.EndStageRequest(
                attempt=given.attempt,
                stage_index=index,
                outcome=control_pb2.END_OUTCOME_FAILED,
                reason=refused.reason,
                message=str(refused),
            )
        )
    return None


def room_for_cache(store: MinioStore, root: Path) -> LocalCache:
    """The cache; on a disk so full that not even its folders fit, once they do."""

    def told(text: str) -> None:
        if text:
            get_logger().warning("waiting", waiting_for=text)

    return when_there_is_room(lambda: LocalCache(store, root), root, told=told, pause=leaving.PROCESS.pause)


@contextmanager
def relayed(group: ProcessGroup, *, store: MinioStore, cache: LocalCache, rank_zero: RankZero | None) -> Iterator[None]:
    """Every sign of work of every rank becomes one of the group's, and every rank's being told to leave too."""
    counters = counters_of(group)
    relay: BeatSender | BeatReceiver | None = None
    if rank_zero is not None:
        cache.content.beat, cache.content.told = rank_zero.progress.beat, rank_zero.progress.waiting
        if counters is not None:
            relay = BeatReceiver(counters, beat=rank_zero.progress.beat, leave=leaving.PROCESS.ask)
    elif counters is not None:
        relay = BeatSender(counters, told=lambda: leaving.PROCESS.asked)
        cache.content.beat = store.on_retry = relay.beat
    cache.check, cache.content.pause = leaving.PROCESS.check, leaving.PROCESS.pause
    store.on_bytes = cache.content.work_done
    try:
        yield
    finally:
        if relay is not None:
            relay.close()


def serve(group: ProcessGroup, *, store: MinioStore, cache: LocalCache, rank_zero: RankZero | None) -> bool:
    """One assignment. Returns whether to ask for another. Raises Unavailable when nobody answered for very long."""
    log = get_logger()
    try:
        work = ask(group, rank_zero)
    except Stale as stale:
        log.info("this worker group is not the present one", error=str(stale))
        return False
    except ToldToLeave:
        log.info("left while waiting for work")
        return False
    kind = work.WhichOneof("work")
    if kind == "release":
        log.info("released", reason=work.release.reason)
        return False
    try:
        with cache.assignment():
            if kind == "prepare":
                group.run_on_rank_zero(lambda: run_prepare(work.prepare, store=store, cache=cache, rank_zero=rank_zero))
                return True
            outcome = run_stage(work.stage, store=store, cache=cache, group=group, rank_zero=rank_zero)
    except Stale as stale:
        log.warning("the attempt is over", error=str(stale))
        return True
    except ToldToLeave as told:
        log.warning("left", error=str(told))
        return False
    return outcome is None or outcome.directive is None or outcome.directive.verdict is not Verdict.STOP


def ask(group: ProcessGroup, rank_zero: RankZero | None) -> control_pb2.BeginAttemptResponse:
    """The next assignment, on every rank. Messages travel as bytes."""

    def begin() -> bytes:
        assert rank_zero is not None, "run_on_rank_zero calls this on the first rank only"
        return rank_zero.control.begin_attempt().SerializeToString()

    return control_pb2.BeginAttemptResponse.FromString(group.run_on_rank_zero(begin))


def run_prepare(
    work: control_pb2.PrepareWork, *, store: MinioStore, cache: LocalCache, rank_zero: RankZero | None
) -> None:
    """Prepare and tell what was made, or which fault of the spec or its data makes it impossible."""
    assert rank_zero is not None, "only the first rank prepares"
    log = get_logger().bind(attempt=work.attempt)
    request = control_pb2.EndStageRequest(attempt=work.attempt, stage_index=-1)
    with rank_zero.progress.attempt(attempt=work.attempt, stage_index=-1, phase=PREPARING):
        try:
            with computing(rank_zero.progress.beat):
                runner = PrepareRunner(
                    store=store, cache=cache, progress=rank_zero.progress, leaving=rank_zero.control.leaving
                )
                prepared = runner.run(work)
            request.outcome = control_pb2.END_OUTCOME_COMPLETED
            request.prepared.CopyFrom(prepared)
            log.info("prepared", parameters=prepared.parameters)
        except (Stale, Unavailable):
            raise
        except ToldToLeave as told:
            rank_zero.control.end_stage(interrupted(work.attempt, -1, told))
            raise
        except (RetainModelError, RetainError) as error:
            log.error("preparing failed", reason=error.reason, error=str(error))
            request.outcome = control_pb2.END_OUTCOME_FAILED
            request.reason, request.message = error.reason, str(error)
        rank_zero.control.end_stage(request)
