"""Pages of a list, for every service: sizes, tokens, and what is refused (AIP-158).

A token names the place to resume from and what the list was asked for: a token of another list is refused.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.texts import shown

DEFAULT_SIZE = 50
LARGEST_SIZE = 500
LARGEST_NUMBER = 2**62  # what a database counts with has 63 bits
T = TypeVar("T")


def page_size(given: int, *, default: int = DEFAULT_SIZE, largest: int = LARGEST_SIZE) -> int:
    """0 is the default, more than the largest is the largest, negative is refused. Raises InvalidInput."""
    if given < 0:
        raise InvalidInput([Violation(field="page_size", description=mismatch(given, f"0 to {largest}"))])
    return min(given or default, largest)


def token_of(number: int | None, *, of: str) -> str:
    """A token that continues a list; empty at its end. `of` is what the list was asked for: it must stay the same."""
    return "" if number is None else base64.urlsafe_b64encode(f"{number}:{of}".encode()).decode()


def number_of(token: str, *, of: str) -> int | None:
    """Where a list continues. Raises InvalidInput for a token of another list."""
    if not token:
        return None
    try:
        number, _, asked = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        found = int(number) if number.isascii() and number.isdigit() and len(number) < 20 else -1
    except (ValueError, binascii.Error):
        found, asked = 0, "\0"
    if asked != of or not 0 <= found <= LARGEST_NUMBER:
        said = mismatch(shown(token), "the next_page_token of the same list")
        raise InvalidInput([Violation(field="page_token", description=said)])
    return found


def page_of(items: Sequence[T], *, size: int, token: str, of: str) -> tuple[Sequence[T], str]:
    """The part of a whole list that a token names, of at most `size` items, and the token of the next one."""
    start = number_of(token, of=of) or 0
    end = start + size
    return items[start:end], token_of(end if end < len(items) else None, of=of)
