"""A Llama-architecture decoder: what the three stages train.

Tokens are embedded, pass through equal layers (attention, then a gated feed-forward block, each behind a norm and added
to the residual stream), and come out as one score per word of the vocabulary: the logits of the next token. RMSNorm
(Zhang and Sennrich 2019, arXiv:1910.07467), rotary positions, SwiGLU and grouped-query attention as in Llama 2 and 3.
Names of the weights are those of Hugging Face's Llama, so that a checkpoint needs no translation.

Shapes: B batch, T tokens, S tokens to look back on (S = T without a cache), E width, H query heads, K key and value
heads, D size of a head, V vocabulary.
"""

from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.errors import BadConfig
from model.nn import cpu_kernels
from model.nn.causal_lm import CausalLM
from model.nn.config import ModelConfig
from model.nn.losses import SoftTargets, fused_token_nats
from model.nn.rope import RotaryTable, rotate, segment_positions

ALL_MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # of a layer


class KeyValueStore(Protocol):
    """Keys and values of earlier tokens (generation only; see model/evaluation/generate.py)."""

    length: int

    def extend(self, layer: int, keys_BKTD: Tensor, values_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new tokens of one layer; return all [B, K, S, D]."""


class RMSNorm(nn.Module):
    """x / rms(x) * weight: keeps the direction, sets the size. Computed in float32 whatever the weights are."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_BTE: Tensor) -> Tensor:
        return F.rms_norm(x_BTE, (x_BTE.shape[-1],), self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query self-attention with rotary positions."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = config.heads, config.kv_heads, config.head_size
        self.layer = layer
        query_width, kv_width = config.heads * config.head_size, config.kv_heads * config.head_size
        self.q_proj = nn.Linear(config.width, query_width, bias=config.attention_bias)
        self.k_proj = nn.Linear(config.width, kv_width, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.width, kv_width, bias=config.attention_bias)
        self.o_proj = nn.Linear(query_width, config.width, bias=config.output_bias)

    def forward(
        self, x_BTE: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueStore | None
    ) -> Tensor:
        B, T, _ = x_BTE.shape
        queries_BHTD = self.q_proj(x_BTE).view(B, T, self.heads, self.head_size).transpose(1, 2)
        keys_BKTD = self.k_proj(x_BTE).view(B, T, self.kv_heads, self.head_size).transpose(1, 2)
        values_BKTD = self.v_proj(x_BTE).view(B, T, self.kv_heads, self.head_size).transpose(1, 2)
        queries_BHTD, keys_BKTD = rotate(queries_BHTD, *rope), rotate(keys_BKTD, *rope)
        if cache is not None:
            keys_BKTD, values_BKTD = cache.extend(self.layer, keys_BKTD, values_BKTD)
        return self.mix(queries_BHTD, keys_BKTD, values_BKTD, mask)

    def mix(self, queries_BHTD: Tensor, keys_BKTD: Tensor, values_BKTD: Tensor, mask: Tensor | None) -> Tensor:
        """Attention's weighted sums, through the output matrix."""
        B, _, T, _ = queries_BHTD.shape
        if T == 1 and mask is None:
            # A new token sees all: the heads of a group stand where its tokens would, so that keys need no copies.
            grouped_BKGD = queries_BHTD.view(B, self.kv_heads, -1, self.head_size)
            mixed_B1E = F.scaled_dot_product_attention(grouped_BKGD, keys_BKTD, values_BKTD).reshape(B, 1, -1)
            output: Tensor = self.o_proj(mixed_B1E)
            return output
        mixed_BHTD = F.scaled_dot_product_attention(
            queries_BHTD,
            keys_BKTD,
            values_BKTD,
            attn_mask=mask,
            is_causal=mask is None and T > 1,
            enable_gqa=self.kv_heads != self.heads,
        )
        result: Tensor = self.o_proj(mixed_BHTD.transpose(1, 2).reshape(B, T, self.heads * self.head_size))
        return result


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.ffn_width, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.width, config.ffn_width, bias=config.mlp_bias)
        self.down_proj = nn.Linear(config.ffn_width, config.width, bias=config.mlp_bias)

    def forward(self, x_BTE: Tensor) -> Tensor:
        result: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTE)) * self.up_proj(x_BTE))
        return result


class Layer(nn.Module):
    """One layer: attention and feed-forward, each behind its norm and added to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self, x_BTE: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueStore | None
    ) -> Tensor:
        x_BTE = x_BTE + self._attended(x_BTE, rope, mask, cache)
        norm, mlp = self.post_attention_layernorm, self.mlp
        matrices = (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        if mlp.down_proj.bias is None and cpu_kernels.usable(x_BTE, norm, *matrices):
            return cpu_kernels.feed_forward(x_BTE, norm.weight, norm.eps, *(matrix.weight for matrix in matrices))
        result: Tensor = x_BTE + mlp(norm(x_BTE))
        return result

    def _attended(
        self, x_BTE: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueStore | None
    ) -> Tensor:
        norm, attention = self.input_layernorm, self.self_attn
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        if cache is None and cpu_kernels.usable(x_BTE, norm, *projections):
            parts = cpu_kernels.queries_keys_values(
                x_BTE, norm.weight, norm.eps, rope, attention.head_size, *projections
            )
            return attention.mix(*parts, mask)
        result: Tensor = attention(norm(x_BTE), rope, mask, cache)
        return result


class Decoder(nn.Module):
    """Embedding, layers and final norm (Hugging Face's names put these under `model.`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)


class Llama(CausalLM):
    """The whole model: `Llama(config)(tokens_BT) -> logits_BTV`.

    activation_checkpointing: set True to keep only each layer's input during training and compute the rest again in the
    backward pass (Chen et al. 2016, arXiv:1604.06174): about a third more time for a fraction of the memory.
    """

    def __init__(self, config: ModelConfig, *, seed: int | None = None) -> None:
        super().__init__()
        self.config: ModelConfig = config
        self.activation_checkpointing = False
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._rope = RotaryTable(config)
        if self.lm_head.weight.device.type != "meta":
            self.initialise(seed)

    @torch.no_grad()
    def initialise(self, seed: int | None = None) -> None:
        """Fresh weights: normal(0, 0.02) and zero biases, as BERT, GPT-2 and Hugging Face's Llama have it; the two
        matrices of each layer that write to the residual stream scaled by 1 / sqrt(2 * layers), so that its variance
        does not grow with depth (GPT-2, Radford et al. 2019, section 2.3). `seed` makes it reproducible and leaves the
        global generator alone."""
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        residual_std = self.config.init_std / (2 * self.config.layers) ** 0.5
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            elif name.endswith(".bias"):
                parameter.zero_()
            else:
                std = residual_std if name.endswith(("o_proj.weight", "down_proj.weight")) else self.config.init_std
                parameter.normal_(0.0, std, generator=generator)

    @property
    def sharded_layers(self) -> tuple[nn.Module, ...]:
        """The layers, in order."""
        return tuple(self.model.layers)

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """The seven matrices of a layer."""
        return ALL_MATRICES

    def blank(self) -> "Llama":
        """Another of the same sizes."""
        return Llama(self.config)

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        targets_BT: Tensor | None = None,
        soft: SoftTargets | None = None,
        cache: KeyValueStore | None = None,
    ) -> Any:
        """Logits of the next token at every position, [B, T, V]; or, with targets, their loss.

        segments_BT: ids of the conversations packed into a row (runs of equal ids): attention never crosses from one
        to another and positions start again in each, so that each gets the logits that it would get alone.
        targets_BT: the next tokens (NO_LOSS where none is one), with a teacher's word on them if there is one. Then
        the result is (sum of nats, nats of every token [B, T]) of `losses.fused_token_nats`: the way to train, since
        all logits are never held at once. It is part of the forward pass because wrappers (DDP, FSDP) know the
        weights only inside of it.
        Raises BadConfig when there are more tokens than the context.
        """
        hidden_BTE = self.hidden(tokens_BT, segments_BT=segments_BT, cache=cache)
        if targets_BT is None:
            return self.lm_head(hidden_BTE)
        return fused_token_nats(hidden_BTE, self.lm_head.weight, targets_BT, soft)

    def hidden(
        self, tokens_BT: Tensor, *, segments_BT: Tensor | None = None, cache: KeyValueStore | None = None
    ) -> Tensor:
        """What the output embedding sees: the residual stream behind the final norm, [B, T, E]. Raises BadConfig."""
        T, past = tokens_BT.shape[1], cache.length if cache is not None else 0
        if past + T > self.config.context:
            raise BadConfig(
                "tokens", f"{past + T} tokens in a row", f"at most the model's context, {self.config.context}"
            )
        x_BTE = self.model.embed_tokens(tokens_BT)
        if segments_BT is None:
            rope = self._rope(slice(past, past + T), x_BTE.device, x_BTE.dtype)
        else:
            cos, sin = self._rope(segment_positions(segments_BT), x_BTE.device, x_BTE.dtype)
            rope = (cos.unsqueeze(1), sin.unsqueeze(1))
        masks = self._masks(T, past, segments_BT, x_BTE.device)
        for index, layer in enumerate(self.model.layers):
            mask = masks[self.config.window_of_layer(index)]
            if self.activation_checkpointing and self.training and torch.is_grad_enabled():
                x_BTE = checkpoint(layer, x_BTE, rope, mask, cache, use_reentrant=False)
            else:
                x_BTE = layer(x_BTE, rope, mask, cache)
        result: Tensor = self.model.norm(x_BTE)
        return result

    def _masks(
        self, T: int, past: int, segments_BT: Tensor | None, device: torch.device
    ) -> dict[int | None, Tensor | None]:
        """Mask (True: may look) for each kind of layer by its window; None where plain causal attention will do."""
        windows = {self.config.window_of_layer(layer) for layer in range(self.config.layers)}
        return {window: attention_mask(T, past, window, segments_BT, device) for window in windows}


def attention_mask(
    T: int, past: int, window: int | None, segments_BT: Tensor | None, device: torch.device
) -> Tensor | None:
    """Who may look at whom, bool [T, S] or [B, 1, T, S]; None when plain causal attention says the same.

    With one new token and no window everything before it may be seen, so no mask is needed either.
    """
    slides = window is not None and past + T > window
    if segments_BT is None and not slides and (past == 0 or T == 1):
        return None
    from_T1 = torch.arange(past, past + T, device=device).unsqueeze(1)
    to_S = torch.arange(past + T, device=device)
    mask_TS = to_S <= from_T1
    if slides:
        assert window is not None
        mask_TS &= to_S > from_T1 - window
    if segments_BT is None:
        return mask_TS
    return (mask_TS & (segments_BT.unsqueeze(2) == segments_BT.unsqueeze(1))).unsqueeze(1)
