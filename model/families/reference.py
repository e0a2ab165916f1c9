"""What transformers itself makes of a model folder, with none of our code between: what families are compared with."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from model.families.config import FamilyConfig
from model.families.decoder import class_of, inner_config, transformers_module


def write_reference(config: FamilyConfig, folder: Path, *, seed: int = 0) -> None:
    """Writes a random model of a config as transformers writes one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = class_of(config)(inner_config(config))
        # A fresh model has zero biases and equal gains: then a forgotten one would not be seen.
        with torch.no_grad():
            for weight in made.parameters():
                weight.add_(torch.randn(weight.shape) * 0.02)
    made.save_pretrained(folder)


def open_reference(folder: Path) -> Any:
    """The model of a folder as anybody opens it: `AutoModelForCausalLM.from_pretrained`, without foreign code."""
    opened = transformers_module().AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )
    return opened.eval()


@torch.no_grad()
def reference_logits(folder: Path, tokens_BT: Tensor) -> Tensor:
    """Logits [B, T, V] that transformers gives for tokens [B, T]."""
    return cast(Tensor, open_reference(folder)(input_ids=tokens_BT, use_cache=False).logits)
