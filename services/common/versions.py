"""Versions of stored documents: what was written by an earlier version of this program is raised to the present one.

    VERSIONS = Versions(current=3, upcasters={1: fill_in_defaults, 2: rename_share})
    document = VERSIONS.stamp({"id": "r1"})        # {"version": 3, "id": "r1"}
    plain = VERSIONS.read(json.loads(text))        # raised step by step, without its "version"

A document carries its version in the field `version`; one without it is of the first version. An upcaster takes the
plain document of its version and returns that of the next. What a newer program wrote is told as such: it is refused,
one document at a time, and is whole again when that program is back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retain.values.faults import mismatch
from services.common.errors import Corrupt

FIELD = "version"
Plain = dict[str, Any]


class WrittenByNewer(Corrupt):
    """A document of a version that this program does not know yet."""

    reason = "WRITTEN_BY_A_NEWER_VERSION"


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The present version of a kind of document, and how each earlier one becomes the next."""

    current: int
    upcasters: Mapping[int, Callable[[Plain], Plain]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = set(range(1, self.current)) - set(self.upcasters)
        if missing:
            raise ValueError(f"no upcaster for version {sorted(missing)}")

    def stamp(self, plain: Plain) -> Plain:
        """The document with its version in front."""
        return {FIELD: self.current, **plain}

    def read(self, document: Any) -> Plain:
        """The document in the present version. Raises WrittenByNewer, and Corrupt for no document at all."""
        if not isinstance(document, dict):
            raise Corrupt(mismatch(type(document).__name__, "a document with fields"), reason="BAD_DOCUMENT")
        version = document.get(FIELD, 1)
        if type(version) is not int or version < 1:
            raise Corrupt(mismatch(f"the version {version!r}", "a number from 1 on"), reason="BAD_DOCUMENT")
        if version > self.current:
            raise WrittenByNewer(
                f"it has version {version}, written by a newer program; this one reads versions 1 to {self.current}"
            )
        plain = {name: value for name, value in document.items() if name != FIELD}
        for step in range(version, self.current):
            plain = self.upcasters[step](plain)
        return plain
