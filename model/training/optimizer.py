"""AdamW, and its state as plain named tensors.

AdamW keeps two running averages for every weight, of the gradient and of its square, and steps by their ratio; weight
decay is applied to the weights directly, not through the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101). Only
matrices decay: pulling a norm's gain or a bias towards zero changes what a layer computes without keeping anything
small that generalises (as in GPT-3, arXiv:2005.14165, and nanoGPT).

torch's own `state_dict` numbers parameters by position and is meant for pickle. Here every tensor is named after its
weight (`model.layers.0.mlp.up_proj.weight.exp_avg`), so that a state fits safetensors and outlives a change of order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.errors import BadCheckpoint, BadConfig
from model.training.data_parallel import pieces_like, whole

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW's numbers. `learning_rate` is the peak; `clip` bounds the gradient's norm (Pascanu et al. 2013)."""

    learning_rate: float
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip", "eps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadConfig(f"optimizer.{name}", value, "a finite number above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise BadConfig("optimizer.weight_decay", self.weight_decay, "a finite number of at least 0")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise BadConfig(f"optimizer.{name}", value, "0 up to, not including, 1")


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """Fused AdamW over the weights that train; two groups, with and without decay, in the order of the names."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next step, for every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Copies of the optimizer's state on the CPU, by `{weight}.{moment}`; empty before the first step.

    Of a sharded model every rank must ask. By name, each of its weight's shape; `step` is a scalar."""
    return {
        f"{name}.{moment}": whole(optimizer.state[parameter][moment].detach()).to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for moment in MOMENTS
    }


def load_state_tensors(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `state_tensors` gave. Every weight that trains must be there with its shape, or BadCheckpoint."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        state: dict[str, Tensor] = {}
        for moment in MOMENTS:
            tensor = tensors.get(f"{name}.{moment}")
            shape = torch.Size(()) if moment == "step" else parameter.shape
            if tensor is None or tensor.shape != shape:
                got = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
                raise BadCheckpoint(f"optimizer/{name}.{moment}", got, f"a tensor of shape {tuple(shape)}")
            dtype = torch.float32 if moment == "step" else parameter.dtype
            moved = tensor.to(parameter.device, dtype, copy=True)
            state[moment] = moved if moment == "step" else pieces_like(moved, parameter)
        optimizer.state[parameter] = state
