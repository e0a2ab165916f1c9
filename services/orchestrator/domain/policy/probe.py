"""The probe in the gate: what a fine-tuning lost beside perplexity, at its end, within a budget of its own.

A loss counts where its whole 95 % interval lies at or over the budget: what may be noise rolls nothing back. The end of
a stage decides. Before it a probe is told in words only, for answers come and go while the learning rate is high. No
set's text is what helps here, so that going back takes the learning rate's rung.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from retain.values import ProbeReport, ProbeResult

PROBE_NOT_KEPT = "PROBE_BUDGET_NOT_KEPT"
BUDGET = (
    0.1  # of the items: with 80 of a kind, a loss of about 20 % surely lies over it, one of all kinds of about 15 %
)


@dataclass(frozen=True, kw_only=True)
class ProbeFinding:
    """What a probe says to the gate: words for people, and the row that is surely over the budget, if there is one."""

    said: str
    over: ProbeResult | None = None


def read_probe(report: ProbeReport, budget: float) -> ProbeFinding:
    """What a report says against a budget (share of items; infinite: none was promised)."""
    if report.not_measured:
        return ProbeFinding(said=f"probe not measured: {report.not_measured}")
    deciding = [row for row in report.results if not row.shown_only]
    if not deciding:
        return ProbeFinding(said="probe: the stage's start did no better than chance, nothing is decided by it")
    worst = max(deciding, key=lambda row: (row.loss_low, row.loss))
    said = f"probe {_described(worst)}"
    if not isfinite(budget):
        return ProbeFinding(said=f"{said}: measured only")
    named = f"its budget ({100 * budget:.6g}%)"
    if not worst.loss_low < budget:
        return ProbeFinding(said=f"{said}: surely at or over {named}", over=worst)
    reached = [row for row in deciding if row.loss >= budget]
    if reached:
        return ProbeFinding(said=f"{said}: {_kinds(reached)} at or over {named}, within noise of it")
    return ProbeFinding(said=f"{said}: below {named}")


def _kinds(rows: Iterable[ProbeResult]) -> str:
    return ", ".join(row.kind.lower() for row in rows)


def _described(row: ProbeResult) -> str:
    interval = f"95% {row.loss_low:+.1%} to {row.loss_high:+.1%}"
    right = f"{row.right} of {row.items} right, {row.baseline_right} before"
    return f"{row.kind.lower()} {right} ({row.loss:+.1%} lost, {interval})"
