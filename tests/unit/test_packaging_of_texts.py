"""The gauge texts go wherever the model package goes: into the wheel and into the images that compute."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

from model.gauge import KINDS

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_takes_every_file_beside_the_gauge_module() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["*"]
    files = [path.name for path in (ROOT / "model" / "gauge").iterdir() if path.is_file() and path.suffix != ".py"]
    assert sorted(files) == sorted(f"{kind}.txt" for kind in KINDS)
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_an_image_that_has_the_model_package_has_all_of_it() -> None:
    """Never some files of it, and none of the texts is kept from the builder."""
    stages = (ROOT / "deploy" / "docker" / "Dockerfile").read_text().split("\nFROM ")
    copying = [stage for stage in stages if "COPY model" in stage]
    assert copying
    assert all("COPY model /app/model" in stage for stage in copying)
    sent = (ROOT / ".dockerignore").read_text().split()
    assert "!model" in sent
    assert not [line for line in sent if line != "*" and fnmatch("model/gauge/code.txt", line.removeprefix("**/"))]
