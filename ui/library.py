"""What ships with the command as text: spec templates and guides, found by their names."""

from dataclasses import dataclass
from pathlib import Path

from ui.client.errors import BadInput, Violation

_HERE = Path(__file__).parent
TEMPLATES, GUIDES = _HERE / "templates", _HERE / "learn"


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


def template(name: str) -> Entry:
    return _named(templates(), name, "TEMPLATE")


def guide(name: str) -> Entry:
    return _named(guides(), name, "TOPIC")


def _entries(folder: Path, pattern: str) -> list[Entry]:
    entries = []
    for path in sorted(folder.glob(pattern)):
        text = path.read_text(encoding="utf-8")
        entries.append(Entry(name=path.stem, title=text.partition("\n")[0].lstrip("# ").strip(), text=text))
    return entries


def _named(entries: list[Entry], name: str, field: str) -> Entry:
    for entry in entries:
        if entry.name == name:
            return entry
    allowed = ", ".join(entry.name for entry in entries)
    raise BadInput([Violation(field=field, description=f"came {name!r}; allowed: {allowed}")])
