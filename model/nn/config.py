"""What a model is made of: its sizes, as frozen data that is validated once, and the presets by name.

A Llama-architecture decoder (Touvron et al. 2023, arXiv:2302.13971) is a stack of equal layers; its sizes say all.
Most of the parameters of a large model sit in the layers (about 12 * width^2 each), most of those of a tiny one in the
embedding (vocab_size * width), which is why tiny presets tie the input and output embedding (Press and Wolf 2017).

`python -m model.nn.config` prints the presets with their parameter counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from model.errors import BadConfig

ROPE_KINDS = ("linear", "llama3")


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Stretches the rotary embedding to contexts longer than those trained on.

    kind "linear": all frequencies divided by `factor` (Chen et al. 2023, arXiv:2306.15595).
    kind "llama3": only wavelengths longer than original_context / low_freq_factor are stretched by `factor`, those
    shorter than original_context / high_freq_factor stay, a smooth passage between (Llama 3, arXiv:2407.21783).
    """

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ROPE_KINDS:
            raise BadConfig("rope_scaling.kind", self.kind, ROPE_KINDS)
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise BadConfig("rope_scaling.factor", self.factor, "a finite number of at least 1")
        if self.kind == "llama3":
            if self.original_context is None or self.original_context < 1:
                raise BadConfig("rope_scaling.original_context", self.original_context, "a positive number of tokens")
            if not 0 < self.low_freq_factor < self.high_freq_factor:
                got = f"low {self.low_freq_factor}, high {self.high_freq_factor}"
                raise BadConfig("rope_scaling", got, "0 < low_freq_factor < high_freq_factor")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and variants of one model.

    context: most tokens that one forward pass may see (max_position_embeddings).
    width: size of the residual stream; must be heads * head_dim unless head_dim is given.
    kv_heads: heads of keys and values, shared by heads / kv_heads query heads each (grouped-query attention, Ainslie et
    al. 2023, arXiv:2305.13245).
    ffn_width: inner size of the SwiGLU block (Shazeer 2020, arXiv:2002.05202).
    attention_bias, output_bias, mlp_bias: biases of q/k/v, of the attention's output, of the feed-forward block.
    sliding_window: a token sees itself and at most sliding_window - 1 tokens before it, in the layers from
    sliding_from_layer on (Mistral: all layers).
    eos_ids: the tokens that end a text, in the order in which a model names them.
    generation: further settings of generation that came with a model, as JSON; kept for its export, not used here.
    """

    vocab_size: int
    context: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn_width: int
    head_dim: int | None = None
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tied_embeddings: bool = True
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = None
    sliding_from_layer: int = 0
    init_std: float = 0.02
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    pad_id: int | None = None
    generation: str = ""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "width", "layers", "heads", "kv_heads", "ffn_width"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise BadConfig(name, value, "a positive whole number")
        if self.heads % self.kv_heads:
            raise BadConfig("kv_heads", self.kv_heads, f"a divisor of heads ({self.heads})")
        if self.head_dim is None and self.width % self.heads:
            raise BadConfig("heads", self.heads, f"a divisor of width ({self.width}), or a head_dim")
        if self.head_size < 2 or self.head_size % 2:
            raise BadConfig("head_dim", self.head_size, "an even number (rotary embedding turns pairs)")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise BadConfig("sliding_window", self.sliding_window, "a positive number of tokens, or none")
        for name in ("rope_theta", "norm_eps", "init_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadConfig(name, value, "a finite number above 0")
        for name, token_id in (
            ("bos_id", self.bos_id),
            ("pad_id", self.pad_id),
            *(("eos_ids", i) for i in self.eos_ids),
        ):
            if token_id is not None and not 0 <= token_id < self.vocab_size:
                raise BadConfig(name, token_id, f"a token id below vocab_size ({self.vocab_size})")

    @property
    def head_size(self) -> int:
        """Size of one attention head."""
        return self.head_dim if self.head_dim is not None else self.width // self.heads

    def window_of_layer(self, layer: int) -> int | None:
        """Sliding window of a layer in tokens, or None where the layer sees the whole context."""
        return self.sliding_window if layer >= self.sliding_from_layer else None

    def parameter_count(self) -> int:
        """Number of weights, by arithmetic (a 7b model need not be built to be counted)."""
        head, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        attention = self.width * (2 * head + 2 * kv)
        attention += (head + 2 * kv) * self.attention_bias + self.width * self.output_bias
        feed_forward = 3 * self.width * self.ffn_width + (2 * self.ffn_width + self.width) * self.mlp_bias
        embeddings = self.vocab_size * self.width * (1 if self.tied_embeddings else 2)
        return embeddings + self.layers * (attention + feed_forward + 2 * self.width) + self.width


def _sizes(layers: int, width: int, heads: int, kv_heads: int, ffn_width: int, **others: Any) -> dict[str, Any]:
    sizes = {"layers": layers, "width": width, "heads": heads, "kv_heads": kv_heads, "ffn_width": ffn_width}
    return {"context": 256, "vocab_size": 4096} | sizes | others


# Sizes from 135m on are those of published models, so that a run can be compared with one: 135m and 360m SmolLM2
# (arXiv:2502.02737), 1b Llama 3.2, 7b Llama 2 (arXiv:2307.09288). The smaller ones are for CPUs.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "nano": _sizes(4, 128, 4, 2, 256),
    "micro": _sizes(4, 256, 4, 4, 688),
    "small": _sizes(6, 384, 6, 6, 1024),
    "135m": _sizes(30, 576, 9, 3, 1536, context=2048, vocab_size=49_152, rope_theta=1e5),
    "360m": _sizes(32, 960, 15, 5, 2560, context=2048, vocab_size=49_152, rope_theta=1e5),
    "1b": _sizes(16, 2048, 32, 8, 8192, context=8192, vocab_size=128_256, rope_theta=5e5),
    "7b": _sizes(32, 4096, 32, 32, 11_008, context=4096, vocab_size=32_000, tied_embeddings=False),
}


def preset(name: str, *, vocab_size: int | None = None, context: int | None = None, **changes: Any) -> ModelConfig:
    """The preset `name`, with another vocabulary, context, or any other field of ModelConfig where given.

    Raises BadConfig for a name or a field that does not exist.
    """
    if name not in PRESETS:
        raise BadConfig("model.preset", name, list(PRESETS))
    known = {field.name for field in fields(ModelConfig)}
    for field_name in changes:
        if field_name not in known:
            raise BadConfig(f"model.{field_name}", changes[field_name], sorted(known))
    sizes = dict(PRESETS[name]) | changes
    sizes |= {key: value for key, value in (("vocab_size", vocab_size), ("context", context)) if value is not None}
    return ModelConfig(**sizes)


def main() -> None:
    """Print the presets as a table."""
    print(f"{'preset':8} {'parameters':>14} {'layers':>6} {'width':>6} {'heads':>6} {'context':>8} {'vocabulary':>10}")
    for name in PRESETS:
        c = preset(name)
        heads = f"{c.heads}/{c.kv_heads}"
        sizes = f"{c.layers:>6} {c.width:>6} {heads:>6} {c.context:>8,} {c.vocab_size:>10,}"
        print(f"{name:8} {c.parameter_count():>14,} {sizes}")


if __name__ == "__main__":
    main()
