"""What the training loop, the evaluator, generation and checkpoints need of a decoder: one small interface.

Two things stand behind it: our own Llama (`model/nn/llama.py`), the fast path, and any other decoder that transformers
computes (`model/families`).

Shapes: B batch, T tokens, E width of what the output matrix sees, V vocabulary.
"""

from typing import Any, Protocol

from torch import Tensor, nn

from model.nn.losses import SoftTargets


class DecoderConfig(Protocol):
    """What is asked of a model's sizes, whoever computes it. context: most tokens of one forward pass."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def tied_embeddings(self) -> bool: ...
    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_ids(self) -> tuple[int, ...]: ...
    @property
    def pad_id(self) -> int | None: ...


class CausalLM(nn.Module):
    """A decoder that predicts the next token: logits are `hidden(tokens) @ lm_head.weight.T`.

    config: the sizes, a DecoderConfig. activation_checkpointing: True keeps only each layer's input during training and
    computes the rest again. lm_head: what turns `hidden` into logits, with its matrix [V, E] as `weight`.
    """

    config: Any
    activation_checkpointing: bool
    lm_head: Any

    @property
    def sharded_layers(self) -> tuple[nn.Module, ...]:
        """The equal layers, in order: what is sharded, compiled and recomputed one by one."""
        raise NotImplementedError

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """Names (the last part) of the matrices that low-rank adapters stand beside."""
        raise NotImplementedError

    def blank(self) -> "CausalLM":
        """Another model of the same sizes on the CPU, whose weights are yet to be loaded."""
        raise NotImplementedError

    def file_state(self) -> dict[str, Tensor]:
        """Weights under the names and in the shapes that files have, sorted, a tied output left out."""
        raise NotImplementedError

    def new_cache(self) -> Any:
        """An empty store of what was computed of earlier tokens, for generation."""
        raise NotImplementedError

    def hidden(self, tokens_BT: Tensor, *, segments_BT: Tensor | None = None, cache: Any = None) -> Tensor:
        """What the output matrix sees, [B, T, E]. segments_BT: ids of the conversations packed into a row, none of
        which sees another."""
        raise NotImplementedError

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        targets_BT: Tensor | None = None,
        soft: SoftTargets | None = None,
        cache: Any = None,
    ) -> Any:
        """Logits [B, T, V]; or with targets (sum of nats, nats of every token [B, T])."""
        raise NotImplementedError

    def num_parameters(self) -> int:
        """Number of weights; a tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())
