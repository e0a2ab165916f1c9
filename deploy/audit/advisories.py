"""Known weaknesses of the locked packages, asked of pip-audit: what cannot be asked is "not checked", never a pass."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """Of the packages: how many were looked up, what is not known of the others, and what is wrong."""

    checked: int
    unchecked: tuple[str, ...]
    faults: tuple[str, ...]


def ask(program: Path, lock: Path) -> str | dict[str, Any]:
    """pip-audit's answer; a text where there is none."""
    command = [str(program), "--requirement", str(lock), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        done = subprocess.run(
            [*command, "--progress-spinner", "off"], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return f"pip-audit did not end within {LIMIT_S} s"
    except (OSError, ValueError) as error:
        return f"pip-audit gave no answer: {error}"


def judged(answer: str | Mapping[str, Any], excused: Sequence[Mapping[str, Any]], today: date) -> Advisories:
    """What the answer says. A package that was skipped is not checked."""
    if isinstance(answer, str):
        return Advisories(checked=0, unchecked=(answer,), faults=())
    good = {(one["package"], one["id"]) for one in excused if one["until"] >= today}
    dependencies = answer["dependencies"]
    skipped = tuple(f"{one['name']}: {one['skip_reason']}" for one in dependencies if "skip_reason" in one)
    faults = tuple(
        f"{one['name']} {one['version']}: {found['id']}; mended in {', '.join(found['fix_versions']) or 'none yet'}"
        for one in dependencies
        for found in one.get("vulns", ())
        if (one["name"], found["id"]) not in good
    )
    return Advisories(checked=len(dependencies) - len(skipped), unchecked=skipped, faults=faults)
