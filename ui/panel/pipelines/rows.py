"""What the page of all pipelines shows, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ui.client.views import Run
from ui.render import formatting
from ui.render.progress_table import doing
from ui.render.severity import MARKS, Thresholds
from ui.render.tables import current_stage

RECENT_S = 24 * 3600.0  # a run that failed longer ago was seen, or is nobody's


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A run that needs a person, and what for."""

    run_id: str
    name: str
    sign: str
    why: str


def attention(waiting: Sequence[Run], failed: Sequence[Run], going: Sequence[Run], now_s: float) -> list[Attention]:
    """Runs that wait for a decision, then those that wait for something outside (a full disk), then those that failed
    within a day, each newest first."""
    held = [_of(run, "‖", run.status.message or "It waits for a decision") for run in waiting]
    stuck = [_of(run, "…", f"It waits for: {run.status.waiting_for}") for run in going if run.status.waiting_for]
    fresh = [run for run in failed if now_s - (run.end_time_s or run.update_time_s or 0.0) <= RECENT_S]
    return [*held, *stuck, *(_of(run, "✗", run.status.message or run.status.reason or "It failed") for run in fresh)]


def _of(run: Run, sign: str, why: str) -> Attention:
    return Attention(run_id=run.id, name=run.name, sign=sign, why=why)


def run_row(run: Run) -> dict[str, Any]:
    """One run as a row of the table."""
    stage = current_stage(run)
    place = f" (place {run.status.queue_position})" if run.status.queue_position else ""
    now = f": {said}" if (said := doing(run)) else ""
    left = stage.time_left_seconds if stage is not None and run.state == "RUNNING" else None
    return {
        "Run": run.id,
        "Name": run.name,
        "State": run.state.capitalize() + place + now,
        "Stage": stage.name if stage else "-",
        "Progress": 100 * progress(run),  # in per cent
        "Time left": "-" if left is None else formatting.duration(left),
        "Forgetting": _forgetting(run),
        "Labels": ", ".join(f"{key}={value}" for key, value in sorted(run.spec.labels.items())),
        "Project": run.project,
        "Created": run.create_time,
    }


def progress(run: Run) -> float:
    """How much of all its stages is done, 0 to 1, by tokens as far as they are planned, else by stages."""
    if not run.stages:
        return 0.0
    if all(stage.total_tokens for stage in run.stages):
        done = sum(min(stage.tokens, stage.total_tokens) for stage in run.stages)
        return done / sum(stage.total_tokens for stage in run.stages)
    return sum(stage.state == "COMPLETE" for stage in run.stages) / len(run.stages)


def _forgetting(run: Run) -> str:
    """The worst score of the stage that is worked on, or was last, with its mark."""
    scored = [stage for stage in run.stages if stage.forgetting is not None]
    if not scored:
        return "-"
    mark = MARKS[Thresholds.of_spec(run.spec).of_stage(scored[-1])]
    return f"{mark.sign} {formatting.percent(scored[-1].forgetting)}"


def found_line(shown: int, *, searched: bool, more: bool) -> str:
    """What part of the runs is shown."""
    runs = f"{shown} run" if shown == 1 else f"{shown} runs"
    found = f"{runs} found" if searched else runs
    return f"{found}, newest first; {'older ones are on the next page' if more else 'there are no older ones'}"
