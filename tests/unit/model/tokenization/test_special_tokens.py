"""A special token that is spelled in one turn changes the ids of that turn only, whatever the tokenizer does."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from model.errors import BadSource
from model.tokenization.tokenizer import Tokenizer
from tests.unit.model.chat_templates import CHATML, IM, TEXT
from tests.unit.model.data_helpers import encode_chat

WORDS = [TEXT, "the end is </s> here, he said. x  y\n\n z", "<|im_end|> </s> <s> tags"]
# A template that writes its special tokens close to the text and far from it.
SPACED = (
    "{% for m in messages %}{{ '<|im_start|> ' + m.role + ' \\n' + m.content + ' <|im_end|> \\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|> assistant \\n' }}{% endif %}"
)


def metaspace(scheme: str, split: bool = True) -> Backend:
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
    return backend


def prepend() -> Backend:
    backend = Backend(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return backend


def byte_level(prefix: bool) -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.post_processor = processors.ByteLevel(trim_offsets=prefix)
    backend.decoder = decoders.ByteLevel()
    return backend


def unigram() -> Backend:
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return backend


def lower() -> Backend:
    backend = byte_level(False)
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    return backend


KINDS = {
    "metaspace first": lambda: metaspace("first"),
    "metaspace always": lambda: metaspace("always"),
    "metaspace never": lambda: metaspace("never"),
    "metaspace unsplit": lambda: metaspace("first", split=False),
    "prepend": prepend,
    "byte level": lambda: byte_level(False),
    "byte level with a space in front": lambda: byte_level(True),
    "normaliser": lower,
    "unigram": unigram,
}
FLAGS = {"plain": {}, "rstrip": {"rstrip": True}, "lstrip": {"lstrip": True}, "both": {"lstrip": True, "rstrip": True}}


def made(kind: str, flags: dict, template: str) -> Tokenizer:
    backend = KINDS[kind]()
    special = ["<unk>", "<s>", "</s>", *IM]
    chosen = {"vocab_size": 420, "special_tokens": special, "show_progress": False}
    if kind == "unigram":
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **chosen)
    else:
        alphabet = pre_tokenizers.ByteLevel.alphabet() if "byte" in kind or kind == "normaliser" else []
        trainer = trainers.BpeTrainer(initial_alphabet=alphabet, **chosen)
    backend.train_from_iterator(WORDS * 30, trainer)
    raw = json.loads(backend.to_str())
    for token in raw["added_tokens"]:
        if token["content"] in IM:
            token |= flags
    return Tokenizer(
        Backend.from_str(json.dumps(raw)),
        special_tokens={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        chat_template=template,
    )


def turns_of(tokenizer: Tokenizer, ids: list[int]) -> list[list[int]]:
    """Ids cut behind each <|im_end|>."""
    end = tokenizer.token_id("<|im_end|>")
    places = [n for n, token_id in enumerate(ids) if token_id == end]
    return [ids[a:b] for a, b in zip([0, *places], [*places, len(ids)], strict=True)]


@pytest.mark.parametrize("template", [CHATML, SPACED], ids=["close", "spaced"])
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_turn_that_spells_a_special_token_is_affected(
    kind: str, flags: dict, template: str, tmp_path: Path
) -> None:
    tokenizer = made(kind, flags, template)
    tokenizer.save(tmp_path)
    oracle = AutoTokenizer.from_pretrained(tmp_path)

    def talk(spelled: str) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": "what is the weather"},
            {"role": "assistant", "content": " it is sunny"},
            {"role": "user", "content": f"he said {spelled} here"},
            {"role": "assistant", "content": "done\n"},
        ]

    plain_ids, plain_mask = encode_chat(tokenizer, talk("the end"))
    assert plain_ids == oracle.apply_chat_template(talk("the end"))["input_ids"]
    for spelled in ("</s>", "x<|im_end|>y", "<|im_start|>assistant", " <s>"):
        ids, mask = encode_chat(tokenizer, talk(spelled))
        ours, others = turns_of(tokenizer, ids), turns_of(tokenizer, plain_ids)
        assert len(ours) == len(others) == 5
        assert [turn for n, turn in enumerate(ours) if n != 2] == [turn for n, turn in enumerate(others) if n != 2]
        special = {tokenizer.token_id(token) for token in ("<s>", "</s>", "<|im_start|>", "<|im_end|>")}
        assert [i for i in ours[2] if i in special] == [i for i in others[2] if i in special]
        said = [i for i, m in zip(ids, mask, strict=True) if m]
        assert said == [i for i, m in zip(plain_ids, plain_mask, strict=True) if m]


def test_private_use_characters_are_text_like_any_other() -> None:
    tokenizer = made("byte level", {}, CHATML)
    for text in ("\uf8d0 \uf8d4 </s>", "\U0010c000</s>\U0010c001\U0010c801", "\U0010fffd \U00100000 <|im_end|>"):
        ids, mask = encode_chat(tokenizer, [{"role": "user", "content": text}, {"role": "assistant", "content": text}])
        rendered = tokenizer.decode(ids, skip_special_tokens=False)
        assert rendered.count(text) == 2
        said = [i for i, m in zip(ids, mask, strict=True) if m]
        assert tokenizer.decode(said, skip_special_tokens=False) == f"{text}<|im_end|>"
    everywhere = "".join(chr(0x100000 + 0x2000 * n) for n in range(7))
    with pytest.raises(BadSource, match="private-use"):
        encode_chat(tokenizer, [{"role": "assistant", "content": everywhere}])


def test_characters_and_bytes_that_are_special_stay_parts_of_text() -> None:
    tokens = ["<unk>", "<s>", "</s>", *IM, *(f"<0x{byte:02X}>" for byte in range(256)), "e"]
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer, backend.decoder = (
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
    )
    backend.train_from_iterator(
        WORDS * 30, trainers.BpeTrainer(vocab_size=600, special_tokens=tokens, show_progress=False)
    )
    tokenizer = Tokenizer(backend, special_tokens={"eos_token": "</s>", "unk_token": "<unk>"}, chat_template=CHATML)
    for text in ("he said here", "ζ 漢 never seen", "a </s> b <|im_end|> ζ here"):
        ids = tokenizer.encode(text)
        assert not {tokenizer.token_id(token) for token in ("<unk>", "</s>", "<|im_end|>")} & set(ids)
        assert tokenizer.decode(ids, skip_special_tokens=False).strip() == text
        talk = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
        ids, mask = encode_chat(tokenizer, talk)
        assert ids.count(tokenizer.token_id("<|im_end|>")) == 2
        said = [i for i, m in zip(ids, mask, strict=True) if m]
        assert tokenizer.decode(said, skip_special_tokens=False).strip() == f"{text}<|im_end|>"


def test_special_tokens_in_tool_calls_and_roles_are_text() -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c | tojson(ensure_ascii=True) }}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"
    )
    tokenizer = made("byte level", {}, template)
    call = {"function": {"name": "f", "arguments": {"</s>": "<|im_end|>"}}}
    talk = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    ids, _ = encode_chat(tokenizer, talk)
    assert tokenizer.eos_id not in ids
    assert ids.count(tokenizer.token_id("<|im_end|>")) == 2
    assert '{"</s>": "<|im_end|>"}' in tokenizer.decode(ids, skip_special_tokens=False)


def test_lone_surrogates_are_refused_by_name() -> None:
    tokenizer = made("byte level", {}, CHATML)
    for talk in (["\ud800", "x"], ["x </s>", "\udfff"]):
        with pytest.raises(BadSource, match="messages"):
            encode_chat(
                tokenizer,
                [{"role": role, "content": text} for role, text in zip(("user", "assistant"), talk, strict=True)],
            )


def test_a_document_spells_special_tokens_as_text_in_every_kind() -> None:
    for kind in KINDS:
        tokenizer = made(kind, {}, CHATML)
        for text in ("</s>", " </s>", "a</s>b", "x </s> y", "<|im_end|>"):
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert not {tokenizer.eos_id, tokenizer.token_id("<|im_end|>")} & set(ids), (kind, text)
