"""axe-core on a page: what it finds against people who see, hear or move otherwise, and the contrast that it measures.

The package comes from the npm registry into build/ui, once; it is no part of the repository.
"""

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.conftest import REPOSITORY
from tests.ui.allowed import NODES

VERSION = "4.14.1"
FOLDER = REPOSITORY / "build" / "ui"
GRAVE = frozenset({"serious", "critical"})
RUN = "() => axe.run(document, {resultTypes: ['violations', 'passes', 'incomplete']})"


@functools.cache
def source() -> str:
    """The program's text. Raises AssertionError where npm cannot bring it."""
    file = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not file.exists() or f"axe v{VERSION}" not in file.read_text()[:200]:
        npm = shutil.which("npm")
        assert npm is not None, "required: npm, which brings axe-core"
        FOLDER.mkdir(parents=True, exist_ok=True)
        order = [npm, "install", "--prefix", str(FOLDER), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*order, f"axe-core@{VERSION}"], capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
    return file.read_text()


@dataclass(frozen=True, kw_only=True)
class Report:
    """`faults`: grave findings that no list lets pass. `contrasts`: ratio of each text that was measured, with what is
    expected of it, and where it stands; `looked_at`: how many nodes rules were applied to."""

    faults: tuple[str, ...]
    contrasts: tuple[tuple[float, float, str], ...]
    looked_at: int

    @property
    def least(self) -> float:
        """The lowest contrast of a text on the page."""
        return min(ratio for ratio, _, _ in self.contrasts)


def examined(page: Page) -> Report:
    """What axe-core says of the page as it stands now."""
    page.evaluate(source())
    found: dict[str, Any] = page.evaluate(RUN)
    faults, looked_at = [], 0
    for rule in found["violations"]:
        for node in rule["nodes"]:
            place = " ".join(str(part) for part in node["target"])
            grave = (node["impact"] or rule["impact"]) in GRAVE
            if grave and not any(one.covers(f"{place} {node['html']}", rule["id"]) for one in NODES):
                faults.append(f"{rule['id']} at {place}: {node['html'][:200]} {node['failureSummary'][:300]}")
    contrasts = []
    for kind in ("violations", "passes"):
        looked_at += sum(len(rule["nodes"]) for rule in found[kind])
        for rule in found[kind]:
            if rule["id"] == "color-contrast":
                contrasts += [one for node in rule["nodes"] for one in _measured(node)]
    return Report(faults=tuple(faults), contrasts=tuple(contrasts), looked_at=looked_at)


def _measured(node: dict[str, Any]) -> list[tuple[float, float, str]]:
    rows = []
    for check in node["any"]:
        data = check.get("data") or {}
        if data.get("contrastRatio"):
            wanted = float(str(data.get("expectedContrastRatio", "4.5")).partition(":")[0])
            rows.append((float(data["contrastRatio"]), wanted, " ".join(str(part) for part in node["target"])))
    return rows


def picture(page: Page, name: str) -> Path:
    """A screenshot of the whole page in build/ui."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
