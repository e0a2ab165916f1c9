"""The pipeline progress table: how many checkpoints each stage has, the latest, and what is complete, ready or locked.

Mid-training needs a base model, fine-tuning a pre- or mid-trained one: a stage without its base is LOCKED, and the row
says what would unlock it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ui.client.views import Checkpoint, Run

TITLES = {"PRETRAIN": "Pre-Training", "MIDTRAIN": "Mid-Training", "FINETUNE": "Fine-Tuning"}
UNLOCKS = {
    "MIDTRAIN": "a base model: pre-train one, or import one with `retain import DIR`",
    "FINETUNE": "a pre- or mid-trained model: finish a pre-training or a mid-training",
}


@dataclass(frozen=True, kw_only=True)
class ProgressRow:
    """One row. `status` is COMPLETE, RUNNING, SUSPENDED, FAILED, READY, LOCKED; `latest` None without a checkpoint."""

    kind: str
    domain: str
    checkpoints: int
    latest: str | None
    status: str
    unlocked_by: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.kind] + (f" ({self.domain.lower()})" if self.domain else "")


def of_run(run: Run) -> list[ProgressRow]:
    """The table of one run: its own stages."""
    return [
        ProgressRow(
            kind=stage.kind,
            domain=stage.domain or "",
            checkpoints=stage.checkpoints,
            latest=stage.latest.short_name if stage.latest else None,
            status=stage.state,
            unlocked_by=stage.unlocked_by if stage.state == "LOCKED" else "",
        )
        for stage in run.stages
    ]


def of_house(checkpoints: Sequence[Checkpoint], runs: Sequence[Run]) -> list[ProgressRow]:
    """The table over everything there is: checkpoints come newest first, runs that continue count as RUNNING."""
    counted = [checkpoint for checkpoint in checkpoints if checkpoint.state in {"LIVE", "ACCEPTED"}]
    accepted = {checkpoint.kind for checkpoint in counted if checkpoint.state == "ACCEPTED"}
    # An imported model counts as a pre-trained one: it is a base, whatever it was trained on.
    unlocked = {
        "PRETRAIN": True,
        "MIDTRAIN": "PRETRAIN" in accepted or any(not checkpoint.run_id for checkpoint in counted),
        "FINETUNE": bool(accepted & {"PRETRAIN", "MIDTRAIN"}) or any(not checkpoint.run_id for checkpoint in counted),
    }
    busy = {
        (str(stage.kind), stage.domain or ""): str(stage.state)
        for run in runs
        if not run.is_terminal
        for stage in run.stages
    }
    rows = []
    for kind in TITLES:
        domains = sorted(
            {c.domain or "" for c in counted if c.kind == kind} | {domain for k, domain in busy if k == kind}
        ) or [""]
        for domain in domains:
            own = [c for c in counted if (c.kind, c.domain or "") == (kind, domain)]
            if busy.get((kind, domain)) in {"RUNNING", "SUSPENDED"}:
                status = busy[kind, domain]
            elif any(c.state == "ACCEPTED" for c in own):
                status = "COMPLETE"
            else:
                status = "READY" if unlocked[kind] else "LOCKED"
            rows.append(
                ProgressRow(
                    kind=kind,
                    domain=domain,
                    checkpoints=len(own),
                    latest=own[0].id if own else None,
                    status=status,
                    unlocked_by=UNLOCKS[kind] if status == "LOCKED" else "",
                )
            )
    return rows
