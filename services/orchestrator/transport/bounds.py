"""A spec's message, looked at before anything is made of it: a million stages cost a look at a number.

Sizes, fields that this server does not know, and characters that nobody sees or that lead out of a folder.
"""

from typing import Any

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.grpc.requests import unknown_fields
from services.common.limits import Text
from services.common.texts import SHOWN, fault_of_text, shown
from services.orchestrator.domain.spec.validation.limits import COUNTS, LARGEST_KEY, LARGEST_TEXT, PLACES, TEXTS


def oversized(message: Any, path: str = "", name: str = "") -> list[Violation]:
    """Lists, maps and texts of a message that are longer than allowed or hold what is not allowed, and fields that are
    not known. `name` is the path without indexes.

    What is too long is not looked into. Every list and map of the message needs a line in
    domain/spec/validation/limits.py.
    """
    found: list[Violation] = [*unknown_fields(message, path or "spec")]
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        table = f"{name}.{field.name}" if name else field.name
        if field.is_repeated and len(value) > COUNTS[table]:
            found.append(Violation(field=here, description=mismatch(f"{len(value)} entries", f"up to {COUNTS[table]}")))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key, item in value.items():
                found += _text(f"{here}[{_key(key)}]", key, LARGEST_KEY)
                found += _text(f"{here}[{_key(key)}]", item, TEXTS.get(table, LARGEST_TEXT), table)
        elif field.is_repeated:
            for index, item in enumerate(value):
                if field.message_type is not None:
                    found += oversized(item, f"{here}[{index}]", table)
                else:
                    found += _text(f"{here}[{index}]", item, TEXTS.get(table, LARGEST_TEXT), table)
        elif field.message_type is not None:
            found += oversized(value, here, table)
        else:
            found += _text(here, value, TEXTS.get(table, LARGEST_TEXT), table)
    return found


def check_text(field: str, text: str, most: int) -> None:
    """Raises InvalidInput for a text that is longer than allowed."""
    if faults := _text(field, text, most):
        raise InvalidInput(faults)


def _text(path: str, value: Any, most: int, table: str = "") -> list[Violation]:
    if not isinstance(value, str):
        return []
    if len(value) > most:
        return [Violation(field=path, description=mismatch(shown(value), f"up to {most} characters"))]
    fault = fault_of_text(value, Text.PLACE if table in PLACES else Text.LINE)
    return [Violation(field=path, description=fault)] if fault else []


def _key(key: str) -> str:
    """A key as part of a path: its beginning, with nothing hidden in it."""
    return key[:SHOWN] if key[:SHOWN].isprintable() else ascii(key[:SHOWN])[1:-1]
