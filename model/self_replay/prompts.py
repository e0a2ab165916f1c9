"""What the parent's rows begin with, and which tokens may come in them.

`bos` is one turn: the token that begins a document, then the document, up to an end token. `chat` is two: the chat
template's opening of a user's turn (with the template's own system message, where it has one), the user's words up to
the special token that ends them, then what the template writes up to the assistant's answer, and the answer (the way of
Magpie, Xu et al. 2024, arXiv:2406.08464).
"""

from dataclasses import dataclass
from enum import StrEnum

from model.errors import BadConfig
from model.evaluation.generate import end_ids
from model.nn.causal_lm import CausalLM
from model.tokenization.chat_template import render_chat
from model.tokenization.tokenizer import Tokenizer

_PLACE = "Zqxplacezqx"  # a user's words, to find where they stand in the template


class Prompts(StrEnum):
    """What a row begins with."""

    BOS = "bos"
    CHAT = "chat"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn that the model writes. opening: given ids; ends: ids that end it; never: ids that do not come."""

    opening: tuple[int, ...]
    ends: frozenset[int]
    never: frozenset[int]


def turns_of(prompts: Prompts, model: CausalLM, tokenizer: Tokenizer) -> tuple[Turn, ...]:
    """The turns of a row: one for `bos`, the user's and the assistant's for `chat`. Raises BadConfig for a tokenizer
    without a token to begin with, or a template whose user's turn no special token ends."""
    special = frozenset(i for token in tokenizer.all_special if (i := tokenizer.token_id(token)) is not None)
    without_word = frozenset(range(model.config.vocab_size)) - tokenizer.ids
    ends = end_ids(model, tokenizer)

    def turn(opening: list[int], ends: frozenset[int]) -> Turn:
        return Turn(opening=tuple(opening), ends=ends, never=(special | without_word) - ends)

    if prompts is Prompts.BOS:
        first = _first_ids(model, tokenizer)
        return (turn(first, ends | frozenset(first[-1:])),)
    before, behind = _around_user(tokenizer)
    end = next((n for n, token_id in enumerate(behind) if token_id in special), None)
    if end is None:
        said = tokenizer.decode(behind, skip_special_tokens=False)
        got = f"a user's turn that {said!r} ends, no special token among it"
        raise BadConfig("chat_template", got, "a template that ends the user's turn with a special token")
    over = frozenset([behind[end]])
    return turn(before, over), turn(behind[end + 1 :], ends | over)


def _first_ids(model: CausalLM, tokenizer: Tokenizer) -> list[int]:
    """What a document begins with: what the tokenizer puts there, else BOS, else the end of the document before it."""
    front = tokenizer.encode_open("")
    if front:
        return front
    ends = sorted(end_ids(model, tokenizer))
    for token_id in (tokenizer.bos_id, model.config.bos_id, *ends):
        if token_id is not None:
            return [token_id]
    raise BadConfig("tokenizer.bos_token", "none, and no end token either", "a token that begins a document")


def _around_user(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids that the template writes before a user's words, and behind them up to the assistant's answer."""
    form = tokenizer.chat_format
    if form.template is None:
        raise BadConfig("tokenizer.chat_template", "none", "a tokenizer with a chat template, for prompts from it")
    messages = [{"role": "user", "content": _PLACE}]
    chat = render_chat(
        form.template,
        messages,
        form.special_tokens,
        all_special=form.all_special,
        add_generation_prompt=True,
        spans=False,
    )
    parts = chat.text.split(_PLACE)
    if len(parts) != 2:
        raise BadConfig("chat_template", f"a user's words {len(parts) - 1} times", "a template that writes them once")
    return tokenizer.encode_rendered(parts[0]), tokenizer.encode_rendered(parts[1])
