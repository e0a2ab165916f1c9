"""A decoder of a family that transformers computes, as a `CausalLM`.

The module is transformers' own, held as its children are, so that names of weights are those of the family. Around it
stands what the rest of Retain asks for: `hidden` and an output matrix whose product is the logits, segments of a row
that do not see each other, weights in the form of files, a place for adapters, the list of layers.

Scaled logits (Cohere's `logit_scale`, Granite's `logits_scaling`) and a bias of the output (Phi) are put into what
`hidden` returns and what `lm_head.weight` is, so that nobody else needs to know of them. Whether that is all is checked
when a model is loaded: random tokens must give the logits that transformers gives, or the family is refused.

Packing: rows of several conversations are computed at once where transformers keeps them apart by positions that begin
again. Not every family does (falcon, gpt_oss and qwen3_next leak from one to the next), so that a loaded model is tried
on random tokens: two rows packed against each alone. Where they differ, segments are computed one a row instead, padded
at the right, which nothing before can see: exact, and a little slower.

Shapes: B batch, T tokens, S segments of all rows, L tokens of the longest, E width, V vocabulary.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from model.errors import BadCheckpoint, BadConfig, NonFinite, RetainModelError, UnsupportedArchitecture
from model.families.config import FamilyConfig, settings
from model.nn.causal_lm import CausalLM
from model.nn.losses import SoftTargets, fused_token_nats
from model.nn.rope import segment_positions

TRIED_TOKENS = 12  # of each of the two rows of the self-check
# What transformers says of tensors or sizes that it cannot compute with.
FAULTS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)
MOST_MADE, SLACK_WEIGHTS = 4, 1 << 25  # a folder that lacks weights is told which: that much more may be made meanwhile
TOLERANCE = 1e-4  # of the largest logit: float32 sums in another order differ by 1e-6


class _Head:
    """The output matrix as the rest of Retain sees it: a weight, and a product with it."""

    def __init__(self, weight_VE: Tensor) -> None:
        self.weight = weight_VE

    def __call__(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden, self.weight)


class FamilyModel(CausalLM):
    """A model of a family. `FamilyModel(config)` has the random weights that transformers gives it."""

    def __init__(self, config: FamilyConfig, *, inner: Any = None) -> None:
        super().__init__()
        self.config: FamilyConfig = config
        made = inner if inner is not None else class_of(config)(inner_config(config))
        object.__setattr__(self, "_inner", made)  # its children are ours too: it is no child itself
        for name, child in made.named_children():
            self._modules[name] = child
        self.packs = False  # until tried
        self._recompute = False

    @property
    def inner(self) -> Any:
        """The module of transformers."""
        return self.__dict__["_inner"]

    @property
    def lm_head(self) -> _Head:
        """The output matrix [V, E]; with a bias (Phi) [V, E + 1], whose last column `hidden` multiplies by 1."""
        head = self.inner.get_output_embeddings()
        if head.bias is None:
            return _Head(head.weight)
        return _Head(torch.cat([head.weight, head.bias.unsqueeze(1)], dim=1))

    @property
    def activation_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass."""
        return self._recompute

    @activation_checkpointing.setter
    def activation_checkpointing(self, wanted: bool) -> None:
        self._recompute = wanted
        if wanted:
            self.inner.activation_checkpointing_enable({"use_reentrant": False})
        elif self.inner.is_activation_checkpointing:
            self.inner.activation_checkpointing_disable()

    @property
    def sharded_layers(self) -> tuple[nn.Module, ...]:
        """The decoder's layers, in order. Raises UnsupportedArchitecture where there is no such list."""
        for module in self.inner.base_model.modules():
            if isinstance(module, nn.ModuleList) and len(module) == self.config.layers:
                return tuple(module)
        raise UnsupportedArchitecture(self.config.model_type, "no list of its layers", "a decoder of equal layers")

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """The last names of all matrices of the layers, routers of experts aside; experts that lie together in one
        tensor are no matrices, and get no adapters."""
        found: dict[str, None] = {}
        for layer in self.sharded_layers:
            for name, module in layer.named_modules():
                last = name.rpartition(".")[2]
                if _is_matrix(module) and last not in ("gate", "router", "shared_expert_gate"):
                    found[last] = None
        return tuple(found)

    def blank(self) -> "FamilyModel":
        """Another of the same sizes."""
        other = FamilyModel(self.config)
        other.packs = self.packs
        return other

    def new_cache(self) -> "FamilyCache":
        """An empty store of keys and values, for generation."""
        return FamilyCache(self.inner.config)

    def hidden(self, tokens_BT: Tensor, *, segments_BT: Tensor | None = None, cache: Any = None) -> Tensor:
        """See `CausalLM.hidden`; [B, T, E], or [B, T, E + 1] where the output has a bias. Raises BadConfig for more
        tokens than the context."""
        past = cache.length if cache is not None else 0
        if past + tokens_BT.shape[1] > self.config.context:
            got = f"{past + tokens_BT.shape[1]} tokens in a row"
            raise BadConfig("tokens", got, f"at most the model's context, {self.config.context}")
        if segments_BT is None:
            return self._finished(self._computed(tokens_BT, None, cache))
        if self.packs:
            return self._finished(self._computed(tokens_BT, segment_positions(segments_BT), cache))
        return self._finished(self._apart(tokens_BT, segments_BT))

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        targets_BT: Tensor | None = None,
        soft: SoftTargets | None = None,
        cache: Any = None,
    ) -> Any:
        """See `CausalLM.forward`: logits [B, T, V], or with targets (sum of nats, nats [B, T])."""
        hidden_BTE = self.hidden(tokens_BT, segments_BT=segments_BT, cache=cache)
        head = self.lm_head
        return head(hidden_BTE) if targets_BT is None else fused_token_nats(hidden_BTE, head.weight, targets_BT, soft)

    def _computed(self, tokens_BT: Tensor, positions_BT: Tensor | None, cache: Any) -> Tensor:
        store = cache.store if cache is not None else None
        said = self.inner.base_model(
            input_ids=tokens_BT, position_ids=positions_BT, past_key_values=store, use_cache=store is not None
        )
        return cast(Tensor, said.last_hidden_state)

    def _apart(self, tokens_BT: Tensor, segments_BT: Tensor) -> Tensor:
        """Each segment in a row of its own; what is returned stands where the tokens stood."""
        T = tokens_BT.shape[1]
        starts_BT = segment_positions(segments_BT) == 0
        rows = [(row, start) for row, start in starts_BT.nonzero().tolist()]
        ends = [nxt[1] if nxt[0] == row else T for (row, _), nxt in zip(rows, [*rows[1:], (-1, 0)], strict=True)]
        longest = max(end - start for (_, start), end in zip(rows, ends, strict=True))
        tokens_SL = tokens_BT.new_zeros(len(rows), longest)
        for number, ((row, start), end) in enumerate(zip(rows, ends, strict=True)):
            tokens_SL[number, : end - start] = tokens_BT[row, start:end]
        found_SLE = self._computed(tokens_SL, None, None)
        pieces = [found_SLE[n, : end - start] for n, ((_, start), end) in enumerate(zip(rows, ends, strict=True))]
        return torch.cat(pieces).view(*tokens_BT.shape, -1)

    def _finished(self, hidden_BTE: Tensor) -> Tensor:
        """With the family's factor on the logits, and a 1 for the output's bias."""
        inner = self.inner.config
        scale = getattr(inner, "logit_scale", None)
        if scale is None:
            scale = 1.0 / getattr(inner, "logits_scaling", 1.0)
        if scale != 1.0:
            hidden_BTE = hidden_BTE * scale
        if self.inner.get_output_embeddings().bias is None:
            return hidden_BTE
        return torch.cat([hidden_BTE, torch.ones_like(hidden_BTE[..., :1])], dim=-1)

    @torch.no_grad()
    def check(self, where: str) -> None:
        """Try the model on random tokens: are its logits those of transformers, and do packed rows stay apart? Sets
        `packs`. Raises UnsupportedArchitecture for other logits, NonFinite for what is no number; `where` names it."""
        was_training = self.training
        self.eval()
        try:
            length = max(1, min(TRIED_TOKENS, self.config.context // 2))
            generator = torch.Generator().manual_seed(0)
            tokens_BT = torch.randint(self.config.vocab_size, (2, length), generator=generator)
            tokens_BT = tokens_BT.to(next(self.parameters()).device)
            theirs_BTV = self.inner(input_ids=tokens_BT, use_cache=False).logits
            ours_BTV = self(tokens_BT)
            if not bool(torch.isfinite(theirs_BTV).all()):
                raise NonFinite(where, "logits of random tokens that are no numbers", "finite logits")
            allowed = TOLERANCE * max(1.0, float(theirs_BTV.abs().max()))
            if float((ours_BTV - theirs_BTV).abs().max()) > allowed:
                got = f"{self.config.model_type} whose logits are more than a product with the output matrix"
                raise UnsupportedArchitecture(where, got, "logits = hidden @ output matrix, scaled")
            packed_1TV = self._packed_logits(tokens_BT)
            self.packs = float((packed_1TV - theirs_BTV.flatten(0, 1)).abs().max()) <= allowed
        finally:
            self.train(was_training)

    def _packed_logits(self, tokens_BT: Tensor) -> Tensor:
        """Both rows in one, [T + T, V], however a leak may come about."""
        segments_1T = torch.arange(2, device=tokens_BT.device).repeat_interleave(tokens_BT.shape[1]).unsqueeze(0)
        self.packs = True
        try:
            return cast(Tensor, self(tokens_BT.reshape(1, -1), segments_BT=segments_1T)[0])
        finally:
            self.packs = False

    def file_state(self) -> dict[str, Tensor]:
        """Weights under the names and in the shapes that files of this family have, tied copies left out, sorted."""
        from transformers.core_model_loading import revert_weight_conversion

        tied = dict(self.inner.all_tied_weights_keys) if self.config.tied_embeddings else {}
        state = {name: tensor for name, tensor in self.state_dict().items() if name not in tied}
        state = revert_weight_conversion(self.inner, state)
        return {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}


class FamilyCache:
    """Keys and values, or whatever else a family remembers, of the tokens so far."""

    def __init__(self, config: Any) -> None:
        from transformers import DynamicCache

        self.store = DynamicCache(config=config)

    @property
    def length(self) -> int:
        """Tokens so far."""
        return int(self.store.get_seq_length())

    def select(self, rows: Tensor) -> None:
        """Keep these rows (indices [B]) only, in this order."""
        self.store.reorder_cache(cast(torch.LongTensor, rows))


def load(
    config: FamilyConfig,
    tensors: Mapping[str, Tensor],
    *,
    where: str,
    dtype: torch.dtype = torch.float32,
    notes: list[str] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> FamilyModel:
    """A model with the tensors of its files, under their names there; tried (`FamilyModel.check`). `where` names it in
    errors. Tensors of any shape, by name.

    Raises BadCheckpoint for missing, unexpected or misshapen tensors, BadConfig for sizes that do not fit each other,
    and what `check` raises.
    """
    if config.layers > len(tensors):
        allowed = f"at most one for each of the {len(tensors)} tensors"
        raise BadCheckpoint(f"{where}: config.json", f"{config.layers} layers", allowed)
    wanted = inner_config(config, notes)
    beat()
    with _named(config, where):
        _check_sizes(config, wanted, tensors, where)
        inner, told = class_of(config).from_pretrained(
            None,
            config=wanted,
            state_dict=dict(tensors),
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        found = sorted(one if isinstance(one, str) else " ".join(map(str, one)) for one in told.get(what) or ())
        if found:
            got = f"{len(found)} {what.removesuffix('_keys').replace('_', ' ')}"
            raise BadCheckpoint(f"{where}: {found[0]}", got, "every tensor that config.json implies, and no other")
    beat()
    ends = inner.get_output_embeddings().weight, inner.get_input_embeddings().weight
    if config.tied_embeddings and ends[0] is not ends[1]:
        got = "an output embedding that differs from the input's"
        raise BadCheckpoint(where, got, "one of both, as tie_word_embeddings in config.json says")
    model = FamilyModel(config, inner=inner.requires_grad_(True))
    with _named(config, where):  # more experts of a token than there are, and the like
        model.check(where)
    return model


@contextmanager
def _named(config: FamilyConfig, where: str) -> Iterator[None]:
    """What transformers cannot compute with inside the block becomes BadCheckpoint."""
    try:
        yield
    except RetainModelError:
        raise
    except FAULTS as error:
        said = f"the tensors of {config.model_type}, as config.json has it, and sizes that fit each other"
        raise BadCheckpoint(where, str(error)[:300], said) from error


def _check_sizes(config: FamilyConfig, wanted: Any, tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise BadCheckpoint where config.json asks for far more memory than the files could fill: transformers makes all
    that is missing or of another shape, before anybody can say which that is."""
    held = sum(tensor.numel() for tensor in tensors.values())
    with torch.device("meta"):
        made = class_of(config)(wanted)
    asked = sum(one.numel() for one in (*made.parameters(), *made.buffers()))
    if asked > MOST_MADE * held + SLACK_WEIGHTS:
        raise BadCheckpoint(
            f"{where}: config.json", f"sizes of {asked:,} weights", f"those of the {held:,} in its files"
        )


def inner_config(config: FamilyConfig, notes: list[str] | None = None) -> Any:
    """The config of transformers' own class. Raises BadConfig for sizes that do not fit each other."""
    kind = transformers_module().models.auto.configuration_auto.CONFIG_MAPPING[config.model_type]
    declared = {name for one in kind.__mro__ for name in getattr(one, "__annotations__", ()) if one.__module__ != _BASE}
    declared |= {*kind.attribute_map, *kind.attribute_map.values()}  # a size under either name
    try:
        return kind(**settings(config, declared, notes))
    except Exception as error:
        raise BadConfig(f"config.json of {config.model_type}", str(error)[:300], "sizes that fit each other") from error


_BASE = "transformers.configuration_utils"


def class_of(config: FamilyConfig) -> Any:
    """The class of transformers that computes a family."""
    return getattr(transformers_module(), config.architecture)


def transformers_module() -> Any:
    """transformers, told before it is imported to fetch no kernels."""
    os.environ["USE_HUB_KERNELS"] = "NO"
    module = importlib.import_module("transformers")
    importlib.import_module("transformers.models.auto.configuration_auto")
    module.utils.logging.disable_progress_bar()
    module.utils.logging.set_verbosity_error()  # what does not fit is refused here, by name
    return module


def _is_matrix(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
