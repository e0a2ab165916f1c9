"""What benchmark harnesses found of a checkpoint, for people."""

from collections.abc import Sequence

from rich.table import Table

from ui.client.views import Benchmark, moment
from ui.render import formatting
from ui.render.tables import narrow, titled


def benchmark_table(benchmarks: Sequence[Benchmark]) -> Table:
    """A row for each figure; the newest benchmark first."""
    right = ["Figure", "±", "Documents"]
    table = titled("Benchmarks", "When", "Task", "Metric", *right, "Harness", "Asked", right=right)
    narrow(table, may_break=["When", "Task", "Harness", "Asked"])
    for one in benchmarks:
        rows = [(task, metric) for task in one.tasks for metric in task.metrics]
        for number, (task, metric) in enumerate(rows):
            first = number == 0
            error = metric.standard_error
            table.add_row(
                formatting.moment(moment(one.create_time_s)) if first else "",
                f"{task.task} v{task.version}" if metric == task.metrics[0] else "",
                metric.metric,
                f"{metric.figure:.4f}",
                "" if error is None else f"{error:.4f}",
                str(task.samples) if metric == task.metrics[0] else "",
                f"{one.harness} {one.versions.get('lm_eval', '')}".strip() if first else "",
                _asked(one) if first else "",
            )
    return table


def _asked(one: Benchmark) -> str:
    told = {
        name: one.settings[name] for name in ("limit", "num_fewshot") if one.settings.get(name) not in (None, "default")
    }
    return ", ".join(f"{name} {value}" for name, value in told.items()) or "all documents"
