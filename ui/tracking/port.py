"""What is handed to a tracker, and what a tracker must be able to do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Identity = tuple[str, int, int]


class TrackerAway(Exception):
    """The tracker cannot be reached, or refuses: try again."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One figure: `step` counts over all stages of the run, `time_s` is Unix time. What a later attempt of a stage
    measures at the same step is another point, of another time."""

    key: str
    step: int
    time_s: float
    value: float

    @property
    def identity(self) -> Identity:
        """Key, step, milliseconds: what is known by it is sent once."""
        return self.key, self.step, round(1000 * self.time_s)


@dataclass(frozen=True, kw_only=True)
class Note:
    """A decision, for people."""

    number: int
    step: int
    time_s: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a run beside its figures. `parameters`: its spec by dotted paths; `tags`: its labels and how it
    stands; `checkpoints`: URIs of accepted ones, by stage."""

    run_id: str
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Note] = ()


class Tracker(Protocol):
    """One run of a tracker for one pipeline run, found again by its id. Methods raise TrackerAway."""

    def open(self, facts: Facts) -> str:
        """Finds or begins the tracker's run; where people find it."""
        ...

    def known(self) -> set[Identity]:
        """The points that the tracker has, read from itself."""
        ...

    def log(self, points: Iterable[Point]) -> None:
        """Adds points. Durable when it returns."""
        ...

    def describe(self, facts: Facts) -> None:
        """Says what is known now; the same again changes nothing."""
        ...

    def close(self, *, succeeded: bool | None) -> None:
        """The follower ends; None where the run has not ended."""
        ...
