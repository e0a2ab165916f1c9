"""Fields of which exactly one may be set: where the weights come from, and lengths in tokens, epochs or steps."""

from dataclasses import dataclass
from typing import Any

from ui.spec.form.edit import REMOVED, Path, value_at
from ui.spec.form.fields import Field, Kind


@dataclass(frozen=True, kw_only=True)
class Alternatives:
    """holder: the message that has them. fields: one for each alternative, by its name."""

    holder: Path
    label: str
    fields: tuple[Field, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The alternatives' names, which are the last keys of their paths."""
        return tuple(str(field.path[-1]) for field in self.fields)

    def chosen(self, tree: Any) -> str | None:
        """The one that is set; None where none or several are."""
        there = [name for name in self.names if value_at(tree, (*self.holder, name)) is not None]
        return there[0] if len(there) == 1 else None

    def field(self, name: str) -> Field:
        """The field of an alternative."""
        return self.fields[self.names.index(name)]

    def choose(self, name: str, tree: Any) -> list[tuple[Path, Any]]:
        """What to change so that this one is set and no other. A number stays where both are numbers of one kind, as
        tokens and steps are; else the new field begins empty, or with its first option."""
        before = self.chosen(tree)
        if before == name:
            return []
        field, value = self.field(name), None
        if before is not None and self.field(before).kind is field.kind is Kind.WHOLE:
            value = value_at(tree, (*self.holder, before))
        if value is None:
            value = {Kind.WHOLE: 1, Kind.NUMBER: 1, Kind.CHOICE: (*field.options, "")[0]}.get(field.kind, "")
        others = [(*self.holder, other) for other in self.names if other != name]
        gone = [(path, REMOVED) for path in others if value_at(tree, path) is not None]
        return [((*self.holder, name), value), *gone]
