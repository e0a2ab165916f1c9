"""Guides and decision records, which ship with the command as text, found by their names."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

GUIDES = Path(__file__).parent / "learn"
DECISIONS = "decisions"  # folder of the decision records in GUIDES, and their first name

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)([^)#]*/)?([^)#/]+)\.md(?:#[^)]*)?\)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One text: its name, its first line as a title, all of it."""

    name: str
    title: str
    text: str


def guides() -> list[Entry]:
    """Every guide; the title is its heading. The overview comes first."""
    return sorted(entries_of(GUIDES, "*.md"), key=lambda entry: (entry.name != "pipeline", entry.name))


def decisions() -> list[Entry]:
    """The decision records, named by their numbers (`decisions/0001`); their index, `decisions`, comes first."""
    folder = GUIDES / DECISIONS
    (index,) = entries_of(folder, "README.md")
    records = [replace(entry, name=f"{DECISIONS}/{entry.name[:4]}") for entry in entries_of(folder, "[0-9]*.md")]
    return [replace(index, name=DECISIONS), *records]


def guide(name: str) -> Entry:
    """A guide or a decision record. Raises BadInput with the names that there are."""
    return named([*guides(), *decisions()], name, "TOPIC")


def entries_of(folder: Path, pattern: str) -> list[Entry]:
    """The texts of a folder, by name; the title is the first line without its marks."""
    entries = []
    for path in sorted(folder.glob(pattern)):
        text = _LINK.sub(_as_text, path.read_text(encoding="utf-8"))
        entries.append(Entry(name=path.stem, title=text.partition("\n")[0].lstrip("# ").strip(), text=text))
    return entries


def _as_text(link: re.Match[str]) -> str:
    """A link between the guides, for places where there is nothing to press: by its name."""
    text, folder, name = link.group(1), link.group(2) or "", link.group(3)
    if re.match(r"\d{4}-", name):
        return f"{text} (`retain learn {DECISIONS}/{name[:4]}`)"
    return f"{text} (`retain learn {name}`)" if not folder and name != "README" else text


def named(entries: list[Entry], name: str, field: str) -> Entry:
    """The one of this name. Raises BadInput with the names that there are."""
    for entry in entries:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in entries)
    raise BadInput([Violation(field=field, description=mismatch(repr(name), known))])
