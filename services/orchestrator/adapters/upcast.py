"""What earlier versions stored, raised to the form of this one: a run that was stored before goes on as if it had been
stored now. Each step goes from one version of a body (its field `version`) to the next.

    1    left out what held its default, and had no version
    2    says everything; deadlines of jobs are lengths
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Plain = dict[str, Any]
CURRENT = 2


def upcasters(kind: str) -> Mapping[int, Callable[[Plain], Plain]]:
    """Of each earlier version of a kind of body (RunState, Decision, Checkpoint) the step to the next one."""
    return {1: lambda plain: _from_first(plain, kind)}


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
