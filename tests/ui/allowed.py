"""What these tests let pass, each with the day and the reason: Streamlit's own doing, never the panel's.

Whoever moves to another Streamlit takes an entry out first and looks whether it is still needed.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """`where` is a pattern for a console message, or a rule of axe and a pattern for the selector of its node."""

    since: str
    why: str
    where: str
    rule: str = ""

    def covers(self, text: str, rule: str = "") -> bool:
        return self.rule == rule and re.search(self.where, text) is not None


CONSOLE = (
    Allowed(
        since="2026-11-27, Streamlit 1.67.0",
        why="a page that is opened by its own address is asked for below that address first, then at the root",
        where=r"404 .*/\w+/_stcore/(health|host-config)$",
    ),
)
# A server that is away on purpose: what the page says of it while it tries to come back.
AWAY = (
    Allowed(
        since="2026-11-27, Streamlit 1.67.0",
        why="each attempt to reach a server that is away is told by the browser",
        where=r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INTERNET_DISCONNECTED|ERR_EMPTY_RESPONSE",
    ),
    Allowed(
        since="2026-11-27, Streamlit 1.67.0",
        why="it says itself that it does not reach its server",
        where=r"Client Error in reaching server endpoint|server is not responding|Cannot send rerun backMessage",
    ),
)
NODES = (
    Allowed(
        since="2026-11-27, Streamlit 1.67.0",
        why="a block of code in Markdown that is wider than a telephone scrolls, and Tab does not come to it",
        where=r"stMarkdownPre|stCode",
        rule="scrollable-region-focusable",
    ),
    Allowed(
        since="2026-11-28, Streamlit 1.67.0",
        why="a block of code of a fixed height scrolls; Chromium comes to it with Tab by itself, and axe wants it said",
        where=r"<pre class=\"st-emotion-cache-",
        rule="scrollable-region-focusable",
    ),
    Allowed(
        since="2026-11-28, Streamlit 1.67.0",
        why="the label of a widget that cannot be used is pale as the widget is, which WCAG 2.2 (1.4.3) leaves out",
        where=r"stMarkdownContainer.*\(of a disabled widget\)$",
        rule="color-contrast",
    ),
)
