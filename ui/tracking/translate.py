"""A run's series, decisions and spec as a tracker takes them.

train/loss  train/learning_rate  train/tokens_per_second  train/curriculum_level  train/attempt   share/{source}
eval/{set}/loss  eval/{set}/perplexity  eval/{set}/baseline_perplexity  eval/{set}/forgetting
probe/{kind}/accuracy  probe/{kind}/loss
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ui.client.views import Decision, MetricSeries, Run
from ui.tracking.port import Facts, Note, Point

_TRAIN = {
    "train_loss_nats": "train/loss",
    "learning_rate": "train/learning_rate",
    "tokens_per_second": "train/tokens_per_second",
    "curriculum_level": "train/curriculum_level",
}
_OF_SETS = {
    "share": "share/{}",
    "perplexity": "eval/{}/perplexity",
    "baseline_perplexity": "eval/{}/baseline_perplexity",
    "forgetting": "eval/{}/forgetting",
    "probe_accuracy": "probe/{}/accuracy",
    "probe_loss": "probe/{}/loss",
}


def points_of(run: Run, series: Sequence[MetricSeries]) -> list[Point]:
    """Every point of the series, in the order of time. A figure of a newer server without a name here keeps its own."""
    begins = first_steps(run)
    found: list[Point] = []
    for one in series:
        offset = begins.get(one.stage, 0)
        for step, time_s, attempt, value in zip(one.steps, one.unix_seconds, one.attempts, one.values, strict=True):
            at: dict[str, Any] = {"step": offset + step, "time_s": time_s}
            found.append(Point(key=_key(one), value=value, **at))
            if one.name == "perplexity":
                loss = math.log(value) if value > 0 else math.nan
                found.append(Point(key=f"eval/{one.set}/loss", value=loss, **at))
            if one.name == "train_loss_nats":
                found.append(Point(key="train/attempt", value=float(attempt), **at))
    return sorted(found, key=lambda point: (point.time_s, point.step, point.key))


def first_steps(run: Run) -> dict[str, int]:
    """Where each stage begins among the steps of the whole run, by its name."""
    begins, at = {}, 0
    for stage in run.stages:
        begins[stage.name] = at
        at += stage.total_steps
    return begins


def facts_of(run: Run, decisions: Sequence[Decision]) -> Facts:
    """Parameters, tags, decisions and accepted checkpoints of a run as it is now."""
    begins = first_steps(run)
    return Facts(
        run_id=run.id,
        name=run.name,
        parameters=dict(flat(run.resource.get("spec", {}))),
        tags={f"label.{key}": text for key, text in run.spec.labels.items()}
        | {"retain.run": run.id, "retain.state": str(run.state), "retain.project": run.project},
        checkpoints={stage.name: stage.accepted.uri for stage in run.stages if stage.accepted is not None},
        notes=[
            Note(
                number=one.number,
                step=begins.get(one.stage, 0) + one.step,
                time_s=one.time_s,
                text=f"{one.stage} step {one.step}: {one.verdict.replace('_', ' ').lower()}. {one.message}",
            )
            for one in decisions
        ],
    )


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """(dotted path, text) of everything in a document, in its order."""
    if isinstance(value, Mapping):
        pairs = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}.{number}", item) for number, item in enumerate(value)]
    else:
        return [(path, value if isinstance(value, str) else repr(value))]
    return [row for name, item in pairs for row in flat(item, name)]


def _key(one: MetricSeries) -> str:
    if one.name in _TRAIN:
        return _TRAIN[one.name]
    return _OF_SETS.get(one.name, f"{one.name}/{{}}" if one.set else one.name).format(one.set)
