"""What ships with the command as text: spec templates, guides and decision records, found by their names."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ui.client.errors import BadInput, Violation

_HERE = Path(__file__).parent
TEMPLATES, GUIDES = _HERE / "templates", _HERE / "learn"
DECISIONS = "decisions"  # folder of the decision records in GUIDES, and their first name

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)([^)#]*/)?([^)#/]+)\.md(?:#[^)]*)?\)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One text: its name, its first line as a title, all of it."""

    name: str
    title: str
    text: str


def templates() -> list[Entry]:
    """Every spec template; the title is its first comment."""
    return _entries(TEMPLATES, "*.yaml")


def guides() -> list[Entry]:
    """Every guide; the title is its heading. The overview comes first."""
    return sorted(_entries(GUIDES, "*.md"), key=lambda entry: (entry.name != "pipeline", entry.name))


def decisions() -> list[Entry]:
    """The decision records, named by their numbers (`decisions/0001`); their index, `decisions`, comes first."""
    folder = GUIDES / DECISIONS
    (index,) = _entries(folder, "README.md")
    records = [replace(entry, name=f"{DECISIONS}/{entry.name[:4]}") for entry in _entries(folder, "[0-9]*.md")]
    return [replace(index, name=DECISIONS), *records]


def template(name: str) -> Entry:
    """A spec template. Raises BadInput with the names that there are."""
    return _named(templates(), name, "TEMPLATE")


def guide(name: str) -> Entry:
    """A guide or a decision record. Raises BadInput with the names that there are."""
    return _named([*guides(), *decisions()], name, "TOPIC")


def _entries(folder: Path, pattern: str) -> list[Entry]:
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


def _named(entries: list[Entry], name: str, field: str) -> Entry:
    for entry in entries:
        if entry.name == name:
            return entry
    allowed = ", ".join(entry.name for entry in entries)
    raise BadInput([Violation(field=field, description=f"came {name!r}; allowed: {allowed}")])
