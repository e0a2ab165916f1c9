"""Which characters a text from outside may hold: what nobody sees, and what leads out of a folder, is told apart here.

A control character ends a line of a log, colours a terminal or hides what follows; a bidi character shows a name as
another one (Boucher and Anderson, "Trojan Source", CVE-2021-42574); NUL ends a name for one program and not for the
next; `..`, also as `%2e`, and a backslash lead out of the folder that somebody meant.
"""

import re
import unicodedata
from urllib.parse import unquote

from retain.values.faults import mismatch
from services.common.limits import Text

SHOWN = 40  # characters of a text that is at fault
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINES = frozenset("\n\t")
_PLAIN = re.compile(r"[ -~]*")  # ASCII that can be printed: nearly every text, told in one look
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")


def fault_of_text(text: str, kind: Text) -> str | None:
    """What is wrong with a text of this kind ("got ...; expected ..."), or None. TOLD is never wrong."""
    if kind is Text.TOLD:
        return None
    hidden = _first_hidden(text, _LINES if kind is Text.PROSE else frozenset())
    if hidden is not None:
        return mismatch(f"{shown(text)} with the character U+{ord(hidden):04X}", "text that can be seen")
    if kind is Text.NAME and (found := re.search(r"[/\\%]", text)):
        return mismatch(f"{shown(text)} with {found.group()!r}", "a name without '/', '\\' and '%'")
    if kind is Text.NAME and text in (".", ".."):
        return mismatch(shown(text), "a name")
    return fault_of_place(text) if kind is Text.PLACE else None


def fault_of_place(place: str) -> str | None:
    """What is wrong with a path or URI: parts that lead upwards, also written as %2e, backslashes, hidden characters.

    What stands behind `?` are options, which their reader checks."""
    path = place.partition("?")[0]
    plain = path
    for _ in range(3):  # %252e is %2e to whoever decodes once more
        if not _ESCAPED.search(plain):
            break
        plain = unquote(plain)
    if (hidden := _first_hidden(plain)) is not None or (hidden := _first_hidden(place, _LINES)) is not None:
        return mismatch(f"{shown(place)} with the character U+{ord(hidden):04X}", "text that can be seen")
    if "\\" in plain:
        return mismatch(f"{shown(place)} with a backslash", "'/' between the parts of a path")
    if ".." in plain.split("/"):
        return mismatch(f"{shown(place)} with '..'", "a path without parts that lead upwards")
    return None


def escaped(text: str, most: int) -> str:
    """A text for people, whatever came: hidden characters as escapes, cut to `most` characters with a count."""
    if len(text) > most:
        text = f"{text[:most]}... ({len(text) - most:,} more characters)"
    if _PLAIN.fullmatch(text):
        return text
    return "".join(c if c in _LINES or not is_hidden(c) else ascii(c)[1:-1] for c in text)


def shown(text: str) -> str:
    """The beginning of a text, in quotes, with everything that is not ASCII escaped."""
    return ascii(text) if len(text) <= SHOWN else f"{text[:SHOWN]!a} and on, {len(text):,} characters"


def is_hidden(character: str) -> bool:
    """Whether a character is a control, a bidi control, a half of a pair, or one that is not assigned."""
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Cn") or character in "\u2028\u2029"


def _first_hidden(text: str, but: frozenset[str] = frozenset()) -> str | None:
    if _PLAIN.fullmatch(text):
        return None
    return next((c for c in text if c not in but and is_hidden(c)), None)
