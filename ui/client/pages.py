"""Parts of long lists, as the server gives them out."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a list. `next_token` continues it; empty at its end. `total`: on all parts, None where that is not
    told."""

    rows: tuple[Row, ...]
    next_token: str
    total: int | None = None
