"""Processes of a test that form one process group over gloo, and end without an interpreter's end.

A thread of C++ that still runs when its interpreter ends aborts the process as soon as it lets go of a Python object:
the lock that it waits for is gone, the interpreter ends the thread, and C++ cannot be unwound there ("terminate called
without an active exception"). Destroying the group does not end gloo's threads while anything refers to it, and
DTensor's caches of how operations are sharded keep the mesh of a model in pieces, and with it the group, for as long as
the process lives. Ray ends the processes of a group from outside; these leave by themselves in the same way.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as mp

from tests.ports import free_port


def spawn_gloo_group(size: int, task: Callable[..., None], *args: Any) -> None:
    """Run `task(*args)`, a function of a module, in `size` processes that are one group. Raises what one of them
    raised (as torch.multiprocessing.ProcessRaisedException)."""
    mp.spawn(member, args=(size, free_port(), task, args), nprocs=size)


def member(rank: int, size: int, port: int, task: Callable[..., None], args: tuple[Any, ...]) -> None:
    """One process of the group."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=size)
    try:
        task(*args)
    finally:
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
