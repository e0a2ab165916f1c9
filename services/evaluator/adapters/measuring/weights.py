"""Weights in memory, and the digest that they really have.

A checkpoint says what the digest of its weights is; whoever wrote the manifest may have lied, or been wrong. What is
measured is therefore named by what was computed here, from the tensors that were loaded, before anything is kept or
read under it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from model.checkpointing.checkpoint import MODEL_FOLDER, Manifest
from model.checkpointing.hf import exported_state, load_pretrained, tensors_digest, weight_files
from model.nn.causal_lm import CausalLM
from model.nn.config import ModelConfig
from services.common.concurrency.heart import beat

# Of these every value is a float32 too, so that the file's tensor is restored from the loaded one bit for bit.
_EXACT = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A loaded model and the digest over its tensors, as the files have them."""

    model: CausalLM
    digest: str


def load(folder: Path, device: torch.device) -> Weights:
    """The model of a verified folder on `device`. Raises what `load_pretrained` raises."""
    beat(f"loading {folder}")
    model = load_pretrained(folder)
    return Weights(model=model.to(device).eval(), digest=loaded_digest(model, folder))


def loaded_digest(model: CausalLM, folder: Path) -> str:
    """SHA-256 (hex) over the tensors in memory, in the dtype of the files and with their names: equal to the
    `weights_digest` of the folder when what was loaded is what is there."""
    # Our own keeps a tied output embedding beside the input's, as some files do; others know what their files hold.
    state = model.state_dict() if isinstance(model.config, ModelConfig) else exported_state(model)
    places = {name: path for path in weight_files(folder) for name in _names(path)}

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for name in sorted(places):
            beat(f"hashing {folder}")
            with safe_open(places[name], framework="pt") as file:
                dtype = _EXACT.get(file.get_slice(name).get_dtype())
                if name in state and dtype is not None:
                    yield name, state[name].detach().to("cpu", dtype)
                else:  # what the model does not hold (old exports' frequencies), or not in full (float64)
                    yield name, file.get_tensor(name)

    return tensors_digest(tensors())


def claims(digest: str, manifest: Manifest) -> frozenset[str]:
    """Every digest that a manifest of these weights may claim: over the tensors, or, of a model that was imported by
    upload, over the verified hashes of its weight files."""
    prefix, suffix = f"{MODEL_FOLDER}/", ".safetensors"
    hashes = {n: e.sha256 for n, e in manifest.files.items() if n.startswith(prefix) and n.endswith(suffix)}
    canonical = json.dumps(hashes, sort_keys=True, separators=(",", ":")).encode()
    return frozenset({digest, hashlib.sha256(canonical).hexdigest()})


def _names(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as file:
        return list(file.keys())
