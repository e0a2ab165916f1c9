"""Which checkpoints' files may be deleted. Their rows and manifests stay, so that the lineage stays whole.

Kept are, of each stage: the newest `keep_last`, the best, the accepted one, the last good one (a rollback's target),
one good one of each power of two of boundaries (a rollback that goes at most half as far into the stage finds one),
what a point of the path is to be made of, and whatever an evaluation waits for, a rollback was decided to go to, or a
worker may be loading. An interim checkpoint is kept until the next boundary's takes its place.

Two phases: what is not kept is PRUNING in the stored state first, where no rule chooses it any more; its files are
deleted afterwards. So a deletion under way, or its record that is late, never meets a rollback to the same checkpoint.
"""

import math
from dataclasses import replace

from services.orchestrator.domain.policy.interpolation import path_boundaries
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint
from services.orchestrator.domain.run.state import Checkpoint, CheckpointState, PipelineRun, StageRun, StageState


def begin_pruning(state: PipelineRun) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Give up what is not kept: from here on nothing is resumed from it, and its files may be deleted."""
    records: list[Record] = []
    for stage in state.stages:
        newest, interim = stage.branch.newest_trained, stage.branch.interim
        if interim is not None and newest is not None and newest.ref.step >= interim.ref.step:
            given_up = replace(interim, status=CheckpointState.PRUNING)
            branch = replace(stage.branch, interim=None, pruning=(*stage.branch.pruning, given_up))
            stage = replace(stage, branch=branch)
            state = state.with_stage(stage)
            records.append(RecordCheckpoint(checkpoint=given_up))
        ends = path_boundaries(state.spec.forgetting.interpolation, stage.plan.boundaries)
        kept = kept_ids(stage, state.spec.checkpoints.keep_last, path_ends=ends)
        pruned = tuple(
            replace(c, status=CheckpointState.PRUNING, measurement=None)
            for c in stage.branch.checkpoints
            if c.id not in kept
        )
        if pruned:
            rest = tuple(c for c in stage.branch.checkpoints if c.id in kept)
            branch = replace(stage.branch, checkpoints=rest, pruning=(*stage.branch.pruning, *pruned))
            state = state.with_stage(replace(stage, branch=branch))
            records += [RecordCheckpoint(checkpoint=c) for c in pruned]
    return state, tuple(records)


def to_delete(state: PipelineRun) -> tuple[Checkpoint, ...]:
    """Checkpoints whose files are to be deleted: nothing resumes from them any more."""
    return tuple(c for stage in state.stages for c in (*stage.branch.voided, *stage.branch.pruning))


def kept_ids(stage: StageRun, keep_last: int, *, path_ends: frozenset[int] = frozenset()) -> frozenset[str]:
    """Ids of the checkpoints of one stage that stay; those at the boundaries `path_ends` until its end."""
    kept = {c.id for c in stage.branch.checkpoints[-keep_last:]}
    kept |= {c.id for c in stage.branch.checkpoints if c.severity is None or not c.status.usable}
    good = [c for c in stage.branch.checkpoints if c.good]
    kept |= {c.id for c in good[-1:]}
    best = best_of(stage)
    kept |= {best.id} if best else set()
    if stage.status is StageState.COMPLETE:
        kept |= {c.id for c in stage.branch.checkpoints if stage.accepted and c.ref.uri == stage.accepted.uri}
    else:
        kept |= {c.id for c in way_back(good)}
        targets = {r.boundary for r in (stage.branch.pending_rollback, stage.gate.held_rollback) if r is not None}
        targets |= path_ends
        kept |= {c.id for c in stage.branch.checkpoints if c.boundary in targets}
    if stage.attempt.resume is not None:
        kept |= {c.id for c in stage.branch.checkpoints if c.ref.uri == stage.attempt.resume.uri}
    return frozenset(kept)


def way_back(good: list[Checkpoint]) -> list[Checkpoint]:
    """The first good checkpoint from each power of two of boundaries on. Once kept it stays, so that to every boundary
    there is one that lies between a quarter and half as far into the stage, as far as there were good ones."""
    first: dict[int, Checkpoint] = {}
    for checkpoint in good:
        first.setdefault(checkpoint.boundary.bit_length(), checkpoint)
    return list(first.values())


def best_of(stage: StageRun) -> Checkpoint | None:
    """The checkpoint with the lowest loss on the target among those with a good verdict."""
    good = [c for c in stage.branch.checkpoints if c.good and c.target_loss_nats is not None]
    return min(good, key=lambda c: c.target_loss_nats if c.target_loss_nats is not None else math.inf, default=None)
