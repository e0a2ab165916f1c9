"""Whether every package of the lock has a licence that is allowed, or an exception that is still good."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

ALLOWED = Path(__file__).with_name("allowed.toml")
_JOINED = re.compile(r"\s+(?:AND|OR)\s+|;\s*")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of the lock, and what its metadata say of its licence."""

    name: str
    version: str
    licence: str


def allowed(path: Path = ALLOWED) -> dict[str, Any]:
    """The allow-list."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def locked(lock: Path) -> dict[str, str]:
    """Versions by name of a pinned lock file."""
    lines = (line.split("#")[0].strip().rstrip("\\").strip() for line in lock.read_text().splitlines())
    return dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("-"))


def installed(names: Mapping[str, str]) -> tuple[Package, ...]:
    """The packages as they are installed here. Raises PackageNotFoundError."""
    return tuple(
        Package(name=name, version=version, licence=_licence(metadata.metadata(name)))
        for name, version in names.items()
    )


def faults(packages: Sequence[Package], rules: Mapping[str, Any], today: date) -> list[str]:
    """What is not allowed, for people; empty when all is."""
    exceptions = {one["name"]: one for one in rules["packages"]}
    found = []
    for package in packages:
        parts = {rules["words"].get(part, part.strip("()")) for part in _parts(package.licence)}
        foreign = sorted(parts - set(rules["licences"])) if parts else ["none that its metadata name"]
        exception = exceptions.pop(package.name, None)
        if not foreign:
            continue
        said = f"{package.name} {package.version}: {', '.join(foreign)}"
        if exception is None or exception["licence"] not in foreign:
            found.append(f"{said} is not allowed (deploy/audit/allowed.toml)")
        elif exception["until"] < today:
            found.append(f"{said} was allowed until {exception['until']}: look at it again")
    return found + [f"{name}: an exception for a package that is not in the lock" for name in exceptions]


def _parts(licence: str) -> set[str]:
    return {part.strip() for part in _JOINED.split(licence) if part and part.strip()}


def _licence(said: metadata.PackageMetadata) -> str:
    """The SPDX expression, else the classifiers, else the first line of the text."""
    fields = said.json  # keys in lower case, with underscores
    if fields.get("license_expression"):
        return str(fields["license_expression"])
    classified = [one.split(" :: ")[-1] for one in fields.get("classifier", []) if one.startswith("License :: ")]
    known = [one for one in classified if one != "OSI Approved"]
    return "; ".join(known) or str(fields.get("license") or "").strip().partition("\n")[0]
