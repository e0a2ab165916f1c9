"""The files of a model folder in Hugging Face's layout, and what can be told of them without loading a weight.

No torch here: a check of a folder that a person names in a spec should take a fraction of a second.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from model.config import ModelConfig
from model.errors import BadCheckpoint, BadConfig, RetainModelError
from model.hf_config import read_config
from model.tokenizer import Tokenizer

PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
EMBEDDING = "model.embed_tokens.weight"
_FLOATS = ("F32", "F16", "BF16", "F64")


def refuse_pickles(folder: Path) -> None:
    """Raise BadCheckpoint when the folder is missing or any file in it may be a pickle."""
    if not folder.is_dir():
        raise BadCheckpoint(str(folder), "no such folder", "a model folder in Hugging Face's layout")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise BadCheckpoint(str(path), "a pickle file (it could run code)", "safetensors only")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model, in order. Raises BadCheckpoint when there are none or one is missing."""
    index = folder / INDEX_FILE
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if not index.is_file():
        raise BadCheckpoint(str(folder), "no weights", f"{WEIGHTS_FILE}, or shards with {INDEX_FILE}")
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(str(index), repr(error), 'JSON with a "weight_map"') from error
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise BadCheckpoint(f"{index}: {shard}", "no such file in this folder", "shards beside their index")
    return [folder / shard for shard in shards]


def check_vocabulary(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Raise BadConfig when the tokenizer can make ids that the model has no embedding for."""
    if tokenizer.vocab_size > config.vocab_size:
        raise BadConfig("tokenizer", f"{tokenizer.vocab_size} tokens", f"at most the model's {config.vocab_size}")


def folder_faults(folder: Path, *, pickles: bool = True) -> tuple[ModelConfig | None, list[RetainModelError]]:
    """(the config where it can be read, every fault that shows without loading a weight).

    pickles: whether a pickle beside the safetensors is a fault; it is none where only safetensors are sent on.
    A folder without faults may still be refused when its weights are read: a missing tensor, a NaN.
    """
    faults: list[RetainModelError] = []

    def tried(check: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return check(*arguments)
        except RetainModelError as error:
            faults.append(error)
            return None

    if pickles or not folder.is_dir():
        tried(refuse_pickles, folder)
        if not folder.is_dir():
            return None, faults
    config = tried(read_config, folder)
    for path in tried(weight_files, folder) or ():
        tried(_check_header, path, config)
    tokenizer = tried(Tokenizer.load, folder)
    if config is not None and tokenizer is not None:
        tried(check_vocabulary, config, tokenizer)
    return config, faults


def _check_header(path: Path, config: ModelConfig | None) -> None:
    """Names, types and lengths are in the header; the reader refuses one that does not fit the file's size."""
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                tensor = file.get_slice(name)
                if tensor.get_dtype() not in _FLOATS:
                    raise BadCheckpoint(f"{path}: {name}", tensor.get_dtype(), "float32, float16, bfloat16 or float64")
                wanted = [config.vocab_size, config.width] if config is not None else None
                if name == EMBEDDING and wanted is not None and list(tensor.get_shape()) != wanted:
                    raise BadCheckpoint(f"{path}: {name}", f"shape {tensor.get_shape()}", str(wanted))
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(str(path), str(error), "a whole safetensors file") from error
