"""config.json of a family that transformers computes, through a filter of our own.

A config.json is foreign. transformers reads far more in it than sizes: names of Python files (`auto_map`), of attention
and expert kernels (some of which are fetched from the hub and run), of quantisers. So nothing of the file reaches
transformers but plain numbers, texts and lists under keys that the family's own config class declares; what names
code is refused, what is unknown is left out and noted.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import BadCheckpoint, BadConfig, UnsupportedArchitecture
from model.families.names import FAMILIES

MOST_SIZE, MOST_LAYERS, MOST_LIST, MOST_TEXT, LARGEST = 1 << 31, 10_000, 10_000, 200, 1e300
# A key that holds one of these names code, or something that loads it.
CODE_WORDS: tuple[str, ...] = (
    "auto_map",
    "remote_code",
    "custom_",
    "kernel_config",
    "use_kernel",
    "attn_implementation",
)
CODE_WORDS += ("experts_implementation", "quantization", "adapter", "auto_class", "_loader", "pickle")
UNDECLARED = ("head_dim",)  # a size that Qwen3-MoE's class reads and does not declare
# Old names of rope's settings, which transformers turns into `rope_parameters`.
ROPE_KEYS: tuple[str, ...] = (
    "rope_theta",
    "rope_scaling",
    "partial_rotary_factor",
    "rotary_pct",
    "rotary_emb_base",
    "rotary_ndims",
)
ROPE_KEYS += ("rope_local_base_freq", "sliding_window_pattern", "_sliding_window_pattern")
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# Under which names a family has what we need to know.
_CONTEXT, _LAYERS = ("max_position_embeddings", "n_positions"), ("num_hidden_layers", "n_layer")
# Read by nobody here, in most files: not worth a note.
_SILENT = ("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "_name_or_path")


@dataclass(frozen=True, kw_only=True)
class FamilyConfig:
    """A model of a family: what we need of its sizes, and its filtered config.json.

    raw: the config.json without what names code, as JSON with sorted keys; written again at export.
    generation: settings of generation that came with the model, as JSON; kept for its export.
    """

    model_type: str
    vocab_size: int
    context: int
    layers: int
    tied_embeddings: bool
    raw: str
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    pad_id: int | None = None
    generation: str = ""

    @property
    def architecture(self) -> str:
        """The class of transformers that computes it."""
        return FAMILIES[self.model_type].architecture


def is_family(raw: Mapping[str, Any]) -> bool:
    """Whether a parsed config.json names a family of this package."""
    return isinstance(raw.get("model_type"), str) and raw["model_type"] in FAMILIES


def from_hf(raw: Mapping[str, Any], path: str = "config.json", notes: list[str] | None = None) -> FamilyConfig:
    """The FamilyConfig of a parsed config.json; `path` names it in errors, notes gets what is taken otherwise.

    Raises BadCheckpoint (code, broken values), UnsupportedArchitecture, BadConfig; each names the key.
    """
    _refuse_code(raw, path)
    kind = raw.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UnsupportedArchitecture(f"{path}: model_type", _cut(kind), list(FAMILIES))
    architecture = FAMILIES[kind].architecture
    architectures = raw.get("architectures") or [architecture]
    if architectures != [architecture]:
        raise UnsupportedArchitecture(f"{path}: architectures", _cut(architectures), [architecture])
    for key, value in raw.items():
        _check_value(f"{path}: {key}", value)
    vocab_size = _number(raw, ("vocab_size",), path, MOST_SIZE)
    kept = {key: value for key, value in raw.items() if key not in ("torch_dtype", "dtype")}
    return FamilyConfig(
        model_type=kind,
        vocab_size=vocab_size,
        context=_number(raw, _CONTEXT, path, MOST_SIZE),
        layers=_number(raw, _LAYERS, path, MOST_LAYERS),
        tied_embeddings=_tied(raw, kind, path),
        raw=json.dumps(kept, sort_keys=True),
        bos_id=next(iter(_ids(raw, "bos_token_id", path, vocab_size, notes)), None),
        eos_ids=_ids(raw, "eos_token_id", path, vocab_size, notes),
        pad_id=next(iter(_ids(raw, "pad_token_id", path, vocab_size, notes)), None),
    )


def settings(config: FamilyConfig, declared: Collection[str], notes: list[str] | None = None) -> dict[str, Any]:
    """What is given to transformers' config class: of the file, the keys that the class declares and the old names of
    rope's; nothing random (dropout) in training. notes: gets what is left out."""
    known = {*declared, *ROPE_KEYS, *UNDECLARED}
    raw = json.loads(config.raw)
    left_out = sorted(key for key in raw.keys() - known - set(_SILENT))
    if left_out and notes is not None:
        notes.append(f"config.json: keys that {config.model_type} does not declare are left out: {', '.join(left_out)}")
    taken = {key: value for key, value in raw.items() if key in known}
    limits = {"bos_token_id": config.bos_id, "pad_token_id": config.pad_id}
    eos = config.eos_ids[0] if len(config.eos_ids) == 1 else list(config.eos_ids) or None
    taken |= limits | {"eos_token_id": eos, "tie_word_embeddings": config.tied_embeddings, "use_cache": False}
    random = {key: 0.0 for key in known if key.endswith(("dropout", "pdrop", "jitter_noise"))}
    return taken | random


def to_hf(config: FamilyConfig, *, dtype: str) -> dict[str, Any]:
    """The config.json that is written: the one that was read, without what names code."""
    raw: dict[str, Any] = json.loads(config.raw)
    raw |= {"architectures": [config.architecture], "model_type": config.model_type, "torch_dtype": dtype}
    raw["tie_word_embeddings"] = config.tied_embeddings
    eos = config.eos_ids[0] if len(config.eos_ids) == 1 else list(config.eos_ids) or None
    return raw | {"bos_token_id": config.bos_id, "eos_token_id": eos, "pad_token_id": config.pad_id}


def _refuse_code(raw: Mapping[str, Any], path: str, depth: int = 0) -> None:
    """Raises BadCheckpoint for a key, at any depth, that names code. `null` names nothing."""
    for key, value in raw.items():
        said = str(key).lower()
        if any(word in said for word in CODE_WORDS) and value not in (None, False):
            expected = "a config without it (no foreign code is run, no kernel is fetched, no weights are quantised)"
            raise BadCheckpoint(f"{path}: {_cut(key)}", _cut(value), expected)
        if isinstance(value, dict):
            if depth > 3:
                raise BadCheckpoint(f"{path}: {_cut(key)}", "objects in objects", "at most four levels")
            _refuse_code(value, f"{path}: {_cut(key)}", depth + 1)


def _check_value(where: str, value: Any) -> None:
    """Plain, finite and of a size that nobody chokes on. Raises BadCheckpoint."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        fine, expected = abs(value) <= MOST_SIZE, f"a whole number up to {MOST_SIZE:,}"
    elif isinstance(value, float):
        fine, expected = abs(value) <= LARGEST, "a finite number"
    elif isinstance(value, str):
        fine, expected = len(value) <= MOST_TEXT, f"a text of at most {MOST_TEXT} characters"
    elif isinstance(value, list):
        fine, expected = len(value) <= MOST_LIST, f"a list of at most {MOST_LIST:,}"
        for number, one in enumerate(value[:MOST_LIST]):
            _check_value(f"{where}[{number}]", one)
    else:
        fine, expected = isinstance(value, dict), "a plain value"
        for key, one in value.items() if fine else ():
            _check_value(f"{where}: {_cut(key)}", one)
    if not fine:
        raise BadCheckpoint(where, _cut(value), expected)


def _number(raw: Mapping[str, Any], names: tuple[str, ...], path: str, most: int) -> int:
    name = next((one for one in names if one in raw), names[0])
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadCheckpoint(f"{path}: {name}", _cut(value), f"a whole number from 1 to {most:,}")
    return value


def _tied(raw: Mapping[str, Any], kind: str, path: str) -> bool:
    """Whether input and output embedding are one; the classes differ in what a config without the key means."""
    value = raw.get("tie_word_embeddings")
    if value is None:
        return kind in ("cohere2", "falcon", "gemma3_text", "gpt2", "starcoder2", "lfm2", "ernie4_5")
    if not isinstance(value, bool):
        raise BadCheckpoint(f"{path}: tie_word_embeddings", _cut(value), "true or false")
    return value


def _ids(raw: Mapping[str, Any], key: str, path: str, vocab_size: int, notes: list[str] | None) -> tuple[int, ...]:
    """Token ids under a key, each once; those that the vocabulary does not have (-1 is common) are none of them."""
    value = raw.get(key)
    given = value if isinstance(value, list) else [value]
    found: list[int] = []
    for one in given:
        if one is None:
            continue
        if not isinstance(one, int) or isinstance(one, bool):
            raise BadCheckpoint(f"{path}: {key}", _cut(one), "a token id, or null for none")
        if 0 <= one < vocab_size:
            found.append(one)
        elif key == "pad_token_id":
            if notes is not None:
                notes.append(f"{path}: {key}: got {_cut(one)}, which is no token of {vocab_size}; taken as absent")
        else:
            raise BadConfig(f"{path}: {key}", _cut(one), f"a token id from 0 to {vocab_size - 1}, or null for none")
    return tuple(dict.fromkeys(found))


def _cut(value: Any) -> str:
    try:
        text = str(value)
    except ValueError:  # a number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
