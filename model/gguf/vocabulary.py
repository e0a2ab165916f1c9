"""A tokenizer.json as the vocabulary of a GGUF file.

The file holds tokens, merges or scores, and of the pre-tokenizer, which cuts text into words before pairs are merged,
only a name: llama.cpp has the rule that belongs to it. A wrong name gives other ids without a word, so the rules of the
tokenizer are compared with those that a name means, and a tokenizer whose rules have no name is refused.

    smollm     each digit alone, then GPT-2's rule: SmolLM's, and that of every tokenizer trained here
    gpt-2      GPT-2's rule (Radford et al. 2019)
    llama-bpe  Llama 3's        qwen2  Qwen 2's and 3's
    (llama)    no rule: text with a mark for spaces, merged by scores (SentencePiece, Kudo and Richardson 2018)

Token types: 1 of text, 2 unknown, 3 of control, 4 added by a user, 6 a single byte.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.errors import UnsupportedArchitecture

TEXT, UNKNOWN, CONTROL, ADDED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_NAMED = {_LLAMA3: "llama-bpe", _QWEN2: "qwen2"}


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """kind: "gpt2" (bytes as letters, merges) or "llama" (scores). pre: name of the pre-tokenizer. tokens by id, with
    their types; `merges` of the first kind, `scores` of the second. add_bos: whether text begins with BOS."""

    kind: str
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    add_bos: bool = False
    add_space: bool = False


def vocabulary_of(parsed: Mapping[str, Any], vocab_size: int, *, bos_id: int | None, where: str) -> Vocabulary:
    """Of a parsed tokenizer.json, filled up to the model's `vocab_size` with tokens that no text has. Raises
    UnsupportedArchitecture that names the part which has no counterpart."""
    model = parsed["model"]
    if model.get("type") != "BPE":
        raise UnsupportedArchitecture(f"{where}: model", model.get("type"), ["BPE"])
    by_id = {number: token for token, number in model["vocab"].items()}
    added = {one["id"]: one for one in parsed.get("added_tokens") or ()}
    by_id |= {number: one["content"] for number, one in added.items()}
    tokens, types = [], []
    for number in range(vocab_size):
        token = by_id.get(number)
        tokens.append(f"[PAD{number}]" if token is None else token)
        types.append(_type(token, added.get(number), model))
    bos = None if bos_id is None else by_id.get(bos_id)
    add_bos = _begins_with(parsed.get("post_processor"), bos, where)
    if model.get("byte_fallback"):
        return _sentencepiece(parsed, tokens, types, add_bos, where)
    if model.get("ignore_merges") and pre_tokenizer(parsed, where) != "llama-bpe":
        raise UnsupportedArchitecture(f"{where}: ignore_merges", True, "false, or Llama 3's rule, which implies it")
    return Vocabulary(
        kind="gpt2",
        pre=pre_tokenizer(parsed, where),
        tokens=tuple(tokens),
        types=tuple(types),
        merges=tuple(_pair(one) for one in model["merges"]),
        add_bos=add_bos,
    )


def pre_tokenizer(parsed: Mapping[str, Any], where: str) -> str:
    """The name of a byte-level tokenizer's rule. Raises UnsupportedArchitecture for a rule without one."""
    normalizer, steps = parsed.get("normalizer"), _steps(parsed.get("pre_tokenizer"))
    last = steps[-1] if steps else {}
    plain = last.get("type") == "ByteLevel" and not last.get("add_prefix_space")
    name = ""
    if plain and last.get("use_regex", True):
        if len(steps) == 1:
            name = "gpt-2"
        elif len(steps) == 2 and _digits_alone(steps[0]):
            name = "smollm"
    elif plain and len(steps) == 2 and steps[0].get("type") == "Split" and steps[0].get("behavior") == "Isolated":
        name = _NAMED.get((steps[0].get("pattern") or {}).get("Regex", ""), "")
    composed = normalizer is None or (name == "qwen2" and normalizer.get("type") == "NFC")
    if not name or not composed:
        got = json.dumps({"normalizer": normalizer, "pre_tokenizer": parsed.get("pre_tokenizer")})[:300]
        expected = "byte-level rules that llama.cpp has a name for: smollm, gpt-2, llama-bpe, qwen2"
        raise UnsupportedArchitecture(f"{where}: pre_tokenizer", got, expected)
    return name


def _sentencepiece(
    parsed: Mapping[str, Any], tokens: list[str], types: list[int], add_bos: bool, where: str
) -> Vocabulary:
    """Scores in place of merges: the token of an earlier merge has the higher one. Equal only where all merges that
    make a token follow each other; else the tokenizer is refused."""
    marks = _marks(parsed)
    if marks not in ([SPACE, SPACE], [SPACE]):
        got = json.dumps({"normalizer": parsed.get("normalizer"), "pre_tokenizer": parsed.get("pre_tokenizer")})[:300]
        raise UnsupportedArchitecture(f"{where}: normalizer", got, f"spaces as {SPACE}, as SentencePiece has them")
    ranks: dict[str, int] = {}
    previous = ""
    for one in parsed["model"]["merges"]:
        made = _pair(one).replace(" ", "", 1)
        if made in ranks and made != previous:
            raise UnsupportedArchitecture(f"{where}: merges", f"{made!r} made at two ranks", "one rank for each token")
        ranks.setdefault(made, len(ranks))
        previous = made
    scores = tuple(-float(ranks.get(token, len(ranks))) for token in tokens)
    return Vocabulary(
        kind="llama",
        pre="default",
        tokens=tuple(tokens),
        types=tuple(types),
        scores=scores,
        add_bos=add_bos,
        add_space=len(marks) == 2,
    )


def _marks(parsed: Mapping[str, Any]) -> list[str]:
    """What stands for spaces: in front of a text, and for each of its spaces; empty for another form."""
    normalizer = parsed.get("normalizer") or {}
    steps = normalizer.get("normalizers") or ([normalizer] if normalizer else [])
    kinds = [one.get("type") for one in steps]
    if parsed.get("pre_tokenizer") is not None or kinds not in (["Prepend", "Replace"], ["Replace"]):
        return []
    if (steps[-1].get("pattern") or {}).get("String") != " ":
        return []
    return [str(one.get("prepend", one.get("content"))) for one in steps]


def _type(token: str | None, added: Mapping[str, Any] | None, model: Mapping[str, Any]) -> int:
    if token is None:
        return UNUSED
    if token == model.get("unk_token"):
        return UNKNOWN
    if added is not None:
        return CONTROL if added.get("special") else ADDED
    is_byte = model.get("byte_fallback") and len(token) == 6 and token.startswith("<0x") and token.endswith(">")
    return BYTE if is_byte else TEXT


def _pair(merge: Any) -> str:
    """A merge as one text, whichever way it is written."""
    return merge if isinstance(merge, str) else " ".join(merge)


def _steps(pre: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    if pre is None:
        return ()
    steps: Sequence[Mapping[str, Any]] = pre["pretokenizers"] if pre.get("type") == "Sequence" else [pre]
    return steps


def _digits_alone(step: Mapping[str, Any]) -> bool:
    if step.get("type") == "Digits":
        return bool(step.get("individual_digits"))
    pattern = (step.get("pattern") or {}).get("Regex")
    return step.get("type") == "Split" and pattern == r"\p{N}" and step.get("behavior") == "Isolated"


def _begins_with(post: Mapping[str, Any] | None, bos: str | None, where: str) -> bool:
    """Whether text begins with BOS. Raises UnsupportedArchitecture where it gets other tokens."""
    if post is None:
        return False
    steps = post["processors"] if post.get("type") == "Sequence" else [post]
    for step in steps:
        if step.get("type") != "TemplateProcessing":
            continue
        single = [one.get("SpecialToken", {}).get("id", "") for one in step["single"]]
        if single == [""]:
            continue
        if single != [bos, ""]:
            raise UnsupportedArchitecture(
                f"{where}: post_processor", str(single)[:80], f"at most {bos} in front of a text"
            )
        return True
    return False
