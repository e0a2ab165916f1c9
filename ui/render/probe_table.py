"""What a fine-tuning's probe found: a row for each kind of item, the start of the stage beside the model now."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from retain.values import ProbeKind, ProbeResult
from ui.client.views import Stage
from ui.render import formatting
from ui.render.tables import narrow, titled

NAMES = {
    ProbeKind.CHOICE: "multiple choice",
    ProbeKind.FORMAT: "asked form",
    ProbeKind.JSON: "JSON",
    ProbeKind.STOP: "end of turn",
    ProbeKind.ALL: "all",
}


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """One kind of a stage. `note` says why nothing is decided by it, or was measured; empty where it counts."""

    stage: str
    kind: str
    before: str
    now: str
    lost: str
    interval: str
    note: str


def probe_rows(stages: Sequence[Stage]) -> list[ProbeRow]:
    """The last probe of every stage that was asked one."""
    rows = []
    for stage in stages:
        if stage.probe is None:
            continue
        if stage.probe.not_measured:
            said = f"not measured: {stage.probe.not_measured}"
            rows.append(ProbeRow(stage=stage.name, kind="-", before="", now="", lost="", interval="", note=said))
        rows += [_row(stage.name, result) for result in stage.probe.results]
    return rows


def _row(stage: str, result: ProbeResult) -> ProbeRow:
    return ProbeRow(
        stage=stage,
        kind=NAMES.get(result.kind, result.kind.lower()),
        before=f"{result.baseline_right} of {result.items}",
        now=f"{result.right} of {result.items}",
        lost=formatting.percent(result.loss),
        interval=f"{100 * result.loss_low:+.1f}…{100 * result.loss_high:+.1f}",
        note="shown only: the start did no better than chance" if result.shown_only else "",
    )


def probe_table(rows: Sequence[ProbeRow]) -> Table:
    """Right before, right now, and what was lost."""
    right = ["Before", "Now", "Lost"]
    table = titled("Probe: what the start answered", "Stage", "Items", *right, "95 %", "", right=right)
    narrow(table, may_break=[""])
    previous = ""
    for row in rows:
        stage = "" if row.stage == previous else row.stage
        table.add_row(stage, row.kind, row.before, row.now, row.lost, row.interval, Text(row.note, "dim"))
        previous = row.stage
    return table
