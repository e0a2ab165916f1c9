"""A folder of shared data with a few documents of the real sets, and rows as finished runs leave them."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.experiments.arms import Arm
from model.experiments.corpora import FIRST_RETENTION_ROW, Sizes

SIZES = Sizes(control_tokens=1_500, report_tokens=2_500)
GENERAL_ROWS = 30


def tiny_shared(real: Path, folder: Path) -> Path:
    """The real model by a link, the first lines of the real files."""
    (folder / "models").mkdir(parents=True)
    (folder / "models/stories260K-hf").symlink_to(real / "models/stories260K-hf")
    lengths = {
        "general/tinystories.train.jsonl": GENERAL_ROWS,
        "general/tinystories.val.jsonl": FIRST_RETENTION_ROW + GENERAL_ROWS,
        "math/gsm8k.train.jsonl": 40,
        "math/gsm8k.test.jsonl": 20,
        "chat/chat.train.jsonl": 40,
        "chat/chat.test.jsonl": 20,
    }
    for name, rows in lengths.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (real / name).open(encoding="utf-8") as file:
            (folder / name).write_text("".join(itertools.islice(file, rows)), encoding="utf-8")
    return folder


def finished_row(
    arm: Arm, *, target: float, forgotten: float, ratios: Mapping[float, float] | None = None, outcome: str = "ACCEPTED"
) -> dict[str, Any]:
    """The row of a run that ended at these figures on both sets, with the ratio at parts of its steps."""
    retention = {"loss_nats": 1.5 + forgotten, "forgetting_nats": forgotten, "ratio": 0.0}
    sets = {
        arm.domain: {"loss_nats": target, "gain_nats": 5.0 - target},
        "general": {**retention, "ratio_low": None, "ratio_high": None},
    }
    history = [
        {"step": round(part * arm.steps), "spent_steps": round(part * arm.steps), "verdict": "CONTINUE",
         "shares": arm.shares, "lr_scale": 1.0, "sets": {"general": {"ratio": ratio}}}
        for part, ratio in (ratios or {1.0: 0.0}).items()
    ]  # fmt: skip
    return {
        "digest": arm.digest,
        "arm": arm.as_dict(),
        "outcome": outcome,
        "plays": 1,
        "steps": arm.steps,
        "tokens": arm.tokens,
        "history": history,
        "points": [{"point": 1.0, "control": sets, "report": sets}],
        "decisions": [],
        "seconds": 1.0,
    }


def write_row(root: Path, row: Mapping[str, Any]) -> None:
    """Puts a row where finished runs leave theirs."""
    path = root / "rows" / f"{row['digest']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
