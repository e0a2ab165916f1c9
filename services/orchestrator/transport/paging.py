"""Pages: sizes, tokens, and what is refused."""

import base64
import binascii

from services.common.errors import InvalidInput, Violation

DEFAULT_SIZE = 50
LARGEST_SIZE = 500


def page_size(given: int) -> int:
    """0 is the default, more than the largest is the largest, negative is refused."""
    if given < 0:
        raise InvalidInput([Violation(field="page_size", description=f"came {given}; allowed is 0 to {LARGEST_SIZE}")])
    return min(given or DEFAULT_SIZE, LARGEST_SIZE)


def token_of(number: int | None, *, of: str) -> str:
    """A token that continues a list; empty at its end. `of` is what the list was asked for: it must stay the same."""
    return "" if number is None else base64.urlsafe_b64encode(f"{number}:{of}".encode()).decode()


def number_of(token: str, *, of: str) -> int | None:
    """Where a list goes on. Raises InvalidInput for a token of another list."""
    if not token:
        return None
    try:
        number, _, asked = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        found = int(number)
    except (ValueError, binascii.Error):
        found, asked = 0, "\0"
    if asked != of:
        said = f"came {token!r}; allowed is the next_page_token of the same list"
        raise InvalidInput([Violation(field="page_token", description=said)])
    return found
