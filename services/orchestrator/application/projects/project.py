"""A project as it is stored, and where it is kept."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")
NAME_TOLD = "1 to 24 lower-case letters, digits and hyphens inside"


@dataclass(frozen=True, kw_only=True)
class Project:
    """Who shares the installation. The limits are None where there is none; `weight` is its share of the slots against
    the weights of the others; `created_s` is Unix time."""

    name: str
    weight: float = 1.0
    most_runs: int | None = None
    most_slots: int | None = None
    most_bytes: int | None = None
    created_s: float = 0.0

    @property
    def limits(self) -> Mapping[str, int | None]:
        """Of each quota its limit."""
        return {"runs": self.most_runs, "slots": self.most_slots, "bytes": self.most_bytes}


class ProjectRecords(Protocol):
    """Where projects are kept. All methods block, may be repeated, and raise Unavailable."""

    def projects(self) -> tuple[Project, ...]:
        """All of them, by name."""
        ...

    def add_project(self, project: Project) -> None:
        """Raises AlreadyExists when there is another of its name."""
        ...

    def update_project(self, project: Project) -> None:
        """Its weight and its limits."""
        ...

    def active_runs(self, project: str) -> int:
        """Runs that have not ended."""
        ...

    def stored_bytes(self, project: str) -> int:
        """Bytes of checkpoints whose files are there, and of uploads that were announced."""
        ...

    def share(self, checkpoint_id: str, project: str) -> None:
        """Let another project use a checkpoint."""
        ...

    def unshare(self, checkpoint_id: str, project: str) -> None:
        """Take that back."""
        ...

    def shared_with(self, checkpoint_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Of each of these checkpoints that is shared the projects, by name."""
        ...
