"""Spec templates, which ship with the command as text, found by their names."""

from pathlib import Path

from ui.guides import Entry, entries_of, named

TEMPLATES = Path(__file__).parents[1] / "templates"


def templates() -> list[Entry]:
    """Every spec template; the title is its first comment."""
    return entries_of(TEMPLATES, "*.yaml")


def template(name: str) -> Entry:
    """A spec template. Raises BadInput with the names that there are."""
    return named(templates(), name, "TEMPLATE")
