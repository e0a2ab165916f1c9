"""Results of a measurement with their units, as a file, and what changed since: the forgetting of each set with its
paired 95 % interval.

A model is measured once and compared as often as one likes. Two results compare only where the digests of their sets
are equal: the same documents, tokens, windows and masks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.errors import BadSource
from model.evaluation.forgetting_score import bootstrap_interval, forgetting_ratio
from model.evaluation.perplexity import SetResult, UnitResult

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a set fared against a baseline: (ppl now - ppl baseline) / ppl baseline, > 0 is worse; its 95 % interval by a
    paired bootstrap over `units` (documents), None with under 50 of them."""

    name: str
    baseline_perplexity: float
    perplexity: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    units: int


def save_results(path: Path, results: Sequence[SetResult]) -> None:
    """Writes results with their units; the file appears whole."""
    rows = [asdict(result) | {"units": [list(vars(unit).values()) for unit in result.units]} for result in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps({"version": VERSION, "sets": rows}) + "\n", encoding="utf-8")
    partial.replace(path)


def saved_results(path: Path) -> list[SetResult]:
    """What `save_results` wrote. Raises BadSource for anything else."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body["version"] != VERSION:
            raise BadSource(f"{path}: version", body["version"], VERSION)
        return [_result(row) for row in body["sets"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadSource(str(path), repr(error), "results that were saved by a measurement (--save)") from error


def changes(now: Sequence[SetResult], baseline: Sequence[SetResult], *, where: str) -> list[Change]:
    """One row for each set of `now`. Raises BadSource, naming `where` the baseline is from, for a set that it lacks or
    that was another one there."""
    known = {result.name: result for result in baseline}
    found = []
    for result in now:
        before = known.get(result.name)
        if before is None:
            raise BadSource(
                where, f"no results for {result.name}", f"results for every set (there: {', '.join(known)})"
            )
        if before.digest != result.digest:
            got = f"another set {result.name} ({before.digest[:12]})"
            raise BadSource(where, got, f"the same documents, tokenizer and context ({result.digest[:12]})")
        interval = bootstrap_interval(
            [unit.nats for unit in result.units],
            [unit.nats for unit in before.units],
            [unit.tokens for unit in result.units],
        )
        found.append(
            Change(
                name=result.name,
                baseline_perplexity=before.perplexity,
                perplexity=result.perplexity,
                ratio=forgetting_ratio(result.perplexity, before.perplexity),
                ratio_low=None if interval is None else interval.low,
                ratio_high=None if interval is None else interval.high,
                units=len(result.units),
            )
        )
    return found


def changes_table(found: Sequence[Change]) -> str:
    """The changes for people to read."""
    width = max(10, *(len(one.name) for one in found))
    lines = [f"{'set':{width}} {'documents':>9} {'before':>10} {'now':>10} {'forgetting':>10}  95 % interval"]
    for one in found:
        interval = "under 50 documents have none"
        if one.ratio_low is not None and one.ratio_high is not None:
            interval = f"[{one.ratio_low:+.2%}, {one.ratio_high:+.2%}]"
        figures = f"{one.baseline_perplexity:>10.3f} {one.perplexity:>10.3f} {one.ratio:>+10.2%}"
        lines.append(f"{one.name:{width}} {one.units:>9,} {figures}  {interval}")
    return "\n".join(lines)


def _result(row: dict[str, Any]) -> SetResult:
    return SetResult(**{**row, "units": [UnitResult(*unit) for unit in row["units"]]})
