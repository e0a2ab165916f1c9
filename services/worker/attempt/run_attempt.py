"""One attempt of a stage, on every rank: load what the assignment names, train, and tell how it ended."""

from dataclasses import dataclass

from model.data.held_out import HeldOut
from model.errors import NonFinite, RetainModelError
from model.tokenization.tokenizer import Tokenizer
from model.training.job import Interruption, StageJob, StageOutcome, Verdict
from model.training.loop import train_stage
from model.training.process_group import ProcessGroup
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.common.errors import RetainError, Stale, Unavailable
from services.common.logging import get_logger
from services.common.store.object_store import ObjectStore
from services.worker.attempt import convert
from services.worker.attempt.build_job import load
from services.worker.attempt.damage import DamagedCheckpoint
from services.worker.attempt.mix_trial import with_chosen_shares
from services.worker.attempt.stage_ports import NoPorts, ServicePorts
from services.worker.leaving import ToldToLeave
from services.worker.local_cache import LocalCache
from services.worker.orchestrator_client import ControlClient
from services.worker.preparation.computing import ComputingWatch, computing
from services.worker.reporting.checkpoint_publisher import Lineage, Publisher
from services.worker.reporting.progress import LOADING, TRAINING, ProgressReporter


@dataclass(frozen=True, kw_only=True)
class RankZero:
    """What only the first rank has: its lines to the orchestrator."""

    control: ControlClient
    progress: ProgressReporter


def run_stage(
    work: control_pb2.StageWork,
    *,
    store: ObjectStore,
    cache: LocalCache,
    group: ProcessGroup,
    rank_zero: RankZero | None,
) -> StageOutcome | None:
    """Run the attempt; None when it ended in a fault that was reported. Raises Stale when it was fenced off,
    ToldToLeave when the group is to leave, which was reported too, and Unavailable when a server stayed away for longer
    than anybody waits."""
    if rank_zero is None:
        return _attempt(work, store=store, cache=cache, group=group, rank_zero=None)
    with rank_zero.progress.attempt(attempt=work.attempt, stage_index=work.index, phase=LOADING):
        return _attempt(work, store=store, cache=cache, group=group, rank_zero=rank_zero)


def _attempt(
    work: control_pb2.StageWork,
    *,
    store: ObjectStore,
    cache: LocalCache,
    group: ProcessGroup,
    rank_zero: RankZero | None,
) -> StageOutcome | None:
    log = get_logger().bind(attempt=work.attempt, stage=work.name)
    try:
        work = with_chosen_shares(
            work,
            cache,
            group,
            control=rank_zero.control if rank_zero else None,
            progress=rank_zero.progress if rank_zero else None,
        )
        job, tokenizer = group.run_on_all(lambda: _load(work, cache))
        log.info("loaded", step=job.resume.step if job.resume else 0, total_steps=job.total_steps)
        outcome = _train(work, job, tokenizer, store=store, cache=cache, group=group, rank_zero=rank_zero)
    except (Stale, Unavailable):
        raise
    except ToldToLeave as told:
        _tell(group, rank_zero, interrupted(work.attempt, work.index, told))
        raise
    except DamagedCheckpoint as damage:
        log.error("a checkpoint is damaged", checkpoint=damage.checkpoint.uri, error=str(damage))
        request = interrupted(work.attempt, work.index, damage)
        request.damaged.CopyFrom(damage.checkpoint)
        _tell(group, rank_zero, request)
        return None
    except (RetainModelError, RetainError) as error:
        # The same on every rank: errors of loading and of ports are shared, those of training follow from shared
        # numbers.
        reason = "NON_FINITE_LOSS" if isinstance(error, NonFinite) else error.reason
        log.error("the attempt failed", reason=reason, error=str(error))
        request = control_pb2.EndStageRequest(
            attempt=work.attempt,
            stage_index=work.index,
            outcome=control_pb2.END_OUTCOME_FAILED,
            reason=reason,
            message=str(error),
        )
        _tell(group, rank_zero, request)
        return None
    _end(work, outcome, group=group, rank_zero=rank_zero)
    return outcome


def _end(
    work: control_pb2.StageWork, outcome: StageOutcome, *, group: ProcessGroup, rank_zero: RankZero | None
) -> None:
    """Tell how training ended. Raises Stale for an attempt that was fenced off, ToldToLeave for one that left."""
    get_logger().bind(attempt=work.attempt, stage=work.name).info(
        "the attempt ended",
        step=outcome.step,
        verdict=outcome.directive.verdict if outcome.directive else outcome.interruption.name,
        stall_seconds=round(outcome.stall_seconds, 3),
        wait_seconds=round(outcome.wait_seconds, 3),
    )
    if outcome.directive is None:
        if outcome.interruption is Interruption.FENCED:
            raise Stale("the attempt was fenced off")
        left = ToldToLeave(f"the workers were told to leave at step {outcome.step}")
        _tell(group, rank_zero, interrupted(work.attempt, work.index, left))
        raise left
    if outcome.directive.verdict is Verdict.ACCEPT:
        done = control_pb2.END_OUTCOME_COMPLETED
        _tell(group, rank_zero, control_pb2.EndStageRequest(attempt=work.attempt, stage_index=work.index, outcome=done))


def _load(work: control_pb2.StageWork, cache: LocalCache) -> tuple[StageJob, Tokenizer]:
    def beat() -> None:
        cache.check()
        cache.content.beat()

    with computing(cache.content.beat):
        return load(work, cache, beat=beat)


def _train(
    work: control_pb2.StageWork,
    job: StageJob,
    tokenizer: Tokenizer,
    *,
    store: ObjectStore,
    cache: LocalCache,
    group: ProcessGroup,
    rank_zero: RankZero | None,
) -> StageOutcome:
    if rank_zero is None:
        return train_stage(job, NoPorts(), group)
    lineage = Lineage(
        attempt=work.attempt,
        stage_index=work.index,
        output_uri=work.output_uri,
        parent_sha256=work.resume.manifest_sha256 or work.parent.manifest_sha256,
        spec_digest=convert.spec_digest(work.spec),
        sampled=convert.sampled(work),
    )
    publisher = Publisher(
        lineage,
        store=store,
        cache=cache,
        control=rank_zero.control,
        progress=rank_zero.progress,
        tokenizer=tokenizer,
        held_out=HeldOut.union(HeldOut.read(cache.shard(folder).folder) for folder in work.shards),
    )
    # The first step may compile for minutes: until it is done, computing is the sign of work.
    first_step = ComputingWatch(rank_zero.progress.beat).start()
    ports = ServicePorts(
        attempt=work.attempt,
        stage_index=work.index,
        publisher=publisher,
        control=rank_zero.control,
        progress=rank_zero.progress,
        first_step_done=first_step.stop,
    )
    if job.resume is not None:
        rank_zero.progress.start_at(step=job.resume.step, tokens=job.resume.tokens)
    rank_zero.progress.phase(TRAINING)
    try:
        return train_stage(job, ports, group)
    finally:
        first_step.stop()
        publisher.abandon()


def interrupted(attempt: int, stage_index: int, why: RetainError) -> control_pb2.EndStageRequest:
    """The attempt ended, through no fault of the stage: another one continues."""
    return control_pb2.EndStageRequest(
        attempt=attempt,
        stage_index=stage_index,
        outcome=control_pb2.END_OUTCOME_INTERRUPTED,
        reason=why.reason,
        message=str(why),
    )


def _tell(group: ProcessGroup, rank_zero: RankZero | None, request: control_pb2.EndStageRequest) -> None:
    def tell() -> None:
        if rank_zero is not None:
            rank_zero.control.end_stage(request)

    group.run_on_rank_zero(tell)
