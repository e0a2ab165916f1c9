"""Pictures of the experiments: what was learned against what was forgotten, and how forgetting went over the stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.experiments.catalogue import TITLES
from model.experiments.findings.frontier import frontier_of
from model.experiments.findings.results import GENERAL, Finished, Plan, Row, finished, of_group

BANDS = ((0.05, "minor"), (0.10, "action"), (0.20, "stop"))
FRONTIER_GROUPS = ("fixed", "share")  # whose points are joined to the line that others are compared with


def draw(plan: Plan, rows: Mapping[str, Row], folder: Path) -> list[Path]:
    """One PNG for every experiment and domain of which something has run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    written = []
    for (experiment, domain), arms in sorted(plan.items()):
        runs = [run for run in finished(arms, rows) if run.points]
        if not runs:
            continue
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.2), layout="constrained")
        figure.suptitle(f"({experiment}) {TITLES[experiment]}: {domain}")
        _plane(left, runs)
        _history(right, runs)
        path = folder / f"{experiment}-{domain}.png"
        figure.savefig(path, dpi=110)
        plt.close(figure)
        written.append(path)
    return written


def _plane(axes: Any, runs: Sequence[Finished]) -> None:
    """Every run by its target loss and what it forgot, on the report sets; small dots: points of its line."""
    for index, group in enumerate(dict.fromkeys(run.group for run in runs)):
        mine, color = of_group(runs, group), f"C{index % 10}"
        axes.scatter([r.target() for r in mine], [r.forgetting() for r in mine], color=color, label=group, zorder=3)
        for run in mine:
            axes.annotate(
                run.label, (run.target(), run.forgetting()), fontsize=6, xytext=(3, 3), textcoords="offset points"
            )
        if group in FRONTIER_GROUPS:
            line = frontier_of([run.at() for run in mine])
            axes.plot([p.target_nats for p in line], [p.forgetting_nats for p in line], color=color, linewidth=1)
        else:
            for run in mine:
                between = [run.at(point=point) for point in run.points]
                axes.plot(
                    [p.target_nats for p in between], [p.forgetting_nats for p in between],
                    color=color, linewidth=0.6, linestyle=":", marker=".", markersize=3,
                )  # fmt: skip
    axes.set(xlabel="target loss, nats a token", ylabel=f"forgotten of {GENERAL}, nats a token")
    axes.legend(fontsize=7)


def _history(axes: Any, runs: Sequence[Finished]) -> None:
    """The ratio on the control set at every boundary that was measured, over the tokens that were spent."""
    for run in runs:
        history = run.row["history"]
        tokens = [entry["spent_steps"] * run.arm.rows * run.arm.context for entry in history]
        ratios = [100 * entry["sets"][GENERAL]["ratio"] for entry in history]
        axes.plot(tokens, ratios, marker=".", linewidth=1, label=f"{run.group}: {run.label}")
    for height, name in BANDS:
        axes.axhline(100 * height, color="grey", linewidth=0.6, linestyle="--")
        where = axes.get_yaxis_transform()
        axes.text(0.005, 100 * height, name, fontsize=6, color="grey", va="bottom", transform=where, clip_on=True)
    axes.set(xlabel="tokens spent", ylabel="forgetting on the control set, %")
    if len(runs) <= 14:
        axes.legend(fontsize=6)
