"""What the images hold: each of them can import what it starts."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "deploy/docker"


def required(*names: str) -> set[str]:
    """Packages of the lists, without extras and remarks."""
    lines = [line for name in names for line in (DOCKER / name).read_text().splitlines()]
    return {re.split(r"[\[=<>]", line)[0].strip().lower() for line in lines if line and not line.startswith("#")}


def test_the_control_panel_s_image_can_look_at_data() -> None:
    """`ui` runs `model.check` as a process: that needs `model`, and packages which the image has without torch."""
    target = (DOCKER / "Dockerfile").read_text().split(" AS ui\n")[1].split("FROM ")[0]
    assert "COPY model /app/model" in target
    script = "import sys; import model.check; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    ours = {"retain"}
    distributions = packages_distributions()
    found = {dist.lower() for name in loaded for dist in distributions.get(name, ())} - ours
    by_itself = {"markupsafe"}  # comes with jinja2
    installer = {"setuptools", "packaging"}
    assert {"numpy", "tokenizers"} <= found
    assert not found - required("core.in", "ui.in") - by_itself - installer
