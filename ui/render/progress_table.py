"""The pipeline progress table: how many checkpoints each stage has, the latest, and what is complete, ready or locked.

Mid-training needs a base model, fine-tuning a pre- or mid-trained one: a stage without its base is LOCKED, and the row
says what would unlock it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ui.client.views import Checkpoint, Run, Stage
from ui.render import formatting

TITLES = {"PRETRAIN": "Pre-Training", "MIDTRAIN": "Mid-Training", "FINETUNE": "Fine-Tuning"}
UNLOCKS = {
    "MIDTRAIN": "a base model: pre-train one, or import one with `retain import DIR`",
    "FINETUNE": "a pre- or mid-trained model: finish a pre-training or a mid-training",
}
PHASES = {
    "PREPARING": "preparing data",
    "LOADING": "loading",
    "TRAINING": "training",
    "SAVING": "saving",
    "WAITING": "waiting for the verdict",
    "UNSPECIFIED": "starting workers",
}
OUTSIDE = "waiting for something outside"  # which the run names: a full disk, a server that is away


@dataclass(frozen=True, kw_only=True)
class ProgressRow:
    """One row. `status` is COMPLETE, RUNNING, SUSPENDED, FAILED, READY, LOCKED; `latest` None without a checkpoint;
    `detail`: how far what runs has come."""

    kind: str
    domain: str
    checkpoints: int
    latest: str | None
    status: str
    unlocked_by: str = ""
    detail: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.kind] + (f" ({self.domain.lower()})" if self.domain else "")


def doing(run: Run) -> str:
    """`preparing data`, `training`; empty for a run that is not at work, or in a phase that this version does not
    know."""
    if run.state != "RUNNING":
        return ""
    return OUTSIDE if run.status.waiting_for else PHASES.get(run.status.phase, "")


def worked_on(run: Run) -> Stage | None:
    """The stage that a run is at work for. While its data are prepared that is the first one, which is locked until
    then; None between two stages, and for a run that is not at work."""
    if run.state != "RUNNING" or not run.stages:
        return None
    preparing = not any(stage.attempt for stage in run.stages)
    return run.stages[0] if preparing else next((stage for stage in run.stages if stage.state == "RUNNING"), None)


def of_run(run: Run) -> list[ProgressRow]:
    """The table of one run: its own stages."""
    return [
        ProgressRow(
            kind=stage.kind,
            domain=stage.domain or "",
            checkpoints=stage.checkpoints,
            latest=stage.latest.short_name if stage.latest else None,
            status=_status(run, stage),
            unlocked_by=stage.unlocked_by if _status(run, stage) == "LOCKED" else "",
            detail=_detail([(run, stage)]),
        )
        for stage in run.stages
    ]


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """What there is of one kind of stage: checkpoints that count, the newest of them, and whether one is accepted."""

    kind: str
    domain: str
    usable: int
    latest: str | None
    accepted: bool


def of_house(checkpoints: Sequence[Checkpoint], runs: Sequence[Run]) -> list[ProgressRow]:
    """The table over everything there is: checkpoints come newest first, runs that continue count as RUNNING."""
    counted = [checkpoint for checkpoint in checkpoints if checkpoint.state.usable]
    counts = []
    for kind, domain in dict.fromkeys((str(one.kind), str(one.domain or "")) for one in counted):
        own = [one for one in counted if (one.kind, one.domain or "") == (kind, domain)]
        accepted = any(one.state == "ACCEPTED" for one in own)
        counts.append(StageCount(kind=kind, domain=domain, usable=len(own), latest=own[0].id, accepted=accepted))
    return of_counts(counts, runs, imported=any(not one.run_id for one in counted))


def of_counts(counts: Sequence[StageCount], runs: Sequence[Run], *, imported: bool) -> list[ProgressRow]:
    """The table over everything there is. `imported`: whether there is a model that no run made. It counts as a
    pre-trained one: it is a base, whatever it was trained on."""
    accepted = {count.kind for count in counts if count.accepted}
    unlocked = {
        "PRETRAIN": True,
        "MIDTRAIN": "PRETRAIN" in accepted or imported,
        "FINETUNE": bool(accepted & {"PRETRAIN", "MIDTRAIN"}) or imported,
    }
    known = {(count.kind, count.domain): count for count in counts}
    busy = [
        (run, stage)
        for run in runs
        if not run.is_terminal
        for stage in run.stages
        if _status(run, stage) in {"RUNNING", "SUSPENDED"}
    ]
    rows = []
    for kind in TITLES:
        domains = {domain for of, domain in known if of == kind}
        domains |= {str(stage.domain or "") for run in runs for stage in run.stages if stage.kind == kind}
        for domain in sorted(domains) or [""]:
            count = known.get((kind, domain))
            own = [(run, stage) for run, stage in busy if (stage.kind, stage.domain or "") == (kind, domain)]
            if own:
                states = {_status(run, stage) for run, stage in own}
                status = "RUNNING" if "RUNNING" in states else "SUSPENDED"
            elif count is not None and count.accepted:
                status = "COMPLETE"
            else:
                status = "READY" if unlocked[kind] else "LOCKED"
            rows.append(
                ProgressRow(
                    kind=kind,
                    domain=domain,
                    checkpoints=count.usable if count else 0,
                    latest=count.latest if count else None,
                    status=status,
                    unlocked_by=UNLOCKS[kind] if status == "LOCKED" else "",
                    detail=_detail(own),
                )
            )
    return rows


def _status(run: Run, stage: Stage) -> str:
    """How a stage stands; one whose data are prepared is at work, though it is locked until they are."""
    return "RUNNING" if stage is worked_on(run) else str(stage.state)


def _detail(busy: Sequence[tuple[Run, Stage]]) -> str:
    """How far the runs in a stage are, and how long the one that is nearest to its end will still take; of one that
    has made no step, what it does."""
    moving = [(run, stage) for run, stage in busy if _status(run, stage) == "RUNNING"]
    if not moving:
        return ""
    run, furthest = max(moving, key=lambda one: one[1].step / one[1].total_steps if one[1].total_steps else 0.0)
    done = formatting.percent(furthest.step / furthest.total_steps, signed=False) if furthest.total_steps else "begun"
    if not furthest.step:
        done = doing(run) or done
    left = furthest.time_left_seconds
    said = done if left is None else f"{done}, {formatting.duration(left)} left"
    return said if len(moving) == 1 else f"{len(moving)} runs, the furthest {said}"
