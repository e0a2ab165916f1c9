"""Asking the probe: choices as transformers computes them, greedy answers, what is unknown is left, time is bounded."""

import itertools
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from model.checkpointing.hf import load_pretrained
from model.evaluation.probe import FIRST_ITEMS, ProbeTooSlow, ask_probe, by_kind
from model.nn.config import ModelConfig
from model.nn.llama import Llama
from model.probe import choices, prompts
from model.tokenization.tokenizer import Tokenizer
from tests.unit.model.data_helpers import byte_tokenizer


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "models" / "stories260K-hf"


def small_model(context: int = 512) -> Llama:
    tokenizer = byte_tokenizer()
    torch.manual_seed(3)
    return Llama(
        ModelConfig(
            vocab_size=tokenizer.vocab_size, context=context, width=16, layers=1, heads=2, kv_heads=1, ffn_width=32
        )
    )


def test_the_ending_with_the_least_loss_a_character_is_the_answer(folder: Path) -> None:
    tokenizer, theirs = Tokenizer.load(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    some = choices()[:16]
    ours = ask_probe(load_pretrained(folder), tokenizer, answer_tokens=4, only=[item.id for item in some])
    for item in some:
        losses = []
        for ending in item.endings:
            begun = tokenizer.encode_open(item.beginning)
            ids = torch.tensor([tokenizer.encode_open(f"{item.beginning} {ending}")])
            with torch.no_grad():
                logs = torch.log_softmax(theirs(ids).logits[0, :-1], -1)
            said = logs.gather(1, ids[0, 1:, None])[len(begun) - 1 :].sum()
            losses.append(-float(said) / len(ending))
        assert ours[item.id] == (losses.index(min(losses)) == item.right), item
    assert set(ours) == {item.id for item in some}


def test_a_model_without_a_chat_template_is_asked_choices_only(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.chat_format.template is None
    assert set(by_kind(ask_probe(load_pretrained(folder), tokenizer, answer_tokens=4))) == {"choice"}


def test_what_is_not_known_at_all_is_left_and_asking_again_says_the_same() -> None:
    model, tokenizer = small_model(), byte_tokenizer()
    first = by_kind(ask_probe(model, tokenizer, answer_tokens=3))
    assert sum(first["json"].values()) == 0  # three tokens hold no object
    assert len(first["json"]) == FIRST_ITEMS
    assert len(first["stop"]) == len(first["format"]) + len(first["json"])
    again = ask_probe(model, tokenizer, answer_tokens=3, only=[name for kind in first.values() for name in kind])
    assert by_kind(again) == first


def test_items_that_do_not_fit_are_not_asked() -> None:
    model, tokenizer = small_model(context=40), byte_tokenizer()
    found = by_kind(ask_probe(model, tokenizer, answer_tokens=8))
    assert "format" not in found
    assert 0 < len(found["choice"]) < len(choices())


def test_weights_that_are_no_numbers_have_no_answer_right() -> None:
    model, tokenizer = small_model(), byte_tokenizer()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    found = ask_probe(model, tokenizer, answer_tokens=3)
    assert found
    assert not any(found.values())


def test_asking_takes_no_longer_than_it_may() -> None:
    ticks = itertools.count()
    with pytest.raises(ProbeTooSlow, match="more than 5 s"):
        ask_probe(small_model(), byte_tokenizer(), answer_tokens=3, most_seconds=5, clock=lambda: next(ticks))


def test_a_model_that_ends_its_turn_is_told_from_one_that_never_does() -> None:
    model, tokenizer = small_model(), byte_tokenizer()
    prompt = prompts()[0]
    never = ask_probe(model, tokenizer, answer_tokens=3, only=[prompt.id])
    assert never[f"stop/{prompt.id}"] is False
    with torch.no_grad():
        ids = torch.tensor([tokenizer.encode_prompt([{"role": "user", "content": prompt.text}])])
        likeliest = int(model(ids)[0, -1].argmax())
    model.config = type(model.config)(**{**vars(model.config), "eos_ids": (likeliest,)})
    assert ask_probe(model, tokenizer, answer_tokens=3, only=[prompt.id])[f"stop/{prompt.id}"] is True
