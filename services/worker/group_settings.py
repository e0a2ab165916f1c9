"""What a worker group is started with. Nothing that is slow to import: a group joins its run before it loads torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """Size of a group and what each worker gets."""

    run_id: str
    submission: int
    workers: int = 1
    min_workers: int = 0
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0

    @property
    def threads(self) -> int:
        """Threads of torch in each worker."""
        return max(1, int(self.cpus_per_worker))
