"""Which checkpoints' files may be deleted. Their rows and manifests stay, so that the lineage stays whole.

Kept are, of each stage: the newest `keep_last`, the best, the accepted one, the last good one (a rollback's target),
and whatever an evaluation waits for or a worker may be loading.
"""

import math

from services.orchestrator.domain.run_state import Checkpoint, RunState, StageRun, StageStatus


def prunable(state: RunState) -> tuple[Checkpoint, ...]:
    """Checkpoints whose files are not needed any more: voided ones, and old ones that nothing asks for."""
    found: list[Checkpoint] = []
    for stage in state.stages:
        found += stage.voided
        kept = kept_ids(stage, state.spec.checkpoints.keep_last)
        found += [c for c in stage.checkpoints if c.id not in kept]
    return tuple(found)


def kept_ids(stage: StageRun, keep_last: int) -> frozenset[str]:
    """Ids of the checkpoints of one stage that stay."""
    kept = {c.id for c in stage.checkpoints[-keep_last:]}
    kept |= {c.id for c in stage.checkpoints if c.severity is None}
    good = [c for c in stage.checkpoints if c.good]
    kept |= {c.id for c in good[-1:]}
    best = best_of(stage)
    kept |= {best.id} if best else set()
    if stage.status is StageStatus.COMPLETE:
        kept |= {c.id for c in stage.checkpoints if stage.accepted and c.ref.uri == stage.accepted.uri}
    if stage.resume is not None:
        kept |= {c.id for c in stage.checkpoints if c.ref.uri == stage.resume.uri}
    return frozenset(kept)


def best_of(stage: StageRun) -> Checkpoint | None:
    """The checkpoint with the lowest loss on the target among those with a good verdict."""
    good = [c for c in stage.checkpoints if c.good and c.target_loss_nats is not None]
    return min(good, key=lambda c: c.target_loss_nats if c.target_loss_nats is not None else math.inf, default=None)
