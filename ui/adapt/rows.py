"""What is kept of an arm: how it ended, what it forgot, what it says. One file an arm, and one file of all published.

    arm, recipe     its name, and the digest of the specification that it ran with, the model's place left out
    sets            of each measured set the perplexity before and now, forgetting with its paired 95 % interval
    samples         prompt and answer

Rows take half an hour each. With the published ones at hand the table is printed at once, and only arms that lack run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation
from ui.sweep.file import PlannedRun

PUBLISHED = Path(__file__).with_name("published.json")


@dataclass(frozen=True, kw_only=True)
class Row:
    """See the module. `state` of its run; an arm whose stage handed no model on has no sets and no samples."""

    arm: str
    recipe: str
    state: str
    target_tokens: int
    seconds: float
    rollbacks: int
    decisions: Sequence[str]
    sets: Sequence[Mapping[str, Any]]
    samples: Sequence[Mapping[str, str]]


def recipe_of(planned: PlannedRun) -> str:
    """The digest of a run's specification, whatever model it was given and whatever it is labelled with."""
    tree = {key: value for key, value in planned.tree.items() if key != "labels"}
    tree["model"] = {key: value for key, value in (tree.get("model") or {}).items() if key != "checkpoint"}
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


def read_rows(folder: Path, recipes: Mapping[str, str], published: Path = PUBLISHED) -> dict[str, Row]:
    """By arm, the rows of `folder` and, where it has none, the published ones; of these recipes alone.

    Raises BadInput for a file that holds no rows.
    """
    found = {}
    for path in (published, *sorted(folder.glob("*.json"))):
        for row in _rows(path) if path.is_file() else []:
            if recipes.get(row.arm) == row.recipe:
                found[row.arm] = row
    return {arm: found[arm] for arm in recipes if arm in found}


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """The file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _rows(path: Path) -> list[Row]:
    try:
        return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise BadInput([Violation(field=str(path), description=mismatch(repr(error), "rows of arms"))]) from error
