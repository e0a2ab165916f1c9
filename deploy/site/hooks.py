"""Hooks of the site's build: its navigation, flowcharts as pictures before Markdown sees the page, and the questions
behind a guide, each choice of which opens its own answer."""

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from deploy.site.flowchart import svg
from deploy.site.pages import ROOT, navigation

# What the theme would load from elsewhere, so that its search works in pages opened as files; ours stands in for it.
_SHIM = re.compile(r'<script src="https://[^"]*iframe-worker/shim"></script>')
_FILE_WORKER = Path(__file__).with_name("file_worker.js")
_OUTSIDE = re.compile(r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//[^"]*"|<link[^>]*href="(?:https?:)?//[^"]*"')
_QUESTIONS = ROOT / "ui" / "learn" / "questions"  # what ui/questions.py reads, which is not imported from here
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """The navigation, made from the pages that there are."""
    config["nav"] = navigation()
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Each Mermaid block as SVG, in one HTML block, and the questions of a guide. Raises NotAFlowchart, which ends the
    build."""
    drawn = _MERMAID.sub(lambda block: f"<div>\n{svg(block.group(1))}\n</div>", markdown)
    path = Path(page.file.src_uri)
    if path == Path("ui/learn/decisions/README.md"):
        path = Path("ui/learn/decisions.md")
    asked = _QUESTIONS / f"{path.stem}.json"
    if path.parent != Path("ui/learn") or not asked.is_file():
        return drawn
    return drawn + asked_html(json.loads(asked.read_text(encoding="utf-8")))


def asked_html(asked: Sequence[dict[str, Any]]) -> str:
    """A heading and the questions as HTML that needs no script: a choice that is opened says whether it is right."""
    parts = ["", "", "## Three questions", ""]
    for question in asked:
        parts += ["<div>", f"<p><strong>{_code(question['question'])}</strong></p>"]
        for choice in question["choices"]:
            verdict = "Right." if choice.get("right") else "No."
            parts += [
                f"<details><summary>{_code(choice['text'])}</summary>",
                f"<p><strong>{verdict}</strong> {_code(choice['why'])}</p></details>",
            ]
        parts += ["</div>", ""]
    return "\n".join(parts)


def _code(text: str) -> str:
    """Text as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Nothing may be loaded from outside. Raises ValueError, which ends the build, for a page that would."""
    script = f"<script>\n{_FILE_WORKER.read_text(encoding='utf-8')}</script>"
    output = _SHIM.sub(lambda _: script, output)
    if outside := _OUTSIDE.findall(output):
        raise ValueError(f"{page.url} would load from outside: {', '.join(outside)}")
    return output
