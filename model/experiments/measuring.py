"""Measuring a model on the sets of an arm, against baselines that are measured once and kept."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.data.eval_set import EvalSet
from model.errors import NonFinite
from model.evaluation.forgetting_score import bootstrap_interval
from model.evaluation.perplexity import SetResult, UnitResult, evaluate_set
from model.experiments.corpora import Corpus
from model.experiments.gate import Measured
from model.nn.causal_lm import CausalLM

CONTROL, REPORT = "control", "report"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ruler:
    """What an arm is measured by: the corpus to learn and those to keep, each set with its baseline's result.

    The baseline of the target is the stage's parent, so that its gain can be told; that of a retention set is the
    model that introduced it.
    """

    target: Corpus
    retention: Mapping[str, Corpus]
    baselines: Mapping[tuple[str, str], SetResult]

    def measure(self, model: CausalLM, use: str) -> list[Measured]:
        """All sets of one use. A model whose loss is no number gets NaN, never an error: the gate is to see it."""
        corpora = {self.target.name: self.target, **self.retention}
        return [self._measured(model, name, corpus, use) for name, corpus in corpora.items()]

    def _measured(self, model: CausalLM, name: str, corpus: Corpus, use: str) -> Measured:
        eval_set, before = _set(corpus, use), self.baselines[name, use]
        target = name == self.target.name
        known: dict[str, Any] = {
            "name": name,
            "target": target,
            "report": use == REPORT,
            "tokens": before.tokens,
            "bytes": before.bytes,
            "units": len(before.units),
            "baseline_nats": before.loss_nats,
        }
        try:
            now = evaluate_set(model, eval_set)
        except NonFinite:
            return Measured(**known, loss_nats=math.nan)
        interval = None
        if not target:
            nats_U = [[unit.nats for unit in result.units] for result in (now, before)]
            interval = bootstrap_interval(nats_U[0], nats_U[1], [unit.tokens for unit in before.units])
        if interval is not None:
            known |= {"ratio_low": interval.low, "ratio_high": interval.high}
        nats_of, tokens_of = tuple(unit.nats for unit in now.units), tuple(unit.tokens for unit in now.units)
        return Measured(**known, loss_nats=now.loss_nats, unit_nats=nats_of, unit_tokens=tokens_of)


def as_row(sets: list[Measured]) -> dict[str, dict[str, float | None]]:
    """Measured sets as a row keeps them: of the target its loss and gain, of the others what was forgotten (nats a
    token, the ratio of perplexities, and the ends of its interval)."""
    row: dict[str, dict[str, float | None]] = {}
    for one in sets:
        change = one.loss_nats - one.baseline_nats
        if one.target:
            row[one.name] = {"loss_nats": one.loss_nats, "gain_nats": -change}
        else:
            row[one.name] = {
                "loss_nats": one.loss_nats,
                "forgetting_nats": change,
                "ratio": math.expm1(change),
                "ratio_low": one.ratio_low,
                "ratio_high": one.ratio_high,
            }
    return row


def baseline(model: CausalLM, key: str, corpus: Corpus, use: str, root: Path) -> SetResult:
    """What `model` (named by `key`) scores on a set; measured once, then read from the folder."""
    eval_set = _set(corpus, use)
    path = root / "baselines" / f"{key}-{eval_set.digest[:16]}.json"
    if path.is_file():
        raw = json.loads(path.read_text())
        return SetResult(**{**raw, "units": [UnitResult(**unit) for unit in raw["units"]]})
    result = evaluate_set(model, eval_set)
    write_json(path, asdict(result))
    return result


def write_json(path: Path, content: object) -> None:
    """A file that is there whole or not at all, also when two processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)


def _set(corpus: Corpus, use: str) -> EvalSet:
    return corpus.report if use == REPORT else corpus.control
