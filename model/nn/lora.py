"""Low-rank adaptation: train a small addition to each matrix and leave the matrix alone (Hu et al. 2021,
arXiv:2106.09685).

Beside a frozen weight W two thin matrices are trained, so that the layer computes W + (alpha / rank) * B A. B starts at
zero, so that nothing changes at first. Because the change has low rank it also forgets less, and learns less, than full
training does (Biderman et al. 2024, arXiv:2405.09673). At the end the product is added to W (merge), and the model is
an ordinary one again. The layers are those of the `peft` library.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from model.errors import BadCheckpoint, BadConfig
from model.nn.causal_lm import CausalLM

AnyLM = TypeVar("AnyLM", bound=CausalLM)


def add_lora(
    model: AnyLM, *, rank: int = 8, alpha: int = 16, targets: Sequence[str] | None = None, seed: int = 0
) -> AnyLM:
    """Put adapters beside the target matrices (by default all that the model has in its layers), in place; afterwards
    only they are trained. Returns the model.

    The same seed gives the same adapters. Raises BadConfig for a rank below 1, unknown targets or a second call.
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds to import, and few runs need it

    if rank < 1:
        raise BadConfig("lora.rank", rank, "a whole number from 1")
    allowed = model.lora_targets
    chosen = allowed if targets is None else tuple(targets)
    unknown = sorted(set(chosen) - set(allowed))
    if unknown or not chosen:
        raise BadConfig("lora.targets", unknown or "none", allowed)
    if has_lora(model):
        raise BadConfig("lora", "a model that has adapters already", "one set of adapters (merge first)")
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(chosen), lora_dropout=0.0, bias="none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, nn.ModuleList(model.sharded_layers))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def has_lora(model: nn.Module) -> bool:
    """Whether the model has adapters that are not merged."""
    return any("lora_" in name for name, _ in model.named_parameters())


def merge_lora(model: AnyLM) -> AnyLM:
    """Add every adapter to its matrix and take it away, in place; all weights can be trained again. Returns the model.

    Without adapters nothing changes.
    """
    if not has_lora(model):
        return model
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)  # checks that the sum is finite
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    return model.requires_grad_(True)


def merged_copy(model: AnyLM) -> AnyLM:
    """An ordinary model with the adapters merged, for export and evaluation; the given one trains on."""
    return merge_lora(copy.deepcopy(model))


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors by name: what a checkpoint keeps beside the base to resume bit by bit."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if "lora_" in name}


@torch.no_grad()
def load_lora_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put the tensors of `lora_state` back. Raises BadCheckpoint when they are not those of this model's adapters."""
    own = {name: tensor for name, tensor in model.state_dict().items() if "lora_" in name}
    different = sorted(own.keys() ^ state.keys())
    if different:
        raise BadCheckpoint(
            f"adapter {different[0]}", "in one of model and checkpoint only", "the same adapters in both"
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise BadCheckpoint(f"adapter {name}", f"shape {tuple(state[name].shape)}", str(tuple(tensor.shape)))
        tensor.copy_(state[name])
