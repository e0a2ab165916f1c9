"""Generation: greedy equals transformers, the cache changes nothing, a seed decides everything."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from model.config import preset
from model.errors import BadConfig, NonFinite
from model.hf import load_pretrained, save_pretrained
from model.llama import Llama
from model.sample import generate, generate_ids, main
from model.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "models" / "stories260K-hf"


def test_greedy_equals_transformers(folder: Path) -> None:
    prompt = Tokenizer.load(folder).encode("Once upon a time")
    theirs = AutoModelForCausalLM.from_pretrained(folder).generate(
        torch.tensor([prompt]), max_new_tokens=80, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    ours = list(generate_ids(load_pretrained(folder), prompt, max_new_tokens=80, temperature=0))
    assert ours == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("changes", [{}, {"sliding_window": 5}, {"kv_heads": 4, "attention_bias": True}])
def test_the_cache_changes_nothing(changes: dict) -> None:
    model = Llama(preset("nano", vocab_size=64, context=48, **changes), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # away from ties
    ids = [1, 2, 3]
    for token_id in generate_ids(model, [1, 2, 3], max_new_tokens=30, temperature=0):
        with torch.no_grad():
            assert token_id == int(model(torch.tensor([ids]))[0, -1].argmax())
        ids.append(token_id)
    assert len(ids) == 33


def test_a_seed_decides_the_text(folder: Path) -> None:
    model, tokenizer = load_pretrained(folder), Tokenizer.load(folder)
    first, again, other = ("".join(generate(model, tokenizer, "Once", 40, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_top_k_of_one_is_greedy_and_low_temperature_approaches_it(folder: Path) -> None:
    model = load_pretrained(folder)
    greedy = list(generate_ids(model, [1, 403], max_new_tokens=20, temperature=0))
    assert list(generate_ids(model, [1, 403], max_new_tokens=20, temperature=1.0, top_k=1)) == greedy
    assert list(generate_ids(model, [1, 403], max_new_tokens=20, temperature=1e-4, top_k=None)) == greedy


def test_it_ends_at_a_stop_token_and_at_the_context() -> None:
    model = Llama(preset("nano", vocab_size=64, context=16), seed=0)
    whole = list(generate_ids(model, [1, 2], max_new_tokens=100, temperature=0))
    assert len(whole) == 14
    stop = whole[5]
    stopped = list(generate_ids(model, [1, 2], max_new_tokens=100, temperature=0, stop_ids=frozenset({stop})))
    assert stopped == whole[: whole.index(stop)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt_ids": []}, "prompt"),
        ({"prompt_ids": [1] * 16}, "prompt"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 0}, "top_k"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict, field: str) -> None:
    model = Llama(preset("nano", vocab_size=64, context=16), seed=0)
    with pytest.raises(BadConfig) as caught:
        list(generate_ids(model, **{"prompt_ids": [1], "max_new_tokens": 4} | changes))
    assert caught.value.field == field


def test_nan_is_not_sampled_from() -> None:
    model = Llama(preset("nano", vocab_size=64, context=16), seed=0)
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    with pytest.raises(NonFinite):
        list(generate_ids(model, [1], max_new_tokens=1))


def test_the_command_prints_json_and_answers_in_chat(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--prompt", "Once upon a time", "--temperature", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith(", there was a little girl named Lily.")
    tokenizer = Tokenizer.train_bpe(["hello there " * 9], 280)
    save_pretrained(Llama(preset("nano", vocab_size=280, context=32), seed=0), tmp_path, tokenizer)
    assert main([str(tmp_path), "--prompt", "hi", "--chat", "--max-new-tokens", "4"]) == 0
    assert main([str(folder), "--prompt", "hi", "--chat"]) == 2
    assert "chat_template" in capsys.readouterr().err
