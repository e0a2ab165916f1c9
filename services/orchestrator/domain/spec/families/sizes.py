"""How many weights a model of another family has (model/families), from its config.json: each matrix, bias and gain.

Llama's formula (`Sizes`) is right for Llama alone. Here a layer is listed as its matrices, with what else it holds, so
that the same list says how many weights there are, how many of them a token passes (of experts only the chosen ones),
and how many rows and columns adapters stand beside. A test compares with transformers' own count of published models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.orchestrator.domain.spec.families.layers import LAYERS, Config, inner_of_a_token, widths_of
from services.orchestrator.domain.spec.model_size import Sizes, sizes_of_config, whole

COUNTED = tuple(LAYERS)
# Whose input and output embeddings are one where it is left out; of model/families/config.py, a test holds the two.
TIED_BY_DEFAULT = ("cohere2", "falcon", "gemma3_text", "gpt2", "starcoder2", "lfm2", "ernie4_5")
# Whose rows of several conversations leak, as transformers 5.23 packs them: each is computed in a row of its own
# (model/families/decoder.py tries it on loading; a test holds this list to what it finds).
APART = ("falcon", "gpt_oss", "lfm2", "qwen3_next")
_MOST_LAYERS = 10_000
_CENTRED = ("falcon", "gpt2", "gpt_neox", "nemotron", "phi", "starcoder2")  # norms with a bias beside the gain
# What a layer keeps of a token for the backward pass, in numbers, as multiples of E, Q, K, F (of the experts that it is
# given to) and heads: fitted to what autograd saves of models of several widths (transformers 5.23, float32, SDPA), and
# held by a test on other widths. Where Q is always E the two share it.
_KEPT: Mapping[str, tuple[float, float, float, float, float]] = {
    "cohere2": (3.46, 3.46, 1.11, 4.06, 4.63),
    "ernie4_5": (6, 2, 2, 4, 1.2),
    "exaone4": (5.45, 5.45, 3.14, 4.07, 6.34),
    "falcon": (2.36, 2.36, 2.36, 2.12, 6.77),
    "gemma3_text": (9.89, 5.02, 3.15, 4.07, 6.11),
    "glm4": (10, 3, 2, 4, 1.4),
    "gpt2": (2.67, 2.67, 2.67, 5, 1.34),
    "gpt_neox": (3.33, 3.33, 3.33, 2, 1.34),
    "gpt_oss": (9.92, 4, 0.1, 7, 5.5),
    "granite": (4, 4, 2, 4, 1.2),
    "lfm2": (5.5, 5.5, 2, 4, 1.5),
    "mixtral": (5.97, 5.97, 2.1, 4, 4),
    "nemotron": (4, 3, 2, 2, 1.4),
    "olmo2": (5, 5, 4, 4, 1.4),
    "olmo3": (5.46, 5.46, 3.12, 4.07, 4.95),
    "phi": (2.5, 2.5, 2, 5, 1.2),
    "phi3": (5, 5, 3, 4, 1.2),
    "qwen3": (6, 4, 4, 4, 2.8),
    "qwen3_moe": (9.92, 4, 4.1, 4, 5.2),
    "qwen3_next": (7.83, 5, 5.69, 4.67, 106),
    "seed_oss": (6, 2, 2, 4, 1.2),
    "starcoder2": (3, 3, 2, 2, 1.4),
}
_SCORES = ("gpt_oss",)  # whose attention keeps its matrix of scores: a number a head and a token of the row


@dataclass(frozen=True, kw_only=True)
class FamilySizes(Sizes):
    """Sizes of a model of another family. `counted` weights in all, `used` of those in layers in the products of one
    token, `largest` in the layer with most; `ends` rows and columns that adapters stand beside."""

    counted: int
    used: int
    largest: int
    ends: int

    def kept_of_a_token(self, context: int) -> float:
        """Numbers that a layer keeps of a token for the backward pass, in rows of `context` tokens; see `_KEPT`."""
        kept, of_heads = _KEPT[self.family], self.heads * self.width_of_head
        widths = (self.width, of_heads, self.kv_heads * self.width_of_head, self.ffn_width, self.heads)
        scores = self.heads * context if self.family in _SCORES else 0
        return sum(part * width for part, width in zip(kept, widths, strict=True)) + scores

    @property
    def parameters(self) -> int:
        return self.counted

    @property
    def of_layer(self) -> int:
        return self.largest

    @property
    def used_by_a_token(self) -> int:
        return self.used

    @property
    def adapter_ends(self) -> int:
        return self.ends

    @property
    def own_kernels(self) -> bool:
        return False

    @property
    def packs(self) -> bool:
        return self.family not in APART


def sizes_of_model(config: Any) -> Sizes | None:
    """Sizes of a model by its config.json, of whatever family; None where they cannot be told."""
    if isinstance(config, dict) and config.get("model_type") in COUNTED:
        return sizes_of_family(config)
    return sizes_of_config(config)


def sizes_of_family(config: Config) -> FamilySizes | None:
    """Sizes of a model of a family that is listed here; None for another, or where a size is missing."""
    family = config.get("model_type")
    if not isinstance(family, str) or family not in LAYERS:
        return None
    w, vocabulary = widths_of(config, family), whole(config, "vocab_size")
    if not (w.E and w.F and w.D and w.layers and vocabulary and w.layers <= _MOST_LAYERS):
        return None
    tied = config.get("tie_word_embeddings")
    tied = family in TIED_BY_DEFAULT if tied is None else tied is True
    layers = [LAYERS[family](config, w, index) for index in range(w.layers)]
    of_layers = [sum(matrix.weights for matrix in matrices) + rest for matrices, rest in layers]
    matrices = [matrix for each, _ in layers for matrix in each]
    beside = vocabulary * w.E * (1 if tied else 2) + w.E * (2 if family in _CENTRED else 1)
    beside += whole(config, "n_positions") * w.E if family == "gpt2" else 0
    beside += vocabulary if family == "phi" else 0  # the bias of its output
    experts = any(matrix.copies > 1 for matrix in matrices)
    return FamilySizes(
        family=family,
        layers=w.layers,
        width=w.E,
        heads=w.heads,
        kv_heads=max(1, w.K // w.D),
        ffn_width=inner_of_a_token(config, w, family),
        vocabulary=vocabulary,
        head_width=w.D,
        tied=tied,
        counted=beside + sum(of_layers),
        used=sum(m.columns * m.rows * m.used for m in matrices),
        largest=max(of_layers),
        ends=sum(m.columns + m.rows for m in matrices if m.adapted),
        experts=experts,
    )
