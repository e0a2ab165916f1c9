"""Hooks of the site's build: its navigation, and flowcharts as pictures before Markdown sees the page."""

import re
from pathlib import Path
from typing import Any

from deploy.site.flowchart import svg
from deploy.site.pages import navigation

# What the theme would load from elsewhere, so that its search works in pages opened as files; ours stands in for it.
_SHIM = re.compile(r'<script src="https://[^"]*iframe-worker/shim"></script>')
_FILE_WORKER = Path(__file__).with_name("file_worker.js")
_OUTSIDE = re.compile(r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//[^"]*"|<link[^>]*href="(?:https?:)?//[^"]*"')
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """The navigation, made from the pages that there are."""
    config["nav"] = navigation()
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Each Mermaid block as SVG, in one HTML block. Raises NotAFlowchart, which ends the build."""
    return _MERMAID.sub(lambda block: f"<div>\n{svg(block.group(1))}\n</div>", markdown)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Nothing may be loaded from outside. Raises ValueError, which ends the build, for a page that would."""
    script = f"<script>\n{_FILE_WORKER.read_text(encoding='utf-8')}</script>"
    output = _SHIM.sub(lambda _: script, output)
    if outside := _OUTSIDE.findall(output):
        raise ValueError(f"{page.url} would load from outside: {', '.join(outside)}")
    return output
