"""Gradients of a model that several processes train: as copies (data parallel), or in pieces (FSDP2, GPUs).

`Replicas` keeps all gradients in one buffer, of which each weight's `.grad` is a view, and sums it over the ranks in
one all-reduce. Why not DistributedDataParallel: it regroups its buckets after the first step of every process, and a
ring adds the ranks in an order that depends on an element's place in its bucket. With three workers and more a
restarted run would therefore round differently from an undisturbed one. A layout that never changes keeps every
restart bit-exact, for any number of workers. On a CPU nothing is lost by it; DDP's overlap pays on GPUs, where
`Sharded` overlaps too.

`Sharded` holds weights, gradients and optimizer state in pieces, one for each rank (ZeRO, Rajbhandari et al. 2020,
arXiv:1910.02054, as torch's fully_shard).
"""

# Shapes: R rows of the global batch.

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from model.errors import BadConfig
from model.nn.causal_lm import CausalLM
from model.training.process_group import ProcessGroup


class Gradients(Protocol):
    """What the training loop needs of a model's gradients."""

    def zero(self) -> None:
        """Forget the last step's."""
        ...

    def sum_over_group(self, nats_R: Tensor, interrupt: int) -> tuple[list[float], int]:
        """Sum gradients and losses over all ranks; returns the nats of each row, and the sum of the interrupts, which
        only one rank may give.

        The interrupt travels with the gradients, so that all ranks leave the loop after the same step.
        """
        ...

    def clip(self, max_norm: float) -> float:
        """Scale the whole gradient down to `max_norm` if it is longer; returns the norm it had."""
        ...


class Replicas:
    """Every rank has the whole model; gradients live in one flat buffer, with the rows' losses and the interrupt at
    its end."""

    def __init__(self, model: nn.Module, group: ProcessGroup, *, rows: int) -> None:
        self._group = group
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        first = self._parameters[0]
        count = sum(parameter.numel() for parameter in self._parameters)
        self._buffer = torch.zeros(count + rows + 1, dtype=torch.float32, device=first.device)
        self._flat, self._nats_R = self._buffer[:count], self._buffer[count : count + rows]
        offset = 0
        for parameter in self._parameters:
            parameter.grad = self._flat[offset : offset + parameter.numel()].view_as(parameter)
            offset += parameter.numel()

    def zero(self) -> None:
        self._buffer.zero_()

    def sum_over_group(self, nats_R: Tensor, interrupt: int) -> tuple[list[float], int]:
        self._nats_R.copy_(nats_R)
        self._buffer[-1] = float(interrupt)
        self._group.sum_in_place(self._buffer)
        *nats, interrupts = self._buffer[self._flat.numel() :].tolist()
        return nats, round(interrupts)

    def clip(self, max_norm: float) -> float:
        norm = float(torch.linalg.vector_norm(self._flat))
        if norm > max_norm:
            self._flat.mul_(max_norm / norm)
        return norm


class Sharded:
    """FSDP2: each rank holds a piece of everything. Wraps the model in place. Needs a process group."""

    def __init__(self, model: CausalLM, group: ProcessGroup) -> None:
        from torch.distributed.fsdp import fully_shard

        if any(not parameter.requires_grad for parameter in model.parameters()):
            raise BadConfig("sharded", "a model with frozen weights (low-rank adapters)", "one whose weights all train")
        for module in (*model.sharded_layers, model):
            # It averages over the ranks; the loss is already divided by the tokens of the global batch: sum instead.
            wrapped = fully_shard(module)
            wrapped.set_gradient_divide_factor(1.0)
            wrapped.set_force_sum_reduction_for_comms(True)
        self._model, self._group = model, group

    def zero(self) -> None:
        self._model.zero_grad(set_to_none=True)

    def sum_over_group(self, nats_R: Tensor, interrupt: int) -> tuple[list[float], int]:
        together = torch.cat([nats_R, torch.full_like(nats_R[:1], float(interrupt))])
        self._group.sum_in_place(together)
        *nats, interrupts = together.tolist()
        return nats, round(interrupts)

    def clip(self, max_norm: float) -> float:
        parameters = [parameter for parameter in self._model.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        return float(norm.full_tensor()) if isinstance(norm, DTensor) else float(norm)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which this rank may hold a piece only; every rank must call it.

    Of the whole weight's shape.
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def pieces_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This rank's piece of a whole tensor, cut as the parameter is. `tensor` has the whole weight's shape."""
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)


def whole_copy(model: CausalLM) -> CausalLM:
    """An ordinary model on the CPU with the weights of a sharded one; every rank must call it."""
    copy = model.blank()
    copy.load_state_dict({name: whole(tensor).cpu() for name, tensor in model.state_dict().items()})
    return copy
