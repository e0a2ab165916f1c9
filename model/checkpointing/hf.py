"""Model folders in Hugging Face's layout: read, written, and digested. Nothing is ever unpickled.

    config.json  generation_config.json  model.safetensors (or model-0000i-of-0000n.safetensors and their index)
    tokenizer.json  tokenizer_config.json  chat_template.jinja

A folder that we write opens with `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer` as it is. A folder that we
read is foreign: pickles in it are refused (they run code when opened), every tensor must be there, have the shape that
config.json says, and be finite.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.checkpointing.hf_config import GENERATION_FILE, AnyConfig, generation_to_hf, read_config, to_hf
from model.checkpointing.hf_files import (
    EMBEDDING,
    FOLLOWS_FROM_CONFIG,
    HEAD,
    INDEX_FILE,
    PICKLE_SUFFIXES,
    WEIGHTS_FILE,
    check_vocabulary,
    check_weights,
    refuse_pickles,
    weight_files,
)
from model.checkpointing.safetensors_writer import save_file
from model.errors import BadCheckpoint, NonFinite
from model.families.config import FamilyConfig
from model.families.config import to_hf as family_to_hf
from model.nn.causal_lm import CausalLM
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer

__all__ = [
    "PICKLE_SUFFIXES",
    "check_vocabulary",
    "exported_state",
    "load_pretrained",
    "model_digest",
    "refuse_pickles",
    "save_pretrained",
    "tensors_digest",
    "weight_files",
    "weights_digest",
]
MAX_SHARD_BYTES = 5_000_000_000


def load_pretrained(
    folder: Path | str,
    *,
    dtype: torch.dtype = torch.float32,
    notes: list[str] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> CausalLM:
    """The model of a folder, its weights copied into memory as `dtype`. notes: gets what of the config is taken
    otherwise than it is written. beat: called after each tensor.

    Raises BadCheckpoint (pickles, broken files, missing, unexpected or misshapen tensors), UnsupportedArchitecture,
    BadConfig, NonFinite (NaN or infinity in a weight), each naming the file or tensor.
    """
    folder = Path(folder)
    refuse_pickles(folder)
    config = read_config(folder, notes)
    for fault in check_weights(folder, config):
        raise fault
    found: dict[str, Tensor] = {}
    for name, tensor in _tensors(folder):
        if name.endswith(FOLLOWS_FROM_CONFIG):
            continue
        found[name] = tensor.to(dtype, copy=True)  # a copy: the file may be replaced while the model lives
        _check_finite(f"{folder}: {name}", found[name])
        beat()
    if isinstance(config, FamilyConfig):
        from model.families import decoder  # transformers takes seconds to import, and our own model needs none of it

        return decoder.load(config, found, where=str(folder), dtype=dtype, notes=notes, beat=beat)
    with torch.device("meta"):
        model = Llama(config)
    if config.tied_embeddings:
        embedding = found[EMBEDDING]
        if HEAD in found and not torch.equal(found[HEAD], embedding):
            raise BadCheckpoint(
                f"{folder}: {HEAD}", "another matrix than the embedding", "tied ones, as config.json says"
            )
        found[HEAD] = embedding
    model.load_state_dict(found, assign=True)
    if config.tied_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model


def save_pretrained(
    model: CausalLM,
    folder: Path | str,
    tokenizer: Tokenizer | None = None,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Write the folder; weights keep their dtype and are split into shards of at most `max_shard_bytes`. `beat` is
    called after every few megabytes.

    Raises BadConfig when the tokenizer has more tokens than the model, NonFinite for NaN or infinity in a weight.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config: AnyConfig = model.config
    if tokenizer is not None:
        check_vocabulary(config, tokenizer)
        config = _with_token_ids(config, tokenizer)
        tokenizer.save(folder)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    written = family_to_hf(config, dtype=dtype) if isinstance(config, FamilyConfig) else to_hf(config, dtype=dtype)
    _write_json(folder / "config.json", written)
    _write_json(folder / GENERATION_FILE, generation_to_hf(config))
    for old in [*folder.glob("model*.safetensors"), folder / INDEX_FILE]:
        old.unlink(missing_ok=True)  # shards of an earlier save would be read together with the new ones
    _write_weights(exported_state(model), folder, max_shard_bytes, beat)


def exported_state(model: CausalLM) -> dict[str, Tensor]:
    """Weights under Hugging Face's names, sorted; a tied output embedding is left out, as transformers does.

    By name, each of the shape that transformers gives it.
    """
    if isinstance(model, Llama):
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(model.state_dict().items())}
        if model.config.tied_embeddings:
            state.pop(HEAD)
    else:
        state = model.file_state()
    for name, tensor in state.items():
        _check_finite(name, tensor)
    return state


def weights_digest(folder: Path | str) -> str:
    """SHA-256 (hex) over the weights of a folder: name, dtype, shape and bytes of each tensor, sorted by name. Neither
    the sharding nor the order of the files changes it."""
    places = {name: path for path in weight_files(Path(folder)) for name in _names(path)}
    return tensors_digest((name, _one(places[name], name)) for name in sorted(places))


def model_digest(model: CausalLM, *, beat: Callable[[], None] = lambda: None) -> str:
    """The `weights_digest` that a folder written from this model has."""
    return tensors_digest(exported_state(model).items(), beat=beat)


def tensors_digest(tensors: Iterable[tuple[str, Tensor]], *, beat: Callable[[], None] = lambda: None) -> str:
    """SHA-256 (hex) of named tensors in the order given; `beat` is called after each. Tensors of any shape, by name."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        header = json.dumps([name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)])
        digest.update(len(header).to_bytes(8, "little") + header.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        beat()
    return digest.hexdigest()


def _open(path: Path) -> AbstractContextManager[Any]:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(str(path), str(error), "a whole safetensors file") from error


def _names(path: Path) -> list[str]:
    with _open(path) as file:
        return list(file.keys())


def _one(path: Path, name: str) -> Tensor:
    with _open(path) as file:
        result: Tensor = file.get_tensor(name)
        return result


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for path in weight_files(folder):
        with _open(path) as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                yield name, file.get_tensor(name)


def _check_finite(field: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise NonFinite(field, "NaN or infinity among its numbers", "finite weights")


def _with_token_ids(config: AnyConfig, tokenizer: Tokenizer) -> AnyConfig:
    """What the config does not say, the tokenizer does."""
    eos = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
    return replace(
        config,
        bos_id=config.bos_id if config.bos_id is not None else tokenizer.bos_id,
        eos_ids=config.eos_ids or eos,
        pad_id=config.pad_id if config.pad_id is not None else tokenizer.pad_id,
    )


def _write_weights(state: dict[str, Tensor], folder: Path, max_shard_bytes: int, beat: Callable[[], None]) -> None:
    shards: list[dict[str, Tensor]] = [{}]
    room = max_shard_bytes
    for name, tensor in state.items():
        if tensor.nbytes > room and shards[-1]:
            shards.append({})
            room = max_shard_bytes
        shards[-1][name] = tensor
        room -= tensor.nbytes
    if len(shards) == 1:
        save_file(shards[0], folder / WEIGHTS_FILE, metadata={"format": "pt"}, beat=beat)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"}, beat=beat)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(tensor.nbytes for tensor in state.values())
    _write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
