"""Which law of the replay share predicts runs that it has not seen? Fitted offline, over the rows of finished runs.

    python -m model.experiments.law --out build/experiments

Two laws of what is forgotten at a stage's end, F in nats a token, at a replay share s:

    one constant    F = c / (s + 0.05)                       c for each learning rate and length of stage
    D-CPT-like      F = C T^b r^a / (s + e)^g                T tokens, r peak rate; one fit over all runs

The first is what the anticipating controller uses: one number is all that a single run can tell. The second has the
form of the mixture term of the D-CPT law (Que et al. 2024, arXiv:2406.01375); it is linear in its logarithms but for e,
which is searched. It needs runs of several shares, rates and lengths; within one run it is not identifiable. A term in
the size of the model is left out: there is one model here.

Scored by leaving out one share at a time: fitted on the runs of all other shares, asked for those of this one.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.experiments.arms import Arm
from model.experiments.measuring import REPORT
from model.experiments.pool import read_rows

OFFSET = 0.05
OFFSETS = tuple(float(e) for e in np.geomspace(0.005, 0.3, 60))
LEAST_RUNS = 6  # the second law has five numbers


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One finished run of a fixed mix."""

    share: float
    tokens: int
    rate: float
    forgetting_nats: float


Law = Callable[[Seen], float | None]


def fit_constant(runs: Sequence[Seen]) -> Law:
    """One constant for each (rate, tokens); None where no run had both."""
    constants: dict[tuple[float, int], list[float]] = {}
    for run in runs:
        constants.setdefault((run.rate, run.tokens), []).append(run.forgetting_nats * (run.share + OFFSET))

    def predict(run: Seen) -> float | None:
        seen = constants.get((run.rate, run.tokens))
        return None if seen is None else sum(seen) / len(seen) / (run.share + OFFSET)

    return predict


def fit_dcpt(runs: Sequence[Seen]) -> Law:
    """Least squares of ln F over (1, ln T, ln r, ln(s + e)), the best e of a grid. A run that forgot nothing has no
    logarithm and is left out; the shortest fit of several is taken (numpy's), should a column be constant."""
    used = [run for run in runs if run.forgetting_nats > 0]
    logs = np.log([run.forgetting_nats for run in used])
    best: tuple[float, float, np.ndarray] | None = None
    for offset in OFFSETS:
        columns = np.array([_terms(run, offset) for run in used])
        found, *_ = np.linalg.lstsq(columns, logs, rcond=None)
        error = float(np.square(columns @ found - logs).sum())
        if best is None or error < best[0]:
            best = (error, offset, found)
    assert best is not None, "the grid is not empty"
    _, offset, weights = best
    return lambda run: math.exp(float(np.dot(_terms(run, offset), weights)))


def _terms(run: Seen, offset: float) -> list[float]:
    return [1.0, math.log(run.tokens / 1e6), math.log(run.rate / 1e-3), -math.log(run.share + offset)]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How far a law is off on the runs of one share: mean absolute error in nats, and as a factor (1: exact)."""

    share: float
    runs: int
    error_nats: float
    factor: float


def score(runs: Sequence[Seen], fit: Callable[[Sequence[Seen]], Law]) -> list[Score]:
    """One score for each share, from a fit on all the others. Shares for which nothing can be said are left out."""
    scores = []
    for share in sorted({run.share for run in runs}):
        law = fit([run for run in runs if run.share != share])
        pairs = [(law(run), run.forgetting_nats) for run in runs if run.share == share and run.forgetting_nats > 0]
        known = [(said, true) for said, true in pairs if said is not None]
        if known:
            errors = [abs(said - true) for said, true in known]
            factors = [abs(math.log(said / true)) for said, true in known]
            scores.append(
                Score(
                    share=share,
                    runs=len(known),
                    error_nats=sum(errors) / len(errors),
                    factor=math.exp(sum(factors) / len(factors)),
                )
            )
    return scores


def seen_in(row: Mapping[str, Any]) -> Seen | None:
    """The run of a row if it is a plain fixed mix: no gate, penalty, adapters, order, late share or parent."""
    arm = Arm.from_dict(row["arm"])
    plain = Arm(
        domain=arm.domain, seed=arm.seed, general_share=arm.general_share, learning_rate=arm.learning_rate,
        steps=arm.steps, measure_line=arm.measure_line,
    )  # fmt: skip
    if arm != plain or arm.general_share >= 1 or not row["points"]:
        return None
    forgotten = row["points"][0][REPORT]["general"]["forgetting_nats"]
    return Seen(share=arm.general_share, tokens=arm.tokens, rate=arm.learning_rate, forgetting_nats=forgotten)


def runs_of(root: Path, domain: str) -> list[Seen]:
    """The plain fixed mixes among the finished rows of a folder."""
    rows = [row for row in read_rows(root).values() if row["arm"]["domain"] == domain]
    return [seen for row in rows if (seen := seen_in(row)) is not None]


def compare(runs: Sequence[Seen]) -> str:
    """Both laws side by side, share by share, and which predicts better. Says so when there are too few runs."""
    if len(runs) < LEAST_RUNS or len({run.share for run in runs}) < 3:
        return f"too few finished runs of fixed mixes: {len(runs)}; {LEAST_RUNS} with three shares are needed"
    constant, dcpt = score(runs, fit_constant), {one.share: one for one in score(runs, fit_dcpt)}
    lines = ["| held-out share | runs | c / (s + 0.05): nats off | factor | D-CPT-like: nats off | factor |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    shared = [(one, dcpt[one.share]) for one in constant if one.share in dcpt]
    for one, two in shared:
        cells = f"{one.error_nats:.4f} | x {one.factor:.2f} | {two.error_nats:.4f} | x {two.factor:.2f}"
        lines.append(f"| {one.share:.0%} | {one.runs} | {cells} |")
    first, second = (math.exp(sum(math.log(pair[i].factor) for pair in shared) / len(shared)) for i in (0, 1))
    better = "c / (s + 0.05)" if first <= second else "the D-CPT-like law"
    off = f"c / (s + 0.05) is off by a factor of {first:.2f}, the D-CPT-like law by {second:.2f}"
    lines += ["", f"Over all held-out shares {better} predicts better: {off}."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 when there are too few runs."""
    parser = argparse.ArgumentParser(prog="python -m model.experiments.law", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/experiments"), help="folder of the finished runs")
    parser.add_argument("--domain", default="gsm8k")
    options = parser.parse_args(arguments)
    said = compare(runs_of(options.out, options.domain))
    print(said)
    return 1 if said.startswith("too few") else 0


if __name__ == "__main__":
    sys.exit(main())
