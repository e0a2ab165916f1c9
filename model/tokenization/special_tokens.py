"""Special tokens: those of our own presets, and backends for which no text of a document spells one."""

import json
import secrets
from collections.abc import Mapping, Sequence

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from model.tokenization.chat_template import has_a_name

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, END, PAD, "<|system|>", "<|user|>", "<|assistant|>")
PRESET_NAMES = {"bos_token": BOS, "eos_token": END, "pad_token": PAD}


def mark_special(backend: Backend, tokens: Sequence[AddedToken]) -> None:
    """Adds those that are not special tokens yet; a token of the vocabulary keeps its id."""
    known = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    backend.add_special_tokens([token for token in tokens if token.content not in known])


def text_only(backend: Backend, stand_ins: Mapping[str, str] | None = None) -> Backend:
    """The same backend, same ids, for which no text spells a special token: the special tokens are spelled otherwise,
    among the added tokens as well as in the model's vocabulary, where Unigram, word models and some merges would find
    them. stand_ins: their new spellings, which are then looked for; by default spellings that nobody can guess."""
    raw = json.loads(backend.to_str())
    special = {token["content"] for token in raw["added_tokens"] if token["special"] and has_a_name(token["content"])}
    unguessable = secrets.token_hex(16)
    new = {token: f"{token}{unguessable}" for token in special} if stand_ins is None else stand_ins
    for token in raw["added_tokens"]:
        if token["content"] in special:
            token["content"] = new[token["content"]]
            token["special"] = stand_ins is None
    model = raw["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of a word and its score
        model["vocab"] = [[new.get(word, word), score] for word, score in vocabulary]
    else:
        model["vocab"] = {new.get(word, word): place for word, place in vocabulary.items()}
    if model.get("unk_token") in new:
        model["unk_token"] = new[model["unk_token"]]
    if model.get("merges"):
        pairs = ((pair, pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in model["merges"])
        model["merges"] = [pair for pair, (a, b) in pairs if not special & {a, b, a + b}]
    made = Backend.from_str(json.dumps(raw))
    made.encode_special_tokens = True
    return made
