"""The processes that train one model together, and how they agree.

Every rank draws the same global batch and computes its own rows of it; sums travel by all-reduce. What only the first
rank can know (a verdict, a loaded assignment) it finds out alone and hands to the others, errors included, so that
either every rank continues or every rank raises: a rank that waits for one that has gone is a hang.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch.distributed as dist
from torch import Tensor

from model.errors import BadConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """`size` processes of which this one is `rank`. `ProcessGroup()` is one process that needs no process group."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "ProcessGroup":
        """The group of torch's process group, or a group of one when there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(rank=dist.get_rank(), size=dist.get_world_size())
        return cls()

    @property
    def is_rank_zero(self) -> bool:
        """Whether this rank talks to the outside."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This rank's rows of a batch of `count`: disjoint, together all. Raises BadConfig for too few."""
        if count < self.size:
            raise BadConfig("batch.sequences", count, f"at least one sequence for each of {self.size} workers")
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum_in_place(self, tensor: Tensor) -> None:
        """Replace the tensor by its sum over all ranks. A tensor of any shape, the same on every rank."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def run_on_rank_zero(self, call: Callable[[], T]) -> T:
        """Run `call` on the first rank only and return its result on every rank; what it raises is raised on every
        rank."""
        if self.size == 1:
            return call()
        box: list[object] = [None, None]
        if self.is_rank_zero:
            try:
                box[0] = call()
            except Exception as error:  # noqa: BLE001  (raised again below, on every rank)
                box[1] = error
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise cast(Exception, box[1])
        return cast(T, box[0])

    def run_on_all(self, call: Callable[[], T]) -> T:
        """Run `call` on every rank; if it raises on any, the first error (by rank) is raised on all."""
        if self.size == 1:
            return call()
        result: T | None = None
        error: Exception | None = None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001  (raised again below, on every rank)
            error = raised
        errors: list[Exception | None] = [None] * self.size
        dist.all_gather_object(errors, error)
        for raised_somewhere in errors:
            if raised_somewhere is not None:
                raise raised_somewhere
        return cast(T, result)
