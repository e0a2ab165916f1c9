"""Pictures of every page of a running panel, in both themes and at two widths: `make pictures`.

They show what the panel shows now, so they are made anew and not committed: `{page}-{width}-{theme}.png` in
build/pictures. It takes Chromium on this machine; nothing is downloaded.

    make pictures ARGS="--panel 'http://127.0.0.1:7074/?token=...' --run RUN"
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

from deploy.site.pages import ROOT

PANEL = "http://127.0.0.1:7074"
WIDTHS, THEMES = (1280, 390), ("light", "dark")  # pixels: a desk and a telephone
HEIGHT = 900
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
PAGE_MS = 60_000
DRAWN = "[data-testid=stMain] h1"
STILL_MS, LOOKS = 700, 40  # a page is drawn when two looks this far apart are the same; a live one never is


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One page: the name of its pictures, its address below the panel's."""

    name: str
    path: str


def shots(run: str) -> list[Shot]:
    """Every page of the panel; those of a run where there is one (`run` is its id, or empty)."""
    pages = ["", "new_run", "checkpoints", "compare", "try_it", "operations", "learn"]
    found = [Shot(name=page or "pipelines", path=page) for page in pages]
    if run:
        views = ("live", "checkpoints", "logs", "specification")
        found += [Shot(name=f"run-{view}", path=f"run?{urlencode({'run': run, 'view': view})}") for view in views]
    return found


def take(panel: str, wanted: Sequence[Shot], output: Path, chromium: str) -> Iterator[Path]:
    """Each picture as it is made. Raises Playwright's errors where the panel does not answer."""
    from playwright.sync_api import sync_playwright

    output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            for width in WIDTHS:
                for theme in THEMES:
                    context = browser.new_context(**_screen(width, theme))
                    page = context.new_page()
                    page.goto(panel, timeout=PAGE_MS)  # with the address of `retain up`, this logs in
                    page.wait_for_selector(DRAWN, timeout=PAGE_MS)
                    for shot in wanted:
                        page.goto(urljoin(panel, f"/{shot.path}"), timeout=PAGE_MS)
                        page.wait_for_selector(DRAWN, timeout=PAGE_MS)
                        yield _still(page, output / f"{shot.name}-{width}-{theme}.png")
                    context.close()
        finally:
            browser.close()


def _screen(width: int, theme: str) -> Mapping[str, Any]:
    return {"viewport": {"width": width, "height": HEIGHT}, "color_scheme": theme, "reduced_motion": "reduce"}


def _still(page: Any, path: Path) -> Path:
    """The whole of a page, once it has stopped to change: it scrolls in a box of its own, which the window is made to
    hold."""
    before = b""
    for _ in range(LOOKS):
        page.wait_for_timeout(STILL_MS)
        high = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": page.viewport_size["width"], "height": max(HEIGHT, int(high))})
        now = page.screenshot()
        if now == before:
            break
        before = now
    path.write_bytes(before)
    page.set_viewport_size({"width": page.viewport_size["width"], "height": HEIGHT})
    return path


def main() -> None:
    """Prints each file. Ends with a sentence where there is no Chromium or no panel."""
    parser = argparse.ArgumentParser(prog="deploy.site.pictures", description="Pictures of every page of the panel.")
    parser.add_argument(
        "--panel", default=PANEL, metavar="URL", help="where the panel is, as `retain up` tells it (%(default)s)"
    )
    parser.add_argument("--run", default="", metavar="ID", help="the run whose pages are taken too")
    parser.add_argument("--only", default="", metavar="NAMES", help="only pages whose name begins so, with commas")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "pictures", help="folder of the pictures")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    only = tuple(name for name in asked.only.split(",") if name) or ("",)
    wanted = [shot for shot in shots(asked.run) if shot.name.startswith(only)]
    for path in take(asked.panel, wanted, asked.output, chromium):
        print(path)


if __name__ == "__main__":
    main()
