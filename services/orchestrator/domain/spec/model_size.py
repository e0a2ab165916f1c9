"""How many parameters a model will have, from its preset or its config.json: for what a plan says of costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
BYTES_PER_PARAMETER = 12  # of a checkpoint: weights and both moments of AdamW, in float32


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of a decoder of the Llama family; `families` has those of others. `vocabulary` 0: that of its
    tokenizer."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn_width: int
    vocabulary: int = 0
    head_width: int = 0
    tied: bool = True
    family: str = ""  # model_type of another family than our own model computes
    experts: bool = False

    @property
    def parameters(self) -> int:
        """Weights of embedding, attention, feed-forward and norms; biases, which few models have, are left out."""
        return self.embeddings + self.layers * self.of_layer + self.width

    @property
    def of_layer(self) -> int:
        """Weights of one layer."""
        attention = 2 * self.width * self.width_of_head * (self.heads + self.kv_heads)
        return attention + 3 * self.width * self.ffn_width + 2 * self.width

    @property
    def used_by_a_token(self) -> int:
        """Weights of all layers that one token passes: of experts only those that it is given to."""
        return self.layers * self.of_layer

    @property
    def adapter_ends(self) -> int:
        """Rows and columns of all matrices that adapters stand beside: the seven of each layer."""
        query, keys = self.heads * self.width_of_head, self.kv_heads * self.width_of_head
        ends = 2 * (self.width + query) + 2 * (self.width + keys) + 3 * (self.width + self.ffn_width)
        return self.layers * ends

    def kept_of_a_token(self, context: int) -> float:
        """Numbers that a layer of plain modules keeps of a token for the backward pass, in rows of `context` tokens."""
        query, keys = self.heads * self.width_of_head, self.kv_heads * self.width_of_head
        return 6 * self.width + 2 * query + 2 * keys + 4 * self.ffn_width + self.heads + 2

    @property
    def own_kernels(self) -> bool:
        """Whether our own model computes it, with kernels of its own on a CPU."""
        return True

    @property
    def packs(self) -> bool:
        """Whether rows of several conversations are computed as they are."""
        return True

    @property
    def embeddings(self) -> int:
        """Weights of the embeddings, the output's own among them where it has some."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def width_of_head(self) -> int:
        """Numbers of a head's queries and keys."""
        return self.head_width or self.width // self.heads


# The sizes of model/nn/config.py, which this layer does not import; a test holds the two together.
PRESET_SIZES: Mapping[str, Sizes] = {
    "nano": Sizes(layers=4, width=128, heads=4, kv_heads=2, ffn_width=256),
    "micro": Sizes(layers=4, width=256, heads=4, kv_heads=4, ffn_width=688),
    "small": Sizes(layers=6, width=384, heads=6, kv_heads=6, ffn_width=1024),
    "135m": Sizes(layers=30, width=576, heads=9, kv_heads=3, ffn_width=1536, vocabulary=49_152),
    "360m": Sizes(layers=32, width=960, heads=15, kv_heads=5, ffn_width=2560, vocabulary=49_152),
    "1b": Sizes(layers=16, width=2048, heads=32, kv_heads=8, ffn_width=8192, vocabulary=128_256),
    "7b": Sizes(layers=32, width=4096, heads=32, kv_heads=32, ffn_width=11_008, vocabulary=32_000, tied=False),
}


def sizes_of_preset(preset: str, vocabulary: int) -> Sizes | None:
    """Sizes of a preset with a vocabulary of so many tokens (0: its own); None for a name that is not known."""
    sizes = PRESET_SIZES.get(preset)
    if sizes is None or not (vocabulary or sizes.vocabulary):
        return None
    return replace(sizes, vocabulary=vocabulary or sizes.vocabulary)


def sizes_of_config(config: Any) -> Sizes | None:
    """Sizes of a model by its config.json; None when that does not say what is needed, and for a mixture of experts,
    which has more weights than these sizes say."""
    if not isinstance(config, dict) or any(whole(config, name) for name in _EXPERTS):
        return None
    heads = whole(config, "num_attention_heads")
    sizes = Sizes(
        layers=whole(config, "num_hidden_layers"),
        width=whole(config, "hidden_size"),
        heads=heads,
        kv_heads=whole(config, "num_key_value_heads") or heads,
        ffn_width=whole(config, "intermediate_size"),
        vocabulary=whole(config, "vocab_size"),
        head_width=whole(config, "head_dim"),
        tied=config.get("tie_word_embeddings") is True,
    )
    needed = (sizes.layers, sizes.width, sizes.heads, sizes.ffn_width, sizes.vocabulary)
    return sizes if all(needed) else None


def whole(config: Mapping[str, Any], name: str) -> int:
    """A positive whole number, 0 for anything else."""
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
