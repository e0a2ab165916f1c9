"""The layers of other families (model/families) as their matrices, from a config.json: pure arithmetic.

Letters: E width, F inner width, Q and K widths of all queries and of all keys, D of one head.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.orchestrator.domain.spec.model_size import whole

Config = Mapping[str, Any]
# Of transformers' config classes, for a config.json that leaves the key out.
_HEAD_WIDTH = {
    "ernie4_5": 128, "gemma3_text": 256, "glm4": 128, "gpt_oss": 64, "qwen3": 128, "qwen3_next": 256, "seed_oss": 128,
}  # fmt: skip
_BIASED = ("glm4", "gpt_neox", "gpt_oss", "seed_oss")  # attention_bias where it is left out
_LARGEST_FACTOR = 1_000


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One of a layer: `copies` of `rows` x `columns`, each with a bias or none, of which a token passes `used`."""

    columns: int
    rows: int
    bias: bool = False
    copies: int = 1
    used: int = 1
    adapted: bool = True

    @property
    def weights(self) -> int:
        """Of all copies."""
        return self.copies * (self.columns * self.rows + (self.rows if self.bias else 0))


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Numbers of a config, under whatever name."""

    E: int
    F: int
    D: int
    Q: int
    K: int
    heads: int
    layers: int


Layer = tuple[list[Matrix], int]


def widths_of(config: Config, family: str) -> Widths:
    width = whole(config, "hidden_size") or whole(config, "n_embd")
    heads = whole(config, "num_attention_heads") or whole(config, "n_head")
    head = whole(config, "head_dim") or _HEAD_WIDTH.get(family, 0) or (width // heads if heads else 0)
    if family in ("falcon", "gpt2", "gpt_neox", "phi", "phi3", "olmo2", "olmo3", "lfm2", "starcoder2", "exaone4"):
        head = width // heads if heads else 0
    keys = whole(config, "num_key_value_heads") or heads
    inner = whole(config, "intermediate_size") or whole(config, "n_inner") or whole(config, "ffn_hidden_size")
    if not inner and family in ("gpt2", "falcon"):
        inner = 4 * width
    layers = whole(config, "num_hidden_layers") or whole(config, "n_layer")
    return Widths(E=width, F=inner, D=head, Q=heads * head, K=keys * head, heads=heads, layers=layers)


def inner_of_a_token(config: Config, w: Widths, family: str) -> int:
    """Inner width that one token passes, of all experts that it is given to."""
    if family in ("mixtral", "gpt_oss"):
        return w.F * (whole(config, "num_experts_per_tok") or 2)
    if family in ("qwen3_moe", "qwen3_next"):
        of_shared = whole(config, "shared_expert_intermediate_size") if family == "qwen3_next" else 0
        return whole(config, "moe_intermediate_size") * (whole(config, "num_experts_per_tok") or 8) + of_shared
    return _lfm2_inner(config, w) if family == "lfm2" else w.F


# --- layers, each (its matrices, weights that are none: gains of norms and the like)


def _says(config: Config, key: str, *, otherwise: bool = False) -> bool:
    value = config.get(key)
    return otherwise if value is None else bool(value)


def _list(config: Config, key: str) -> list[Any]:
    value = config.get(key)
    return value if isinstance(value, list) else []


def _attention(w: Widths, *, bias: bool, out_bias: bool = False) -> list[Matrix]:
    sides = [Matrix(columns=w.E, rows=rows, bias=bias) for rows in (w.Q, w.K, w.K)]
    return [*sides, Matrix(columns=w.Q, rows=w.E, bias=out_bias)]


def _gated(width: int, inner: int, *, bias: bool = False) -> list[Matrix]:
    return [Matrix(columns=width, rows=inner, bias=bias)] * 2 + [Matrix(columns=inner, rows=width, bias=bias)]


def _usual(*, norms: int, head_norms: str = "") -> Callable[[Config, Widths, int], Layer]:
    """Queries, keys, values and a gated feed-forward. `head_norms`: of queries and keys, of each "head" or of "all"."""

    def layer(config: Config, w: Widths, index: int) -> Layer:
        family = config["model_type"]
        every = _says(config, "use_bias")
        bias = every or _says(config, "attention_bias", otherwise=family in _BIASED)
        out = every or (bias and family != "seed_oss" and family != "glm4") or _says(config, "attention_out_bias")
        gains = {"head": 2 * w.D, "all": w.Q + w.K, "": 0}[head_norms]
        mlp = _gated(w.E, w.F, bias=every or _says(config, "mlp_bias"))
        return [*_attention(w, bias=bias, out_bias=out), *mlp], norms * w.E + gains

    return layer


def _joined(*, norms: int, joined_attention: bool) -> Callable[[Config, Widths, int], Layer]:
    """Gate and up in one matrix (GLM 4, Phi 3), queries, keys and values too (Phi 3)."""

    def layer(config: Config, w: Widths, index: int) -> Layer:
        bias = _says(config, "attention_bias", otherwise=config["model_type"] in _BIASED)
        attention = _attention(w, bias=bias)
        if joined_attention:
            attention = [Matrix(columns=w.E, rows=w.Q + 2 * w.K), Matrix(columns=w.Q, rows=w.E)]
        return [*attention, Matrix(columns=w.E, rows=2 * w.F), Matrix(columns=w.F, rows=w.E)], norms * w.E

    return layer


def _plain(*, norms: int, bias_key: str = "", biased: bool = True) -> Callable[[Config, Widths, int], Layer]:
    """Attention and a feed-forward of two matrices, norms with gain and bias."""

    def layer(config: Config, w: Widths, index: int) -> Layer:
        bias = _says(config, bias_key, otherwise=biased) if bias_key else biased
        mlp = _says(config, "mlp_bias", otherwise=False) if config["model_type"] == "nemotron" else bias
        gains = 4 * w.D if _says(config, "qk_layernorm") and config["model_type"] == "phi" else 0
        ends = [Matrix(columns=w.E, rows=w.F, bias=mlp), Matrix(columns=w.F, rows=w.E, bias=mlp)]
        return [*_attention(w, bias=bias, out_bias=bias), *ends], 2 * norms * w.E + gains

    return layer


def _gpt2(config: Config, w: Widths, index: int) -> Layer:
    ends = ((w.E, 3 * w.E), (w.E, w.E), (w.E, w.F), (w.F, w.E))
    return [Matrix(columns=columns, rows=rows, bias=True) for columns, rows in ends], 4 * w.E


def _neox(config: Config, w: Widths, index: int) -> Layer:
    bias = _says(config, "attention_bias", otherwise=True)
    attention = [Matrix(columns=w.E, rows=3 * w.E, bias=bias), Matrix(columns=w.E, rows=w.E, bias=bias)]
    return [*attention, *(Matrix(columns=a, rows=b, bias=True) for a, b in ((w.E, w.F), (w.F, w.E)))], 4 * w.E


def _falcon(config: Config, w: Widths, index: int) -> Layer:
    bias, newer = _says(config, "bias"), _says(config, "new_decoder_architecture")
    if newer:
        keys = (whole(config, "num_kv_heads") or w.heads) * w.D
    else:
        keys = w.D if _says(config, "multi_query", otherwise=True) else w.E
    ends = ((w.E, w.E + 2 * keys), (w.E, w.E), (w.E, w.F), (w.F, w.E))
    parallel = _says(config, "parallel_attn", otherwise=True)
    norms = (whole(config, "num_ln_in_parallel_attn") or 2) if newer else (1 if parallel else 2)
    return [Matrix(columns=columns, rows=rows, bias=bias) for columns, rows in ends], 2 * norms * w.E


def _experts(config: Config, w: Widths, *, count: int, used: int, inner: int, bias: bool = False) -> list[Matrix]:
    """The router and its experts, whose matrices lie in one tensor: no adapters beside either."""
    router = Matrix(columns=w.E, rows=count, bias=bias, adapted=False)
    up = Matrix(columns=w.E, rows=2 * inner, bias=bias, copies=count, used=used, adapted=False)
    return [router, up, Matrix(columns=inner, rows=w.E, bias=bias, copies=count, used=used, adapted=False)]


def _mixtral(config: Config, w: Widths, index: int) -> Layer:
    used, count = whole(config, "num_experts_per_tok") or 2, whole(config, "num_local_experts") or 8
    return [*_attention(w, bias=False), *_experts(config, w, count=count, used=used, inner=w.F)], 2 * w.E


def _gpt_oss(config: Config, w: Widths, index: int) -> Layer:
    used, count = whole(config, "num_experts_per_tok") or 4, whole(config, "num_local_experts") or 128
    bias = _says(config, "attention_bias", otherwise=True)
    experts = _experts(config, w, count=count, used=used, inner=w.F, bias=True)
    return [*_attention(w, bias=bias, out_bias=bias), *experts], 2 * w.E + w.heads


def _of_experts(config: Config, w: Widths, index: int) -> list[Matrix]:
    """The feed-forward of a layer of Qwen's mixtures: experts, or a plain one where the config says so."""
    dense = _list(config, "mlp_only_layers")
    step = whole(config, "decoder_sparse_step") or 1
    if index in dense or (index + 1) % step:
        return _gated(w.E, w.F)
    used, count = whole(config, "num_experts_per_tok") or 8, whole(config, "num_experts") or 128
    return _experts(config, w, count=count, used=used, inner=whole(config, "moe_intermediate_size"))


def _qwen3_moe(config: Config, w: Widths, index: int) -> Layer:
    bias = _says(config, "attention_bias")
    return [*_attention(w, bias=bias, out_bias=bias), *_of_experts(config, w, index)], 2 * w.E + 2 * w.D


def _qwen3_next(config: Config, w: Widths, index: int) -> Layer:
    feed = _of_experts(config, w, index)
    if any(not matrix.adapted for matrix in feed):
        feed += _gated(w.E, whole(config, "shared_expert_intermediate_size"))
        feed += [Matrix(columns=w.E, rows=1, adapted=False)]
    kinds = _list(config, "layer_types")
    every = whole(config, "full_attention_interval") or 4
    full = kinds[index] == "full_attention" if index < len(kinds) else (index + 1) % every == 0
    if full:
        sides = [Matrix(columns=w.E, rows=rows) for rows in (2 * w.Q, w.K, w.K)]
        return [*sides, Matrix(columns=w.Q, rows=w.E), *feed], 2 * w.E + 2 * w.D
    heads, head = whole(config, "linear_num_value_heads"), whole(config, "linear_value_head_dim")
    keys, values = whole(config, "linear_num_key_heads") * whole(config, "linear_key_head_dim"), heads * head
    both = [Matrix(columns=w.E, rows=2 * keys + 2 * values), Matrix(columns=w.E, rows=2 * heads)]
    kernel = (2 * keys + values) * (whole(config, "linear_conv_kernel_dim") or 4)
    return [*both, Matrix(columns=values, rows=w.E), *feed], 2 * w.E + kernel + 2 * heads + head


def _lfm2_inner(config: Config, w: Widths) -> int:
    if not _says(config, "block_auto_adjust_ff_dim", otherwise=True):
        return w.F
    factor = config.get("block_ffn_dim_multiplier")
    taken = factor if isinstance(factor, int | float) and 0 < factor < _LARGEST_FACTOR else 1.0
    inner = int(taken * int(2 * w.F / 3))
    multiple = whole(config, "block_multiple_of") or 256
    return multiple * -(-inner // multiple)


def _lfm2(config: Config, w: Widths, index: int) -> Layer:
    kinds, attends = _list(config, "layer_types"), _list(config, "full_attn_idxs")
    full = kinds[index] == "full_attention" if index < len(kinds) else index in attends or not attends
    feed = _gated(w.E, _lfm2_inner(config, w))
    if full:
        return [*_attention(w, bias=False), *feed], 2 * w.E + 2 * w.D
    bias, kernel = _says(config, "conv_bias"), whole(config, "conv_L_cache") or 3
    ends = [Matrix(columns=w.E, rows=3 * w.E, bias=bias), Matrix(columns=w.E, rows=w.E, bias=bias)]
    return [*ends, *feed], 2 * w.E + w.E * kernel + (w.E if bias else 0)


LAYERS: Mapping[str, Callable[[Config, Widths, int], Layer]] = {
    "cohere2": _usual(norms=1),
    "ernie4_5": _usual(norms=2),
    "exaone4": _usual(norms=2, head_norms="head"),
    "falcon": _falcon,
    "gemma3_text": _usual(norms=4, head_norms="head"),
    "glm4": _joined(norms=4, joined_attention=False),
    "gpt2": _gpt2,
    "gpt_neox": _neox,
    "gpt_oss": _gpt_oss,
    "granite": _usual(norms=2),
    "lfm2": _lfm2,
    "mixtral": _mixtral,
    "nemotron": _plain(norms=2, bias_key="attention_bias", biased=False),
    "olmo2": _usual(norms=2, head_norms="all"),
    "olmo3": _usual(norms=2, head_norms="all"),
    "phi": _plain(norms=1),
    "phi3": _joined(norms=2, joined_attention=True),
    "qwen3": _usual(norms=2, head_norms="head"),
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
    "seed_oss": _usual(norms=2),
    "starcoder2": _plain(norms=2, bias_key="use_bias"),
}
