"""Points of several kinds, measured at the end of an arm: four of each, so that each costs the same.

SEGMENT is the line from the parent to the result. FAPM keeps a share of the elements of the change between them
(model/nn/interpolation.py). PATH is the mean of the result and the arm's own snapshot that far into the stage, REWOUND
that snapshot alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.experiments.arms import Arm
from model.experiments.measuring import CONTROL, REPORT, Ruler, as_row
from model.nn.causal_lm import CausalLM
from model.nn.interpolation import interpolate, prune_task_vector
from model.training.job import Snapshot

SEGMENT, FAPM, PATH, REWOUND = "SEGMENT", "FAPM", "PATH", "REWOUND"
KINDS = (SEGMENT, FAPM, PATH, REWOUND)
POINTS = (0.3, 0.5, 0.7, 0.9)
MIDDLE = 0.5


def measure_kinds(parent: CausalLM, snapshots: Mapping[int, Snapshot], arm: Arm, ruler: Ruler) -> list[dict[str, Any]]:
    """Rows of the points, each with its `kind`."""
    last = max(snapshots)
    result = snapshots[last].model
    rows = []
    for point in POINTS:
        earlier = snapshots[max(1, min(last - 1, round(point * last)))].model
        rows += [
            _row(SEGMENT, point, interpolate(parent, result, point), ruler),
            _row(FAPM, point, prune_task_vector(parent, result, point), ruler),
            _row(PATH, point, interpolate(earlier, result, MIDDLE), ruler),
            _row(REWOUND, point, earlier, ruler),
        ]
    return rows


def _row(kind: str, point: float, model: CausalLM, ruler: Ruler) -> dict[str, Any]:
    return {"kind": kind, "point": point, **{use: as_row(ruler.measure(model, use)) for use in (CONTROL, REPORT)}}
