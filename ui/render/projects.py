"""Projects and their place in the queue, for people."""

from collections.abc import Sequence

from rich.table import Table

from retain.values import Project, QueueForecast
from ui.render import formatting

_WORDS = {"runs": "runs", "slots": "worker slots", "bytes": "in the store"}


def projects_table(projects: Sequence[Project]) -> Table:
    """What each uses of what it may use."""
    table = Table("project", "weight", "runs", "waiting", "slots", "store")
    for one in projects:
        table.add_row(
            one.name,
            f"{one.weight:g}",
            _of(one.use.runs, one.quotas.runs),
            str(one.use.waiting),
            _of(one.use.slots, one.quotas.slots),
            _amount("bytes", one.use.bytes, one.quotas.bytes),
        )
    return table


def queue_lines(queue: QueueForecast | None) -> list[str]:
    """Where a run would stand, and what its project has left: for the plan."""
    if queue is None:
        return []
    slots = f"{queue.slots_wanted} of {queue.slots} worker slots, {queue.slots_free} free"
    if queue.position > 1:
        ahead = queue.position - 1
        noun = "run" if ahead == 1 else "runs"
        line = f"{ahead} {noun} of {queue.slots_ahead} slots ahead of it in the queue; it wants {slots}"
    else:
        line = f"nothing is ahead of it in the queue; it wants {slots}"
    lines = [f"Project {queue.project}: {line}"]
    for quota in queue.quotas:
        used = _amount(quota.quota, quota.used, quota.limit)
        over = quota.used + quota.asked > quota.limit
        asked = f", {quota.asked} more asked" if quota.asked else ""
        then = " (it would wait)" if over and quota.quota == "slots" and quota.asked <= quota.limit else ""
        then = then or (" (it would be refused)" if over else "")
        lines.append(f"Quota of project {queue.project}: {used} {_WORDS.get(quota.quota, quota.quota)}{asked}{then}")
    return lines


def _amount(quota: str, used: int, limit: int | None) -> str:
    if quota != "bytes":
        return _of(used, limit)
    return formatting.file_size(used) + (f" of {formatting.file_size(limit)}" if limit is not None else "")


def _of(used: int, limit: int | None) -> str:
    return str(used) if limit is None else f"{used} of {limit}"
