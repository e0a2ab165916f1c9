"""One attempt of a stage, on every rank: load what the assignment names, train, and tell how it ended."""

from dataclasses import dataclass

from model.errors import NonFinite, RetainModelError
from model.stage import StageJob, StageOutcome, Verdict
from model.team import Team
from model.tokenizer import Tokenizer
from model.train_stage import train_stage
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.common.errors import RetainError, Stale, Unavailable
from services.common.logging import get_logger
from services.common.object_store import ObjectStore
from services.worker import convert
from services.worker.cache import LocalCache
from services.worker.control_client import ControlClient
from services.worker.loading import load
from services.worker.progress import LOADING, TRAINING, ProgressReporter
from services.worker.publisher import Lineage, Publisher
from services.worker.stage_ports import NoPorts, ServicePorts


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What only the first rank has: its lines to the orchestrator."""

    control: ControlClient
    progress: ProgressReporter


def run_stage(
    work: control_pb2.StageWork, *, store: ObjectStore, cache: LocalCache, team: Team, lead: Lead | None
) -> StageOutcome | None:
    """Run the attempt; None when it ended in a fault that was reported. Raises Stale when it was fenced off, and
    Unavailable when a server stayed away for longer than anybody waits."""
    if lead is None:
        return _attempt(work, store=store, cache=cache, team=team, lead=None)
    with lead.progress.attempt(attempt=work.attempt, stage_index=work.index, phase=LOADING):
        return _attempt(work, store=store, cache=cache, team=team, lead=lead)


def _attempt(
    work: control_pb2.StageWork, *, store: ObjectStore, cache: LocalCache, team: Team, lead: Lead | None
) -> StageOutcome | None:
    log = get_logger().bind(attempt=work.attempt, stage=work.name)
    try:
        job, tokenizer = team.together(lambda: load(work, cache))
        log.info("loaded", step=job.resume.step if job.resume else 0, total_steps=job.total_steps)
        outcome = _train(work, job, tokenizer, store=store, cache=cache, team=team, lead=lead)
    except (Stale, Unavailable):
        raise
    except (RetainModelError, RetainError) as error:
        # The same on every rank: errors of loading and of ports are shared, those of training follow from shared
        # numbers.
        reason = "NON_FINITE_LOSS" if isinstance(error, NonFinite) else error.reason
        log.error("the attempt failed", reason=reason, error=str(error))
        _end(work, team, lead, failed=True, reason=reason, message=str(error))
        return None
    log.info(
        "the attempt ended",
        step=outcome.step,
        verdict=outcome.directive.verdict if outcome.directive else "interrupted",
        stall_seconds=round(outcome.stall_seconds, 3),
        wait_seconds=round(outcome.wait_seconds, 3),
    )
    if outcome.directive is None:
        raise Stale("the attempt was fenced off")
    if outcome.directive.verdict is Verdict.ACCEPT:
        _end(work, team, lead, failed=False)
    return outcome


def _train(
    work: control_pb2.StageWork,
    job: StageJob,
    tokenizer: Tokenizer,
    *,
    store: ObjectStore,
    cache: LocalCache,
    team: Team,
    lead: Lead | None,
) -> StageOutcome:
    if lead is None:
        return train_stage(job, NoPorts(), team)
    lineage = Lineage(
        attempt=work.attempt,
        stage_index=work.index,
        output_uri=work.output_uri,
        parent_sha256=work.resume.manifest_sha256 or work.parent.manifest_sha256,
        spec_digest=convert.spec_digest(work.spec),
    )
    publisher = Publisher(
        lineage, store=store, cache=cache, control=lead.control, progress=lead.progress, tokenizer=tokenizer
    )
    ports = ServicePorts(
        attempt=work.attempt,
        stage_index=work.index,
        publisher=publisher,
        control=lead.control,
        progress=lead.progress,
    )
    if job.resume is not None:
        lead.progress.start_at(step=job.resume.step, tokens=job.resume.tokens)
    lead.progress.phase(TRAINING)
    try:
        return train_stage(job, ports, team)
    finally:
        publisher.abandon()


def _end(
    work: control_pb2.StageWork, team: Team, lead: Lead | None, *, failed: bool, reason: str = "", message: str = ""
) -> None:
    outcome = control_pb2.END_OUTCOME_FAILED if failed else control_pb2.END_OUTCOME_COMPLETED
    request = control_pb2.EndStageRequest(
        attempt=work.attempt, stage_index=work.index, outcome=outcome, reason=reason, message=message
    )

    def tell() -> None:
        if lead is not None:
            lead.control.end_stage(request)

    team.from_lead(tell)
