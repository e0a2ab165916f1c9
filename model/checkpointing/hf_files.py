"""The files of a model folder in Hugging Face's layout, and what can be told of them without loading a weight.

No torch here: a check of a folder that a person names in a spec should take a fraction of a second. `check_weights` is
what loading asks first as well, so a folder that passes here is refused there only for what its numbers are: a NaN, or
a tied output embedding that differs from the input's.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model.checkpointing.hf_config import AnyConfig, read_config
from model.checkpointing.safetensors_header import WEIGHTS, read_header
from model.errors import BadCheckpoint, BadConfig, RetainModelError
from model.json_file import read_json_object
from model.nn.config import ModelConfig
from model.tokenization.tokenizer import Tokenizer

PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
FOLLOWS_FROM_CONFIG = "rotary_emb.inv_freq"  # old exports keep it


def refuse_pickles(folder: Path) -> None:
    """Raise BadCheckpoint when the folder is missing or any file in it may be a pickle."""
    if not folder.is_dir():
        raise BadCheckpoint(str(folder), "no such folder", "a model folder in Hugging Face's layout")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise BadCheckpoint(str(path), "a pickle file (it could run code)", "safetensors only")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model, in order. Raises BadCheckpoint when there are none, one is missing, or a
    whole model lies beside the index of another."""
    index, single = folder / INDEX_FILE, folder / WEIGHTS_FILE
    if not index.is_file():
        if not single.is_file():
            raise BadCheckpoint(str(folder), "no weights", f"{WEIGHTS_FILE}, or shards with {INDEX_FILE}")
        return [single]
    shards = sorted(set(_weight_map(index).values()))
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise BadCheckpoint(f"{index}: {shard}", "no such file in this folder", "shards beside their index")
    if single.is_file() and WEIGHTS_FILE not in shards:
        got = f"a whole model beside {INDEX_FILE}, which names {shards[0]} and does not name it"
        raise BadCheckpoint(str(single), got, "one of the two: remove this file, or the index with its shards")
    return [folder / shard for shard in shards]


def _weight_map(index: Path) -> dict[str, str]:
    found = read_json_object(index).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(file, str) for file in found.values()):
        raise BadCheckpoint(f"{index}: weight_map", str(found)[:80], "an object of file names by tensor")
    return found


def expected_tensors(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape) of every tensor that a config implies; of tied embeddings the output's too, which may be absent."""
    width, ffn, head = config.width, config.ffn_width, config.head_size
    query, key = config.heads * head, config.kv_heads * head
    yield EMBEDDING, (config.vocab_size, width)
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}"
        for name, out, into, bias in (
            ("self_attn.q_proj", query, width, config.attention_bias),
            ("self_attn.k_proj", key, width, config.attention_bias),
            ("self_attn.v_proj", key, width, config.attention_bias),
            ("self_attn.o_proj", width, query, config.output_bias),
            ("mlp.gate_proj", ffn, width, config.mlp_bias),
            ("mlp.up_proj", ffn, width, config.mlp_bias),
            ("mlp.down_proj", width, ffn, config.mlp_bias),
        ):
            yield f"{prefix}.{name}.weight", (out, into)
            if bias:
                yield f"{prefix}.{name}.bias", (out,)
        yield f"{prefix}.input_layernorm.weight", (width,)
        yield f"{prefix}.post_attention_layernorm.weight", (width,)
    yield "model.norm.weight", (width,)
    yield HEAD, (config.vocab_size, width)


def check_weights(folder: Path, config: AnyConfig | None) -> Iterator[RetainModelError]:
    """Every fault of the weights' files that their headers show: names, types, shapes, places; without a config, those
    of the files alone. Which tensors another family has, only transformers knows: its names and shapes are compared
    when it is loaded."""
    own = config if isinstance(config, ModelConfig) else None
    wanted = dict(expected_tensors(own)) if own is not None else None
    places: dict[str, Path] = {}
    try:
        files = weight_files(folder)
        mapped = _weight_map(folder / INDEX_FILE) if (folder / INDEX_FILE).is_file() else {}
    except RetainModelError as error:
        yield error
        return
    whole = True
    for path in files:
        try:
            entries = read_header(path)
        except BadCheckpoint as error:
            whole = False
            yield error
            continue
        for name, entry in entries.items():
            where = f"{path}: {name}"
            if name in places:
                yield BadCheckpoint(where, f"a tensor that {places[name].name} holds too", "each tensor once")
            elif name.endswith(FOLLOWS_FROM_CONFIG):
                continue
            elif wanted is not None and name not in wanted:
                yield BadCheckpoint(where, "an unexpected tensor", "the tensors that config.json implies")
            elif not entry.can_be_weights:
                yield BadCheckpoint(where, entry.dtype, ", ".join(kind for kind, _ in WEIGHTS.values()))
            elif wanted is not None and entry.shape != wanted[name]:
                yield BadCheckpoint(where, f"shape {entry.shape}", str(wanted[name]))
            elif mapped and mapped.get(name) != path.name:
                said = mapped.get(name, "no file")
                yield BadCheckpoint(where, f"a tensor for which {INDEX_FILE} names {said}", f"{path.name} there")
            places[name] = path
    if wanted is None or not whole:
        return
    if own is not None and own.tied_embeddings:
        del wanted[HEAD]
    missing = sorted(wanted.keys() - places.keys())
    if missing:
        expected = "every tensor that config.json implies"
        if missing == [HEAD]:
            expected += "; or tie_word_embeddings: true there, where the output embedding is the input's"
        count = f"{len(missing)} missing {'tensor' if len(missing) == 1 else 'tensors'}"
        yield BadCheckpoint(f"{folder}: {missing[0]}", count, expected)


def parameter_count(folder: Path, config: AnyConfig) -> int:
    """Number of weights of a folder's model: by arithmetic of our own, by its headers of another family. Raises
    BadCheckpoint for a broken header."""
    if isinstance(config, ModelConfig):
        return config.parameter_count()
    entries = {name: entry for path in weight_files(folder) for name, entry in read_header(path).items()}
    return sum(math.prod(entry.shape) for entry in entries.values())


def check_vocabulary(config: AnyConfig, tokenizer: Tokenizer) -> None:
    """Raise BadConfig when the tokenizer can make ids that the model has no embedding for."""
    if tokenizer.vocab_size > config.vocab_size:
        expected = f"at most the model's {config.vocab_size}: config.json's vocab_size, the rows of its embedding"
        raise BadConfig("tokenizer", f"{tokenizer.vocab_size} tokens", expected)


def folder_faults(
    folder: Path, *, pickles: bool = True, notes: list[str] | None = None
) -> tuple[AnyConfig | None, list[RetainModelError]]:
    """(the config where it can be read, every fault that shows without loading a weight).

    pickles: whether a pickle beside the safetensors is a fault; it is none where only safetensors are sent on.
    notes: gets what is taken otherwise than it is written. A folder without faults may still be refused when its
    weights are read, for a NaN.
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
    config = tried(read_config, folder, notes)
    faults.extend(check_weights(folder, config))
    tokenizer = tried(Tokenizer.load, folder)
    if config is not None and tokenizer is not None:
        tried(check_vocabulary, config, tokenizer)
    return config, faults
