"""What a project may use, and whether something more is within it. Plain numbers in and out."""

from collections.abc import Mapping
from dataclasses import dataclass

QUOTAS = {"runs": "runs that have not ended", "slots": "worker slots", "bytes": "bytes in the store"}


@dataclass(frozen=True, kw_only=True)
class QuotaState:
    """One quota: which (of QUOTAS), its limit, what is used, and what is asked for on top."""

    quota: str
    limit: int
    used: int
    asked: int

    @property
    def exceeded(self) -> bool:
        """Whether what is asked for does not fit."""
        return self.used + self.asked > self.limit


def states(limits: Mapping[str, int | None], used: Mapping[str, int], asked: Mapping[str, int]) -> list[QuotaState]:
    """The quotas that have a limit, in the order of QUOTAS."""
    return [
        QuotaState(quota=name, limit=limit, used=used.get(name, 0), asked=asked.get(name, 0))
        for name in QUOTAS
        if (limit := limits.get(name)) is not None
    ]


def told(project: str, state: QuotaState) -> str:
    """The quota, its use and what was asked, for people."""
    return (
        f"project {project} uses {state.used:,} of its quota of {state.limit:,} {QUOTAS[state.quota]}; "
        f"got {state.asked:,} more"
    )
