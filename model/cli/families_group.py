"""Families in pieces: two processes over gloo hold a model's weights together (FSDP2), as GPUs of a stage do.

What is compared is the gradient of a batch whose rows the two share, with the one that a whole model has of all rows.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from model.checkpointing.hf import load_pretrained
from model.errors import RetainModelError
from model.nn.causal_lm import CausalLM
from model.training.data_parallel import Sharded, whole
from model.training.process_group import ProcessGroup

SIZE = 2


def differences_in_pieces(folders: Sequence[Path], work: Path) -> dict[str, float | str]:
    """By folder: the largest difference of a weight's gradient in pieces, as a part of the largest of that of the whole
    model; or why it was refused. `work` is an empty folder."""
    mp.spawn(_member, args=(list(folders), work), nprocs=SIZE)
    found: dict[str, float | str] = json.loads((work / "differences").read_text())
    return found


def _member(rank: int, folders: Sequence[Path], work: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{work / 'meeting'}", rank=rank, world_size=SIZE)
    group, found = ProcessGroup(rank=rank, size=SIZE), {}
    for folder in folders:
        try:
            found[str(folder)] = _difference(folder, group)
        except RetainModelError as error:
            found[str(folder)] = str(error)
    if rank == 0:
        (work / "differences").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # a thread of gloo that outlives the interpreter aborts the process


def _difference(folder: Path, group: ProcessGroup) -> float | str:
    alone, together = load_pretrained(folder).train(), load_pretrained(folder).train()
    length = min(16, alone.config.context)
    generator = torch.Generator().manual_seed(2)
    tokens_BT = torch.randint(alone.config.vocab_size, (2 * SIZE, length + 1), generator=generator)
    _backward(alone, tokens_BT)
    Sharded(together, group)
    _backward(together, tokens_BT[group.rows(len(tokens_BT))])
    theirs = {name: weight.grad for name, weight in alone.named_parameters()}
    largest = max(float(grad.abs().max()) for grad in theirs.values() if grad is not None)
    worst = 0.0
    for name, weight in together.named_parameters():
        grad, expected = weight.grad, theirs[name]
        if grad is None or expected is None:
            if (grad is None) != (expected is None):
                return f"{name} has a gradient on one side only"
            continue
        worst = max(worst, float((whole(grad) - expected).abs().max()))
    return worst / largest


def _backward(model: CausalLM, tokens_BT: Tensor) -> None:
    total, _ = model(tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])
    total.backward()
