"""The size of a spec's message, looked at before anything is made of it: a million stages cost a look at a number."""

from typing import Any

from services.common.errors import InvalidInput, Violation
from services.orchestrator.domain.spec.limits import COUNTS, LARGEST_KEY, LARGEST_TEXT, TEXTS

SHOWN = 40  # characters of a text that is too long


def oversized(message: Any, path: str = "", name: str = "") -> list[Violation]:
    """Lists, maps and texts of a message that are longer than allowed. `name` is the path without indexes.

    What is too long is not looked into. Every list and map of the message needs a line in domain/spec/limits.py.
    """
    found: list[Violation] = []
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        table = f"{name}.{field.name}" if name else field.name
        if field.is_repeated and len(value) > COUNTS[table]:
            found.append(Violation(field=here, description=f"came {len(value)} entries; allowed are {COUNTS[table]}"))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key, item in value.items():
                found += _text(f"{here}[{key[:SHOWN]}]", key, LARGEST_KEY)
                found += _text(f"{here}[{key[:SHOWN]}]", item, TEXTS.get(table, LARGEST_TEXT))
        elif field.is_repeated:
            for index, item in enumerate(value):
                if field.message_type is not None:
                    found += oversized(item, f"{here}[{index}]", table)
                else:
                    found += _text(f"{here}[{index}]", item, TEXTS.get(table, LARGEST_TEXT))
        elif field.message_type is not None:
            found += oversized(value, here, table)
        else:
            found += _text(here, value, TEXTS.get(table, LARGEST_TEXT))
    return found


def check_text(field: str, text: str, most: int) -> None:
    """Raises InvalidInput for a text that is longer than allowed."""
    if faults := _text(field, text, most):
        raise InvalidInput(faults)


def _text(path: str, value: Any, most: int) -> list[Violation]:
    if not isinstance(value, str) or len(value) <= most:
        return []
    said = f"came {value[:SHOWN]!r} and on, {len(value)} characters; allowed are {most}"
    return [Violation(field=path, description=said)]
