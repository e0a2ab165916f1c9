"""Text from a model, token by token: the model's own prediction is sampled and fed back.

Each new token needs the keys and values of all tokens before it; they are kept (the KV cache), so that a step costs one
token and not the whole text. Temperature divides the logits: below 1 the likely becomes likelier, 0 always takes the
likeliest (greedy). top_k leaves only the k likeliest in the draw (Fan et al. 2018, arXiv:1805.04833).

`python -m model.cli.generate MODEL_DIR --prompt TEXT` prints as it generates.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from model.errors import BadConfig, NonFinite
from model.nn.causal_lm import CausalLM
from model.nn.config import ModelConfig
from model.tokenization.chat_template import Message
from model.tokenization.tokenizer import Tokenizer

# Shapes: B batch, T new tokens, S all tokens so far, K key and value heads, D size of a head, V vocabulary.


class KeyValueCache:
    """Keys and values of all layers and of `rows` texts, in buffers of `capacity` tokens made once."""

    def __init__(self, config: ModelConfig, capacity: int, *, like: Tensor, rows: int = 1) -> None:
        shape = (config.layers, rows, config.kv_heads, capacity, config.head_size)
        self._keys, self._values = like.new_empty(shape), like.new_empty(shape)
        self._last_layer = config.layers - 1
        self.length = 0  # tokens of which every layer knows keys and values

    def extend(self, layer: int, keys_BKTD: Tensor, values_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new tokens of a layer; return all [B, K, S, D]. The last layer counts them."""
        end = self.length + keys_BKTD.shape[2]
        self._keys[layer, :, :, self.length : end] = keys_BKTD
        self._values[layer, :, :, self.length : end] = values_BKTD
        if layer == self._last_layer:
            self.length = end
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep these rows (indices [B]) only, in this order."""
        self._keys, self._values = (self._kept(buffers, rows) for buffers in (self._keys, self._values))

    def _kept(self, buffers: Tensor, rows: Tensor) -> Tensor:
        kept = buffers.new_empty(buffers.shape[0], len(rows), *buffers.shape[2:])
        kept[:, :, :, : self.length] = buffers[:, rows, :, : self.length]
        return kept


def prompt_ids(tokenizer: Tokenizer, prompt: str | Sequence[Message]) -> list[int]:
    """Token ids of a text to continue, or of a conversation to answer, by the chat template. Raises BadConfig."""
    return tokenizer.encode_open(prompt) if isinstance(prompt, str) else tokenizer.encode_prompt(prompt)


def generate(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompt: str | Sequence[Message],
    max_new_tokens: int = 100,
    temperature: float = 0.8,
    top_k: int | None = 50,
    seed: int = 0,
) -> Iterator[str]:
    """Pieces of text that continue a prompt (a text, or a conversation for the chat template) as they are made.

    Ends at an end-of-text token, after max_new_tokens, or when the model's context is full. Ids that the tokenizer has
    no token for (an embedding is often wider than its vocabulary) are never drawn. The same arguments give the same
    text. Raises BadConfig for settings out of range or a prompt that leaves no room, NonFinite for NaN logits.
    """
    return generate_from(
        model,
        tokenizer,
        prompt_ids(tokenizer, prompt),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )


def generate_from(
    model: CausalLM,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> Iterator[str]:
    """The same from the token ids of a prompt, for whoever wants to know how many these are."""
    step = tokenizer.decode_stream(ids)
    for token_id in generate_ids(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        stop_ids=end_ids(model, tokenizer),
        never_ids=[i for i in range(model.config.vocab_size) if i not in tokenizer.ids],
    ):
        piece = step(token_id)
        if piece:
            yield piece


def generate_ids(
    model: CausalLM,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.8,
    top_k: int | None = 50,
    seed: int = 0,
    stop_ids: frozenset[int] = frozenset(),
    never_ids: Sequence[int] = (),
) -> Iterator[int]:
    """Token ids that continue the prompt; see `generate`. A stop id ends it and is not yielded; never_ids are not
    drawn."""
    _check(model, prompt_ids, max_new_tokens, temperature, top_k)
    never = torch.tensor(sorted(never_ids), dtype=torch.int64)
    parameter = next(model.parameters())
    capacity = min(model.config.context, len(prompt_ids) + max_new_tokens)
    cache = empty_cache(model, capacity=capacity, like=parameter)
    generator = torch.Generator().manual_seed(seed)
    new_ids = list(prompt_ids)
    for _ in range(capacity - len(prompt_ids)):
        with torch.inference_mode():
            tokens_BT = torch.tensor([new_ids], device=parameter.device)
            hidden_BTE = model.hidden(tokens_BT, cache=cache)
            logits_V = model.lm_head(hidden_BTE[0, -1]).float().cpu()
        token_id = _pick(logits_V, never, temperature, top_k, generator)
        if token_id in stop_ids:
            return
        yield token_id
        new_ids = [token_id]


def empty_cache(model: CausalLM, *, capacity: int, like: Tensor, rows: int = 1) -> Any:
    """Our own buffers for our own model, for `rows` texts of up to `capacity` tokens, on the device and of the type of
    `like` (a weight, of any shape); other families bring what they remember by."""
    if isinstance(model.config, ModelConfig):
        return KeyValueCache(model.config, capacity, like=like, rows=rows)
    return model.new_cache()


def end_ids(model: CausalLM, tokenizer: Tokenizer) -> frozenset[int]:
    """Tokens that end a text: those that the model names, as transformers has it; without any, the tokenizer's end."""
    own = () if tokenizer.eos_id is None else (tokenizer.eos_id,)
    return frozenset(model.config.eos_ids or own)


def _pick(logits_V: Tensor, never: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    if not bool(torch.isfinite(logits_V).all()):
        raise NonFinite("logits", "NaN or infinity", "finite logits")
    logits_V = logits_V.index_fill(0, never, -math.inf)
    if temperature == 0:
        return int(logits_V.argmax())
    if top_k is not None and top_k < len(logits_V):
        likeliest, ids = logits_V.topk(top_k)
        return int(ids[torch.multinomial(torch.softmax(likeliest / temperature, -1), 1, generator=generator)])
    return int(torch.multinomial(torch.softmax(logits_V / temperature, -1), 1, generator=generator))


def _check(
    model: CausalLM, prompt_ids: Sequence[int], max_new_tokens: int, temperature: float, top_k: int | None
) -> None:
    context = model.config.context
    if not 1 <= len(prompt_ids) < context:
        raise BadConfig("prompt", f"{len(prompt_ids)} tokens", f"1 to {context - 1} (the model's context is {context})")
    if max_new_tokens < 1:
        raise BadConfig("max_new_tokens", max_new_tokens, "a whole number from 1")
    if not 0 <= temperature < float("inf"):
        raise BadConfig("temperature", temperature, "0 (greedy) or more")
    if top_k is not None and top_k < 1:
        raise BadConfig("top_k", top_k, "a whole number from 1, or none")
