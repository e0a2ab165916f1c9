"""Text from a run on a page that others open: in Markdown, in HTML, and in the YAML at its top.

Names of runs and places of data are anybody's text. Here no character of them means anything but itself: controls and
marks that turn the direction of writing are replaced, what Markdown or HTML could read is written as a number.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_PLAIN = " -.,/:=?%+"
_LINKS = re.compile(r"(?i)(https?|ftp|mailto|xmpp):|(www)\.")
LONGEST = 2_000


def clean(text: str) -> str:
    """On one line, without characters that nobody sees, cut to `LONGEST`."""
    seen = "".join(c if unicodedata.category(c) not in _HIDDEN else " " for c in text)
    one_line = " ".join(seen.split())
    return one_line if len(one_line) <= LONGEST else f"{one_line[: LONGEST - 3]}..."


def markdown(text: str) -> str:
    """As itself, in running text or in the cell of a table."""
    shown = "".join(c if c.isalnum() or c in _PLAIN else f"&#{ord(c)};" for c in clean(text))
    # GitHub makes links of bare addresses; and a line that begins so would be a list or a rule.
    shown = _LINKS.sub(lambda found: f"{found[1]}&#58;" if found[1] else f"{found[2]}&#46;", shown)
    return re.sub(r"^[-+=.]", lambda found: f"&#{ord(found[0])};", shown)


def yaml_value(value: Any) -> str:
    """A value of the front matter. JSON is YAML too, and has one way to write a text."""
    return json.dumps(_cleaned(value), ensure_ascii=False, allow_nan=False)


def fenced(text: str) -> str:
    """Lines of JSON as a block of code, behind a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}json\n{text}\n{fence}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; none of them means anything but itself."""
    lines = [heads, ["---"] * len(heads)]
    made = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*made, *(f"| {' | '.join(markdown(cell) for cell in row)} |" for row in rows)])


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _cleaned(one) for key, one in value.items()}
    return [_cleaned(one) for one in value] if isinstance(value, list | tuple) else value
