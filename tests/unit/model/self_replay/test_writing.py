"""Blocks of documents: the same again, what is dropped, conversations from a template, and when it is enough."""

import json
import math
from pathlib import Path

import pytest
import torch

from model.checkpointing.hf import load_pretrained
from model.errors import BadConfig, BadSource
from model.nn.causal_lm import CausalLM
from model.nn.config import preset
from model.nn.llama import Llama
from model.self_replay import writing as module
from model.self_replay.prompts import Prompts, turns_of
from model.self_replay.writing import Writer, Writing, blocks
from model.tokenization.tokenizer import Tokenizer

SHORT = Writing(prompts=Prompts.BOS, tokens=1000, longest=48)


@pytest.fixture(scope="module")
def parent(shared_data: Path) -> tuple[CausalLM, Tokenizer]:
    folder = shared_data / "models" / "stories260K-hf"
    return load_pretrained(folder), Tokenizer.load(folder)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 8)


def test_a_block_is_the_same_again_and_another_is_another(parent: tuple[CausalLM, Tokenizer]) -> None:
    writer = Writer(*parent, SHORT)
    first, again, second = writer.block(0), Writer(*parent, SHORT).block(0), writer.block(1)
    assert first == again
    assert first.lines != second.lines
    assert not set(first.lines) & set(second.lines)
    texts = [json.loads(line)["text"] for line in first.lines]
    # Each is read back as about the tokens that were written: stories, in the words of this tokenizer.
    read = sum(len(parent[1].encode(text, add_special_tokens=False)) for text in texts)
    assert len(texts) + sum(first.dropped.values()) == 8
    assert read == pytest.approx(first.tokens, rel=0.05)
    assert sum("the" in text or "and" in text or "was" in text for text in texts) > len(texts) / 2


def test_a_digest_names_all_that_decides_the_text() -> None:
    digests = {
        Writing(**{"prompts": Prompts.BOS, "tokens": 1000, **changes}).digest(parent)
        for parent in ("a", "b")
        for changes in (
            {},
            {"prompts": Prompts.CHAT},
            {"tokens": 1001},
            {"temperature": 0.9},
            {"top_p": 0.9},
            {"seed": 1},
        )
    }
    assert len(digests) == 12
    assert SHORT.digest("a") == SHORT.digest("a")


def chat_parent() -> tuple[CausalLM, Tokenizer]:
    tokenizer = Tokenizer.train_bpe(["a small text of some words, said again and again"] * 8, 512)
    model = Llama(preset("nano", vocab_size=tokenizer.vocab_size, context=64), seed=0)
    # Ends come now and then, as they do in a model that has learned to answer: 1 token in 12.
    model.lm_head = torch.nn.Linear(model.config.width, tokenizer.vocab_size)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias.zero_()
        model.lm_head.bias[tokenizer.token_id("<|end|>")] = math.log(tokenizer.vocab_size / 12)
    return model, tokenizer


def test_conversations_have_both_turns_as_the_template_has_them() -> None:
    model, tokenizer = chat_parent()
    user, answer = turns_of(Prompts.CHAT, model, tokenizer)
    whole = tokenizer.encode_prompt([{"role": "user", "content": "some words"}])
    said = tokenizer.encode("some words", add_special_tokens=False)
    assert [*user.opening, *said, *user.ends, *answer.opening] == whole
    assert user.ends <= answer.ends
    block = Writer(model, tokenizer, Writing(prompts=Prompts.CHAT, tokens=1, longest=64)).block(0)
    assert block.lines
    assert sum(block.dropped.values()) + len(block.lines) == 8
    for line in block.lines:
        messages = json.loads(line)["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"]
        assert all(message["content"] == message["content"].strip() != "" for message in messages)
        assert not any(token in line for token in tokenizer.all_special)


def test_a_template_that_no_special_token_ends_the_users_turn_of_is_refused() -> None:
    model, tokenizer = chat_parent()
    tokenizer.chat_template = "{% for message in messages %}Q: {{ message.content }}\nA: {% endfor %}"
    with pytest.raises(BadConfig, match="ends the user's turn with a special token"):
        turns_of(Prompts.CHAT, model, tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(BadConfig, match="chat template"):
        turns_of(Prompts.CHAT, model, tokenizer)


def test_blocks_that_are_known_are_not_written_again_and_enough_is_enough() -> None:
    written = []

    def write(number: int) -> dict[str, object]:
        written.append(number)
        return {"documents": 8, "tokens": 300, "dropped": {"loop": 1}}

    seen = []
    known = {0: {"documents": 8, "tokens": 400, "dropped": {}}}
    found = list(blocks(SHORT, known.get, write, lambda done, wanted: seen.append((done, wanted))))
    assert written == [1, 2]
    assert [facts["tokens"] for facts in found] == [400, 300, 300]
    assert seen == [(400, 1000), (700, 1000), (1000, 1000)]


def test_a_parent_that_writes_loops_is_refused_and_does_not_go_on_for_ever() -> None:
    facts = {"documents": 1, "tokens": 3, "dropped": {"loop": 6, "short": 1}}
    written = []
    with pytest.raises(BadSource, match="28 of 32 documents"):
        list(blocks(SHORT, lambda number: None, lambda number: written.append(number) or facts))
    assert written == [0, 1, 2, 3]
