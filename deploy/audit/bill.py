"""What an image is made of: the packages of its lists with all that they need, at the versions of the lock."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from deploy.audit.licences import locked

ROOT = Path(__file__).resolve().parents[2]
# As deploy/docker/Dockerfile installs them.
IMAGES = {
    "orchestrator": ("core",),
    "ui": ("core", "ui"),
    "evaluator": ("core", "training"),
    "ray": ("core", "training"),
}
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?")


def packages_of(image: str, root: Path = ROOT) -> tuple[list[str], list[str]]:
    """`name==version` of every package in an image, by name; and the names of those that the lock does not pin. Raises
    KeyError for an image that there is not."""
    lists = (root / "deploy/docker" / f"{name}.in" for name in IMAGES[image])
    wanted = [line for path in lists for line in path.read_text().splitlines() if line and not line.startswith("#")]
    versions = {_normal(name): version for name, version in locked(root / "requirements.lock").items()}
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    while wanted:
        name, extras = _parsed(wanted.pop())
        for extra in extras or ("",):
            if (name, extra) not in seen:
                seen.add((name, extra))
                found.add(name)
                wanted += _needed(name, extra) if name in versions else []
    pinned = sorted(found & versions.keys())
    return [f"{name}=={versions[name]}" for name in pinned], sorted(found - versions.keys())


def write_bill(program: Path, image: str, path: Path) -> None:
    """A CycloneDX document of an image, by cyclonedx-py. Raises CalledProcessError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [str(program), "requirements", "-", "--output-format", "JSON", "--output-reproducible", "-o", str(path)]
    subprocess.run(command, input="\n".join(packages_of(image)[0]), text=True, check=True, capture_output=True)


def _needed(name: str, extra: str) -> list[str]:
    """Requirements of an installed package that hold on this machine, with an extra or without."""
    needed = []
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
            needed.append(f"{requirement.name}{extras}")
    return needed


def _parsed(line: str) -> tuple[str, tuple[str, ...]]:
    found = _REQUIREMENT.match(line)
    assert found is not None, line
    extras = tuple(part.strip() for part in (found["extras"] or "").split(",") if part.strip())
    return _normal(found["name"]), ("", *extras)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
