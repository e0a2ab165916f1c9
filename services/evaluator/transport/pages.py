"""Pages of a list: a size with a default and a cap, and a token that names the place to go on from."""

from collections.abc import Sequence
from typing import TypeVar

from services.common.errors import InvalidInput, Violation

T = TypeVar("T")


def page_of(items: Sequence[T], *, size: int, token: str, default: int, maximum: int) -> tuple[Sequence[T], str]:
    """The asked part of a list and the token of the next one ("" at the end).

    Size 0 is the default, over the maximum is the maximum, negative is refused (AIP-158).
    """
    if size < 0:
        raise InvalidInput([Violation(field="page_size", description=f"came {size}; allowed is 0 to {maximum}")])
    try:
        start = int(token or 0)
    except ValueError:
        start = -1
    if start < 0:
        raise InvalidInput(
            [Violation(field="page_token", description=f"came {token!r}; allowed is one from a response")]
        )
    end = start + min(size or default, maximum)
    return items[start:end], str(end) if end < len(items) else ""
