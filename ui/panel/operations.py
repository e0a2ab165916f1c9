"""What the page of operations shows, from what the services said: plain rows, tested without a browser."""

from collections.abc import Iterable, Sequence
from typing import Any

from retain.values import AuditEvent, RunAlert
from ui.client.views import Run, moment
from ui.render import formatting
from ui.render.progress_table import doing
from ui.render.severity import MARKS
from ui.render.tables import current_stage

_ABOUT = {"NEEDS_PERSON": "waits for a person", "WAITS": "waits", "UPLOADS_FAIL": "uploads fail"}


def alert_rows(alerts: Iterable[RunAlert]) -> list[dict[str, Any]]:
    """A row for each alert, in the order given."""
    return [
        {
            "About": _ABOUT.get(alert.kind, MARKS[alert.severity].word if alert.severity in MARKS else str(alert.kind)),
            "Run": alert.run_id,
            "Stage": alert.stage or "-",
            "What": alert.message,
            "Threshold": formatting.percent(alert.threshold) if alert.threshold else "-",
        }
        for alert in alerts
    ]


def queue_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The runs that wait for their turn, the next one first."""
    waiting = sorted((run for run in runs if run.status.queue_position), key=lambda run: run.status.queue_position)
    return [
        {
            "Place": run.status.queue_position,
            "Run": run.id,
            "Name": run.name,
            "Project": run.project,
            "Workers": run.spec.compute.workers or 1,
            "Waits since": run.create_time,
        }
        for run in waiting
    ]


def worker_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The runs whose workers are at work, and at what."""
    rows = []
    for run in runs:
        if run.state != "RUNNING":
            continue
        stage = current_stage(run)
        rows.append(
            {
                "Run": run.id,
                "Workers": run.spec.compute.workers or 1,
                "Group": run.status.submission,
                "Doing": doing(run) or "-",
                "Stage": stage.name if stage else "-",
                "Step": f"{stage.step:,} of {stage.total_steps:,}" if stage else "-",
                "Tokens a second": round(stage.tokens_per_second) if stage else 0,
                "Waits for": run.status.waiting_for or "-",
            }
        )
    return rows


def audit_rows(events: Sequence[AuditEvent]) -> list[dict[str, Any]]:
    """Who did what, in the order given."""
    return [
        {
            "When": moment(event.time_s),
            "Who": event.subject,
            "Kind": event.kind,
            "Did": event.action,
            "On": event.resource or "-",
            "Outcome": event.outcome,
            "Before": event.before or "-",
            "After": event.after or "-",
            "From": event.peer,
        }
        for event in events
    ]
