"""One line from a parent to its result, measured finely: what weight interpolation gives back, and what it costs.

    python -m model.experiments.line [--shared DIR] [--out DIR]     trains one arm, measures, prints, writes line.json
    python -m model.experiments.line --stored                       prints what is stored

The arm is the untuned mix of `retain learn experiments` (GSM8K, a tenth of replay, seed 0): about a minute on a core of
its own. `line.json` beside this module holds what it printed last; the guides' slider draws these points and nothing
between them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.errors import RetainModelError
from model.experiments.arms import Arm
from model.experiments.corpora import shared_data
from model.experiments.measuring import REPORT, write_json
from model.experiments.stage_run import Bench, one_thread, run_arm

ARM = Arm(domain="gsm8k", seed=0, general_share=0.1)
POINTS = tuple(tenth / 10 for tenth in range(10))  # the result itself, 1, is measured anyway
FILE = Path(__file__).with_name("line.json")


def measure_line(arm: Arm, bench: Bench, points: Sequence[float] = POINTS) -> dict[str, Any]:
    """`weights`: how many each model has; `points`, from the parent (0) to the result (1): perplexity on the report
    sets of the domain and of general text, what of that was forgotten, and its 95 % interval. Raises what `run_arm`
    raises."""
    row = run_arm(arm, bench, points=points)
    found = sorted(row["points"], key=lambda entry: entry["point"])
    weights = sum(parameter.numel() for parameter in bench.load(arm.parent).parameters())
    return {
        "arm": row["arm"],
        "digest": row["digest"],
        "weights": weights,
        "points": [_point(entry, arm.domain) for entry in found],
    }


def _point(entry: dict[str, Any], domain: str) -> dict[str, float | None]:
    target, general = entry[REPORT][domain], entry[REPORT]["general"]
    return {
        "point": entry["point"],
        "domain_perplexity": math.exp(target["loss_nats"]),
        "general_perplexity": math.exp(general["loss_nats"]),
        "forgetting": general["ratio"],
        "forgetting_low": general["ratio_low"],
        "forgetting_high": general["ratio_high"],
    }


def table(line: dict[str, Any]) -> str:
    """The points as a Markdown table."""
    rows = ["| point | domain, perplexity | general, perplexity | forgotten |", "|---|---|---|---|"]
    for one in line["points"]:
        low, high = one["forgetting_low"], one["forgetting_high"]
        interval = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
        rows.append(
            f"| {one['point']:g} | {one['domain_perplexity']:.2f} | {one['general_perplexity']:.2f} "
            f"| {one['forgetting']:+.1%}{interval} |"
        )
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with the field, what was got and what was expected on standard error."""
    parser = argparse.ArgumentParser(prog="python -m model.experiments.line", description="One line, measured finely.")
    parser.add_argument("--stored", action="store_true", help="print what is stored, and train nothing")
    parser.add_argument("--shared", type=Path, default=shared_data(), help="folder of the shared data")
    parser.add_argument("--out", type=Path, default=Path("build/experiments"), help="folder of corpora and weights")
    asked = parser.parse_args(arguments)
    try:
        if asked.stored:
            print(table(json.loads(FILE.read_text(encoding="utf-8"))))
            return 0
        one_thread()
        line = measure_line(ARM, Bench(shared=asked.shared, root=asked.out))
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_json(FILE, line)
    print(table(line))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
