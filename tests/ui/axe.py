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
from tests.ui.visitor import told

VERSION = "4.14.1"
FOLDER = REPOSITORY / "build" / "ui"
GRAVE = frozenset({"serious", "critical"})
# Each node is told whether its widget can be used: axe does not see that a label is that of a disabled one.
# Of a long text in a scrolling box axe 4.14 cannot tell the contrast and leaves out that of the whole page ("midpoint
# exceeds the grid bounds"): that is measured without such boxes then.
RUN = """async () => {
    const options = {resultTypes: ['violations', 'passes', 'incomplete']};
    const found = await axe.run(document, options);
    if (found.incomplete.some(rule => rule.id === 'color-contrast' && rule.error)) {
        const place = {include: [['body']], exclude: [['[data-testid=stCode] pre']]};
        const again = await axe.run(place, {...options, runOnly: ['color-contrast']});
        found.violations.push(...again.violations);
        found.passes.push(...again.passes);
    }
    for (const rule of [...found.violations, ...found.passes])
        for (const node of rule.nodes) {
            const widget = document.querySelector(node.target[0])?.closest('[data-testid=stElementContainer]');
            node.unused = Boolean(widget?.querySelector(':disabled, [aria-disabled=true]'));
        }
    return found;
}"""
# What Streamlit is about to draw anew is pale for that moment.
FRESH = "() => document.querySelector('[data-stale=true]') === null"
TRIES = 5
UNUSED = " (of a disabled widget)"


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
    expected of it, and where it stands; `looked_at`: how many nodes rules were applied to; `undecided`: of what the
    contrast could not be told, and why."""

    faults: tuple[str, ...]
    contrasts: tuple[tuple[float, float, str], ...]
    looked_at: int
    undecided: tuple[str, ...]

    @property
    def least(self) -> float:
        """The lowest contrast of a text on the page."""
        assert self.contrasts, f"axe-core told no contrast: {self.undecided}"
        return min(ratio for ratio, _, _ in self.contrasts)


def examined(page: Page) -> Report:
    """What axe-core says of the page as it stands now."""
    told(page, f"() => {{ {source()}\nreturn true; }}", "axe-core is in the page")
    for _ in range(TRIES):
        told(page, FRESH, "nothing on the page is about to be drawn anew")
        found: dict[str, Any] = told(page, RUN, "axe-core has examined the page")
        if told(page, f"() => [({FRESH})()]", "whether something was drawn anew meanwhile")[0]:
            break
    faults, contrasts, looked_at = [], [], 0
    for kind in ("violations", "passes"):
        for rule in found[kind]:
            looked_at += len(rule["nodes"])
            for node in rule["nodes"]:
                place = " ".join(str(part) for part in node["target"]) + (UNUSED if node["unused"] else "")
                if any(one.covers(f"{node['html']} {place}", rule["id"]) for one in NODES):
                    continue
                if kind == "violations" and (node["impact"] or rule["impact"]) in GRAVE:
                    faults.append(f"{rule['id']} at {place}: {node['html'][:200]} {node['failureSummary'][:300]}")
                if rule["id"] == "color-contrast":
                    contrasts += [(*ratio, place) for ratio in _measured(node)]
    undecided = [str(rule)[:600] for rule in found["incomplete"] if rule["id"] == "color-contrast"]
    return Report(faults=tuple(faults), contrasts=tuple(contrasts), looked_at=looked_at, undecided=tuple(undecided))


def _measured(node: dict[str, Any]) -> list[tuple[float, float]]:
    """What a text's contrast is, and what it has to be."""
    rows = []
    for check in node["any"]:
        data = check.get("data") or {}
        if data.get("contrastRatio"):
            wanted = float(str(data.get("expectedContrastRatio", "4.5")).partition(":")[0])
            rows.append((float(data["contrastRatio"]), wanted))
    return rows


def picture(page: Page, name: str) -> Path:
    """A screenshot of the whole page in build/ui."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
