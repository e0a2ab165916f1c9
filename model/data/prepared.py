"""What preparing a source made, and the record that says so: `root/prepared/{digest}.json`, written last.

A record whose shard or sets are not whole counts as not there: the source is prepared again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.data.contamination import Overlap
from model.data.eval_set import EvalSet
from model.data.shards import TokenShard
from model.data.split import CONTROL, REPORT


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What preparing a source made. `control` and `report` are None when nothing was held out (fraction 0).

    overlap   of each set of the exam with the training text of this source
    left_out  documents that were not taken because they hold text of the exam
    """

    digest: str
    shard: Path
    control: Path | None
    report: Path | None
    overlap: tuple[Overlap, ...]
    left_out: int = 0


def open_prepared(prepared: Prepared) -> tuple[TokenShard, EvalSet | None, EvalSet | None]:
    """The training shard, the control set and the report set."""
    sets = [EvalSet.open(folder) if folder else None for folder in (prepared.control, prepared.report)]
    return TokenShard.open(prepared.shard), sets[0], sets[1]


def read_record(record: Path, root: Path) -> Prepared | None:
    try:
        raw = json.loads(record.read_text())
    except FileNotFoundError:
        return None
    control, report = ((root / raw[part]) if raw[part] else None for part in (CONTROL, REPORT))
    shard = root / raw["shard"]
    if not all((folder / "meta.json").is_file() for folder in (shard, control, report) if folder):
        return None
    overlaps = tuple(
        Overlap(**(facts | {"exact": tuple(facts["exact"]), "near": tuple(facts["near"])})) for facts in raw["overlap"]
    )
    return Prepared(
        digest=raw["digest"],
        shard=shard,
        control=control,
        report=report,
        overlap=overlaps,
        left_out=raw["left_out"],
    )


def write_record(record: Path, prepared: Prepared) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    root = record.parent.parent
    raw: dict[str, Any] = {"digest": prepared.digest, "shard": prepared.shard.relative_to(root).as_posix()}
    for part, folder in ((CONTROL, prepared.control), (REPORT, prepared.report)):
        raw[part] = folder.relative_to(root).as_posix() if folder else None
    raw["left_out"] = prepared.left_out
    raw["overlap"] = [asdict(overlap) for overlap in prepared.overlap]
    partial = record.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(raw, indent=1) + "\n")
    os.replace(partial, record)
