"""Where a checkpoint comes from, as a graph: parents up to random weights, and what is known to have grown from it."""

import itertools
import json
from collections.abc import Callable, Sequence

from ui.client.views import Checkpoint

MOST_PARENTS, MOST_CHILDREN = 12, 12
COLOURS = {"ACCEPTED": "#2e9e5b", "DAMAGED": "#d23f31", "LIVE": "#3b7cf0"}  # the others are gone
GONE = "#6f7a8e"


def ancestors(start: Checkpoint, find: Callable[[str], Checkpoint | None]) -> list[Checkpoint]:
    """The checkpoint and its parents, nearest first, by the digests of their manifests; `find` gives None for one that
    is not there (any more, or for this person)."""
    found = [start]
    while found[-1].parent and len(found) <= MOST_PARENTS:
        parent = find(found[-1].parent)
        if parent is None or any(parent.id == one.id for one in found):
            break
        found.append(parent)
    return found


def children(of: Checkpoint, rows: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Those of the rows that grew from it."""
    return [row for row in rows if row.parent and row.parent == of.ref.manifest_sha256][:MOST_CHILDREN]


def graph(chain: Sequence[Checkpoint], grown: Sequence[Checkpoint]) -> str:
    """The graph in the DOT language, oldest on top; `chain` begins with the checkpoint that is looked at."""
    lines = [
        "digraph {",
        'bgcolor="transparent"; rankdir="TB"; nodesep=0.2; ranksep=0.35;',
        'node [shape="box", style="rounded", fontsize=11, fontname="sans-serif", fontcolor="#6f7a8e", penwidth=1.5];',
        f'edge [color="{GONE}", arrowsize=0.7];',
    ]
    for row in (*chain, *grown):
        width = 3 if row.id == chain[0].id else 1.5
        lines.append(f'{_name(row)} [label={_label(row)}, color="{COLOURS.get(row.state, GONE)}", penwidth={width}];')
    lines += [f"{_name(parent)} -> {_name(row)};" for row, parent in itertools.pairwise(chain)]
    lines += [f"{_name(chain[0])} -> {_name(row)};" for row in grown]
    oldest = chain[-1]
    start = "" if not oldest.run_id else ("an earlier checkpoint" if oldest.parent else "random weights")
    if start:
        lines += [f'start [label="{start}", color="{GONE}", style="dashed"];', f"start -> {_name(oldest)};"]
    return "\n".join([*lines, "}"])


def _name(row: Checkpoint) -> str:
    return json.dumps(row.id)


def _label(row: Checkpoint) -> str:
    where = f"{row.stage}, attempt {row.attempt}, step {row.ref.step:,}" if row.run_id else "imported"
    # Two backslashes in JSON would be a backslash in DOT: the line end is put in after the text is quoted.
    return json.dumps(f"{row.run_id or row.id}|{where}|{row.state.lower()}").replace("|", "\\n")
