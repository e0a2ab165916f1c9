"""What earlier versions stored, raised to the form of this one: a run that was stored before continues as if it had
been stored now. Each step goes from one version of a body (its field `version`) to the next.

    1    left out what held its default, and had no version
    2    says everything; deadlines of jobs are lengths
    3    a stage by concern: attempt, branch, gate, interpolation, last figures, costs
    4    a checkpoint's effective shares are called that
"""

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Plain = dict[str, Any]
CURRENT = 4


def upcasters(kind: str) -> Mapping[int, Callable[[Plain], Plain]]:
    """Of each earlier version of a kind of body (PipelineRun, Decision, Checkpoint) the step to the next one."""
    return {
        1: lambda plain: _from_first(plain, kind),
        2: _run_by_concern if kind == "PipelineRun" else dict,
        3: _with_effective_shares,
    }


def _from_first(plain: Plain, kind: str) -> Plain:
    """Write down the defaults that were left out, as they were when they were left out, and rename what has another
    name now."""
    filled = dict(plain)
    for name, about in _first_defaults().get(kind, {}).items():
        if name not in filled:
            if "default" in about:
                filled[name] = about["default"]
            continue
        value, holds = filled[name], about.get("holds")
        if holds and isinstance(value, list):
            filled[name] = [_from_first(item, holds) for item in value]
        elif holds and isinstance(value, dict):
            filled[name] = _from_first(value, holds)
    return _job(filled) if kind == "Job" else filled


@cache
def _first_defaults() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Of each class of version 1, of each field: its default as it was then, and the class that it holds."""
    shape: Mapping[str, Mapping[str, Mapping[str, Any]]] = json.loads(
        Path(__file__).with_name("body_v1.json").read_text()
    )
    return shape


def _job(plain: Plain) -> Plain:
    """Deadlines were points in Unix time; now they are lengths, counted from when they are first seen. One that was
    running is over: a group that was told to leave before a new version was installed has had its time."""
    rest = {name: value for name, value in plain.items() if name != "stop_at_s"}
    return {**rest, "stop_after_s": None if plain.get("stop_at_s") is None else 0.0}


# Of each part of a stage: its fields, each under the name that it had before.
_PARTS: Mapping[str, Mapping[str, str]] = {
    "attempt": {
        "number": "attempt",
        **{name: name for name in ("request_id", "resume", "resume_boundary", "reached", "cut")},
    },
    "branch": {
        "start_boundary": "line_boundary",
        "start_mix": "line_mix",
        **{
            name: name
            for name in (
                "mix", "verdicts", "checkpoints", "interim", "voided", "pruning", "damaged", "trail",
                "pending_rollback",
            )
        },
    },
    "gate": {
        name: name
        for name in (
            "adjusted_step", "watched", "retries", "extra_retries", "rollback_steps", "held_rollback", "recent",
            "constants",
        )
    },
    "interpolation": {
        "points": "line",
        "chosen": "chosen_point",
        "tries": "line_tries",
        "failed": "line_failed",
        "pause_s": "line_pause_s",
    },
    "last": {
        name: name
        for name in (
            "step", "tokens", "train_loss_nats", "learning_rate", "tokens_per_second", "pace", "curriculum_level",
            "upload_failures", "checkpoint_count", "forgetting", "worst_set", "scores", "results", "report_scores",
            "report_results",
        )
    },
    "costs": {
        name: name
        for name in (
            "wait_s", "stall_s", "train_s", "earlier_wait_s", "earlier_stall_s", "earlier_train_s", "upload_s",
            "upload_bytes", "evaluation_s", "evaluation_tokens",
        )
    },
}  # fmt: skip
_NEVER_READ = ("accepted_boundary",)


def _run_by_concern(plain: Plain) -> Plain:
    """A run whose stages held their fields side by side."""
    return {**plain, "stages": [_stage_by_concern(stage) for stage in plain.get("stages", ())]}


def _stage_by_concern(plain: Plain) -> Plain:
    moved = {old for names in _PARTS.values() for old in names.values()}
    stage = {name: value for name, value in plain.items() if name not in moved and name not in _NEVER_READ}
    for part, names in _PARTS.items():
        stage[part] = {new: plain[old] for new, old in names.items() if old in plain}
    interpolation = stage["interpolation"]
    if not any(interpolation.get(name) for name in ("points", "failed")) and interpolation.get("chosen") is None:
        stage["interpolation"] = None
    results, scores = plain.get("results", ()), plain.get("scores", ())
    figures = [result[name] for result in results for name in ("nats", "loss_nats", "perplexity")]
    figures += [score["ratio"] for score in scores]
    stage["gate"]["finite"] = bool(results) and all(math.isfinite(figure) for figure in figures)
    return stage


def _with_effective_shares(plain: Any) -> Any:
    """Rename the field of every checkpoint in a body, wherever it lies; sets and labels keep the names they have."""
    if isinstance(plain, list):
        return [_with_effective_shares(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    is_checkpoint = "felt" in plain and "evaluation_tries" in plain
    return {
        "effective_shares" if is_checkpoint and name == "felt" else name: _with_effective_shares(value)
        for name, value in plain.items()
    }
