"""Histories as pandas data frames: a row for each thing that happened, columns with one type each, also when empty.

Times are UTC. What was not measured is NaN. pandas is imported here only, when a frame is made.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from ui.client.views import Checkpoint, Decision, ForgettingRecord, ForgettingScore, MetricSeries, SetResult, moment
from ui.extras import require

if TYPE_CHECKING:
    import pandas as pd

_TIME = "datetime64[us, UTC]"
# A set of a measured checkpoint. `tokens`: trained so far; `set_tokens`, `set_bytes`: of the set; nats are summed over
# the set, `loss_nats` is per token. `forgetting` = (perplexity - baseline_perplexity) / baseline_perplexity, > 0 is
# worse, NaN for what is being learned; low and high bound it with 95 %. `baseline`: the base before the stage began.
HISTORY = {
    "run": "str",
    "stage": "str",
    "attempt": "int64",
    "step": "int64",
    "tokens": "int64",
    "time": _TIME,
    "baseline": "bool",
    "train_loss_nats": "float64",
    "set": "str",
    "role": "str",
    "use": "str",
    "perplexity": "float64",
    "loss_nats": "float64",
    "bits_per_byte": "float64",
    "nats": "float64",
    "set_tokens": "int64",
    "set_bytes": "int64",
    "units": "int64",
    "baseline_perplexity": "float64",
    "forgetting": "float64",
    "forgetting_low": "float64",
    "forgetting_high": "float64",
    "forgetting_nats": "float64",
}
# A decision. `forgetting`, `projected` and `threshold` are ratios; `shares` is a dict of the replay shares after it.
DECISIONS = {
    "run": "str",
    "number": "int64",
    "time": _TIME,
    "stage": "str",
    "attempt": "int64",
    "boundary": "int64",
    "step": "int64",
    "verdict": "str",
    "severity": "str",
    "forgetting": "float64",
    "projected": "float64",
    "threshold": "float64",
    "worst_set": "str",
    "lr_scale": "float64",
    "shares": "object",
    "actor": "str",
    "message": "str",
}
# A figure at a step. `name` as in `train_loss_nats`, `set` the set or source that it is of, or empty.
METRICS = {
    "run": "str",
    "stage": "str",
    "name": "str",
    "set": "str",
    "attempt": "int64",
    "step": "int64",
    "tokens": "int64",
    "time": _TIME,
    "value": "float64",
}
# A checkpoint. `digest` is that of its manifest, `parent` the digest of the one that it grew from.
CHECKPOINTS = {
    "checkpoint": "str",
    "run": "str",
    "stage": "str",
    "kind": "str",
    "domain": "str",
    "attempt": "int64",
    "step": "int64",
    "tokens": "int64",
    "state": "str",
    "interim": "bool",
    "bytes": "int64",
    "train_loss_nats": "float64",
    "forgetting": "float64",
    "time": _TIME,
    "digest": "str",
    "parent": "str",
    "uri": "str",
}


def need_pandas(what: str) -> None:
    """Raises MissingExtra, with what brings it, where pandas is not installed."""
    require(what, "notebook")


def history(records: Iterable[ForgettingRecord]) -> "pd.DataFrame":
    """A row for each set of each record, with the columns of HISTORY."""
    return _frame([_history_row(record, result) for record in records for result in record.results], HISTORY)


def decisions(made: Iterable[Decision]) -> "pd.DataFrame":
    """A row for each decision, with the columns of DECISIONS."""
    return _frame([_same(decision, DECISIONS, run=decision.run_id) for decision in made], DECISIONS)


def metrics(run_id: str, series: Iterable[MetricSeries]) -> "pd.DataFrame":
    """A row for each point of each series, with the columns of METRICS."""
    rows = [
        dict(
            zip(
                METRICS, (run_id, one.stage, one.name, one.set, attempt, step, tokens, moment(at_s), value), strict=True
            )
        )
        for one in series
        for attempt, step, tokens, at_s, value in zip(
            one.attempts, one.steps, one.tokens, one.unix_seconds, one.values, strict=True
        )
    ]
    return _frame(rows, METRICS)


def checkpoints(rows: Iterable[Checkpoint]) -> "pd.DataFrame":
    """A row for each checkpoint, with the columns of CHECKPOINTS."""
    return _frame(
        [
            _same(
                row,
                CHECKPOINTS,
                checkpoint=row.id,
                run=row.run_id,
                step=row.ref.step,
                tokens=row.ref.tokens,
                time=row.create_time,
                digest=row.ref.manifest_sha256,
                uri=row.ref.uri,
            )
            for row in rows
        ],
        CHECKPOINTS,
    )


def _history_row(record: ForgettingRecord, result: SetResult) -> dict[str, Any]:
    score = _score_of(record.scores, result)
    return {
        "run": record.run_id,
        "stage": record.stage,
        "attempt": record.attempt,
        "step": record.step,
        "tokens": record.tokens,
        "time": record.time,
        "baseline": record.baseline,
        "train_loss_nats": record.train_loss_nats,
        "set": result.set.name,
        "role": result.set.role,
        "use": result.set.use,
        "perplexity": result.perplexity,
        "loss_nats": result.loss_nats,
        "bits_per_byte": result.bits_per_byte,
        "nats": result.nats,
        "set_tokens": result.tokens,
        "set_bytes": result.bytes,
        "units": result.units,
        "baseline_perplexity": score.baseline_perplexity if score else None,
        "forgetting": score.ratio if score else None,
        "forgetting_low": score.ratio_low if score else None,
        "forgetting_high": score.ratio_high if score else None,
        "forgetting_nats": score.nats if score else None,
    }


def _score_of(scores: Sequence[ForgettingScore], result: SetResult) -> ForgettingScore | None:
    """The score of the same set for the same use."""
    same = (score for score in scores if (score.retention_set, score.use) == (result.set.name, result.set.use))
    return next(same, None)


def _same(view: Any, columns: dict[str, str], **others: Any) -> dict[str, Any]:
    """Columns by the view's attributes of the same names, besides the others that are given."""
    found = {name: others[name] if name in others else getattr(view, name) for name in columns}
    return {name: "" if isinstance(value, Enum) and not value else value for name, value in found.items()}


def _frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
