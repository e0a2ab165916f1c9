"""Generation: greedy equals transformers, the cache changes nothing, a seed decides everything."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM

from model.checkpointing.hf import load_pretrained, save_pretrained
from model.cli.generate import main
from model.errors import BadConfig, NonFinite
from model.evaluation.generate import end_ids, generate, generate_ids
from model.nn.config import preset
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer


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


@pytest.fixture
def wide(tmp_path: Path) -> tuple[Llama, Tokenizer]:
    """A model whose embedding has rows that the tokenizer has no token for, all of them likelier than the others."""
    tokenizer = Tokenizer.train_bpe(["hello there " * 9], 280)
    model = Llama(preset("nano", vocab_size=512, context=64, layers=1), seed=0)
    with torch.no_grad():
        model.model.embed_tokens.weight[tokenizer.vocab_size :] = 0
        model.model.norm.weight.zero_()
        model.lm_head = torch.nn.Linear(128, 512, bias=True)
        model.lm_head.weight.zero_()
        model.lm_head.bias.zero_()
        model.lm_head.bias[tokenizer.vocab_size :] = 9.0
        model.lm_head.bias[tokenizer.token_id("h")] = 5.0
    return model, tokenizer


@pytest.mark.parametrize(("temperature", "top_k"), [(0, None), (1.0, None), (1.0, 5), (0.5, 300)])
def test_ids_without_a_token_are_never_drawn(
    wide: tuple[Llama, Tokenizer], temperature: float, top_k: int | None
) -> None:
    model, tokenizer = wide
    assert int(model.lm_head.bias.argmax()) >= tokenizer.vocab_size
    text = "".join(generate(model, tokenizer, "hello", 20, temperature, top_k, seed=3))
    assert "h" in text
    raw = list(generate_ids(model, [1], max_new_tokens=20, temperature=0))
    assert min(raw) >= tokenizer.vocab_size  # without the limit that is what comes
    holes = list(
        generate_ids(model, [1], max_new_tokens=20, temperature=temperature, top_k=top_k, never_ids=range(60, 512))
    )
    assert max(holes) < 60


def test_the_prompt_continues_where_a_tokenizer_ends_documents() -> None:
    trained = Tokenizer.train_bpe(["hello there " * 9], 280)
    bos, end = trained.bos_id, trained.eos_id
    for form, front in (("<|bos|> $A <|end|>", [bos]), ("$A <|end|>", []), ("<|bos|> $A", [bos]), ("$A", [])):
        backend = trained._templated
        backend.post_processor = TemplateProcessing(single=form, special_tokens=[("<|bos|>", bos), ("<|end|>", end)])
        tokenizer = Tokenizer(backend, special_tokens=trained.special_tokens)
        inner = tokenizer.encode("hello there", add_special_tokens=False)
        assert tokenizer.encode_open("hello there") == [*front, *inner]
        assert tokenizer.encode_open("") == front
        assert tokenizer.encode("hello there") == [*front, *inner, *([end] if "end" in form else [])]


def test_it_stops_where_transformers_stops(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_pretrained(folder), Tokenizer.load(folder)
    prompt = tokenizer.encode("Once upon a time")
    whole = list(generate_ids(model, prompt, max_new_tokens=40, temperature=0))
    for place in (3, 11):
        stop = whole[place]
        model.config = replace(model.config, eos_ids=(stop, 7))
        save_pretrained(model, tmp_path, tokenizer)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
        made = theirs.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False, pad_token_id=0)[0].tolist()
        again = load_pretrained(tmp_path)
        assert end_ids(again, tokenizer) == {stop, 7}
        ours = generate_ids(again, prompt, max_new_tokens=40, temperature=0, stop_ids=end_ids(again, tokenizer))
        assert [*prompt, *ours] == made[:-1]
        assert made[-1] in (stop, 7)


def test_the_command_prints_json_and_answers_in_chat(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--prompt", "Once upon a time", "--temperature", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith(", there was a little girl named Lily.")
    tokenizer = Tokenizer.train_bpe(["hello there " * 9], 280)
    save_pretrained(Llama(preset("nano", vocab_size=280, context=32), seed=0), tmp_path, tokenizer)
    assert main([str(tmp_path), "--prompt", "hi", "--chat", "--max-new-tokens", "4"]) == 0
    assert main([str(tmp_path), "--prompt", "hi", "--top-k", "0", "--max-new-tokens", "4"]) == 0
    assert main([str(folder), "--prompt", "hi", "--chat"]) == 2
    assert "chat_template" in capsys.readouterr().err
