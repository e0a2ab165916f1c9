"""Small checks from which the validation of a spec is made. Each fault says what it got and expected."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from retain.values.faults import mismatch
from services.common.errors import Violation
from services.orchestrator.domain.spec.self_replay import is_self
from services.orchestrator.domain.spec.validation.hub_uri import faults_of_hub_uri
from services.orchestrator.domain.spec.validation.limits import COUNTS, MAY_BE_NEGATIVE, NUMBERS

SAMPLES = ("docs", "code", "math", "science", "chat", "exchanges")
SCHEMES = ("sample://", "hf://", "s3://", "file://", "a path")


class Faults:
    """Collects violations under field paths."""

    def __init__(self) -> None:
        self.found: list[Violation] = []
        self.infinite = False  # a number of the spec is none: no arithmetic holds with it

    def add(self, field: str, description: str) -> None:
        """Add one fault."""
        self.found.append(Violation(field=field, description=description))

    def expect(self, fine: bool, field: str, got: object, expected: str) -> None:
        """Add a fault unless `fine`. A comparison with NaN is False, so NaN is always a fault."""
        if not fine:
            self.add(field, mismatch(repr(got), expected))

    def share(self, field: str, value: float, *, low: float = 0.0, high: float = 1.0) -> None:
        """A number between two ends, both of them fine."""
        self.expect(low <= value <= high, field, value, f"{low:g} to {high:g}")

    def at_least(self, field: str, value: float, least: float) -> None:
        """A finite number from `least` on."""
        self.expect(value >= least and math.isfinite(value), field, value, f"{least:g} or more")

    def positive(self, field: str, value: float) -> None:
        """A finite number above 0."""
        self.expect(value > 0 and math.isfinite(value), field, value, "a finite number above 0")

    def one_of(self, field: str, given: Mapping[str, object | None]) -> None:
        """Exactly one of several alternatives."""
        set_ones = [name for name, value in given.items() if value is not None]
        if len(set_ones) != 1:
            got = " and ".join(set_ones) if set_ones else "none"
            self.add(field, mismatch(got, f"exactly one of {', '.join(given)}"))

    def source(self, field: str, uri: str, *, may_be_self: bool = False) -> None:
        """URI of a text source. Whether it can be read is known only where it is read. `may_be_self`: the parent may
        write it, which is looked at elsewhere."""
        if may_be_self and is_self(uri):
            return
        scheme, separator, rest = uri.partition("://")
        if not uri:
            self.add(field, mismatch("none", f"a source: {', '.join(SCHEMES)}"))
        elif separator and scheme == "sample":
            name = rest.partition("?")[0]
            self.expect(name in SAMPLES, field, uri, ", ".join(f"sample://{sample}" for sample in SAMPLES))
        elif separator:
            known = scheme in ("hf", "s3", "file") and bool(rest.strip("/"))
            self.expect(known, field, uri, f"a source: {', '.join(SCHEMES)}")
            for got, expected in faults_of_hub_uri(rest) if known and scheme == "hf" else ():
                self.add(field, mismatch(repr(got), expected))

    def within_limits(self, value: Any, path: str = "", name: str = "") -> None:
        """Numbers that are not finite or above their limit, lists and maps that are longer than theirs, anywhere in a
        tree of dataclasses, mappings and tuples. `name` is the path without indexes, as in limits.py."""
        if isinstance(value, bool | str) or value is None:
            return
        if isinstance(value, int | float):
            self.infinite = self.infinite or not math.isfinite(value)
            self.expect(math.isfinite(value), path, value, "a finite number")
            self.expect(value <= NUMBERS[name], path, value, f"up to {NUMBERS[name]:.12g}")
        elif is_dataclass(value):
            for field in fields(value):
                here = f"{path}.{field.name}" if path else field.name
                self.within_limits(getattr(value, field.name), here, f"{name}.{field.name}" if name else field.name)
        elif isinstance(value, Mapping | Sequence):
            if len(value) > COUNTS[name]:
                self.add(path, mismatch(f"{len(value)} entries", f"up to {COUNTS[name]}"))
                return
            for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
                self.within_limits(item, f"{path}[{key}]", name)

    def not_negative(self, value: Any, path: str = "", name: str = "") -> None:
        """Numbers below 0, anywhere; to be asked last, since what else is said of a number says more."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            if name not in MAY_BE_NEGATIVE:
                self.expect(value >= 0, path, value, "0 or more")
        elif is_dataclass(value):
            for field in fields(value):
                here = f"{path}.{field.name}" if path else field.name
                self.not_negative(getattr(value, field.name), here, f"{name}.{field.name}" if name else field.name)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self.not_negative(item, f"{path}[{key}]", name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for index, item in enumerate(value):
                self.not_negative(item, f"{path}[{index}]", name)

    def once_each(self) -> tuple[Violation, ...]:
        """The faults, at most one for each field: the first says most."""
        seen: dict[str, Violation] = {}
        for violation in self.found:
            seen.setdefault(violation.field, violation)
        return tuple(seen.values())
