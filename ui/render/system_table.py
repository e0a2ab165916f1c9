"""How an installation stands, as a line and a table."""

from collections.abc import Sequence

from rich.table import Table

from retain.values import RunAlert
from ui.client.views import SystemStatus, moment
from ui.render import formatting


def queue_line(status: SystemStatus) -> str:
    """Slots, who waits, and what cannot be read."""
    said = f"{status.slots_held} of {status.slots} worker slots are held, {status.runs_waiting} runs wait"
    unread = status.unreadable_records
    return f"{said}, {unread} stored records cannot be read (the orchestrator's log names them)" if unread else said


def components_table(status: SystemStatus) -> Table:
    """A row for each component: whether it answers, since when, and why not."""
    table = Table("component", "answers", "since", "reason")
    for one in status.components:
        answers = "✓ yes" if one.state == "UP" else "✗ no"
        table.add_row(one.name, answers, formatting.moment(moment(one.since_time_s)), one.reason)
    return table


def alert_lines(alerts: Sequence[RunAlert]) -> list[str]:
    """A line for each alert; one that says so where there is none."""
    if not alerts:
        return ["no alerts"]
    return [
        f"alert: {alert.run_id}{f' {alert.stage}' if alert.stage else ''}: "
        f"{alert.severity.lower() if alert.severity else alert.kind.lower().replace('_', ' ')}: {alert.message}"
        for alert in alerts
    ]
