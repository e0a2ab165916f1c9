"""Rows written together are what transformers writes of each alone."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from model.checkpointing.hf import load_pretrained
from model.errors import BadConfig, NonFinite
from model.families.config import from_hf
from model.families.decoder import FamilyModel
from model.families.tiny import tiny_config
from model.nn.config import preset
from model.nn.llama import Llama
from model.self_replay.prompts import Prompts, Turn, turns_of
from model.self_replay.rows import write_rows
from model.tokenization.tokenizer import Tokenizer

OPEN = Turn(opening=(1, 5), ends=frozenset([2]), never=frozenset())


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "models" / "stories260K-hf"


def test_greedy_rows_equal_transformers(folder: Path) -> None:
    opening = (1, *Tokenizer.load(folder).encode("Once upon a time", add_special_tokens=False))
    turn = Turn(opening=opening, ends=frozenset(), never=frozenset())
    rows = write_rows(load_pretrained(folder), [turn], [0, 1, 2], longest=80, temperature=0)
    theirs = AutoModelForCausalLM.from_pretrained(folder).generate(
        torch.tensor([opening]), max_length=80, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert [row.said for row in rows] == [[theirs[0, len(opening) :].tolist()]] * 3


def test_a_row_hangs_on_its_seed_alone_whatever_ends_beside_it(folder: Path) -> None:
    model, tokenizer = load_pretrained(folder), Tokenizer.load(folder)
    (turn,) = turns_of(Prompts.BOS, model, tokenizer)
    seeds = list(range(12))
    together = write_rows(model, [turn], seeds, longest=256, temperature=1.0)
    assert len({tuple(row.said[0]) for row in together}) == 12
    ended = [row.ended for row in together]
    assert True in ended
    assert False in ended
    alone = [write_rows(model, [turn], [seed], longest=256, temperature=1.0)[0] for seed in seeds]
    assert [row.said for row in alone] == [row.said for row in together]


@pytest.mark.parametrize("family", ["gemma3_text", "gpt2", "lfm2", "qwen3_next"])
def test_other_families_write_what_they_write_without_a_cache(family: str) -> None:
    torch.manual_seed(0)
    model = FamilyModel(from_hf(tiny_config(family))).eval()
    turn = Turn(opening=(1, 5), ends=frozenset(range(model.config.vocab_size // 3)), never=frozenset())
    rows = write_rows(model, [turn], list(range(6)), longest=24, temperature=1.0)
    for seed, row in enumerate(rows):
        uniforms = torch.rand(24, generator=torch.Generator().manual_seed(seed))
        ids = [1, 5]
        with torch.no_grad():
            while len(ids) < 24:
                probabilities = torch.softmax(model(torch.tensor([ids]))[0, -1].float(), -1)
                ids.append(int((probabilities.cumsum(-1) > uniforms[len(ids)] * probabilities.sum()).nonzero()[0]))
                if ids[-1] in turn.ends:
                    break
        assert row.said == [[token for token in ids[2:] if token not in turn.ends]]


def test_a_second_turn_begins_where_the_first_one_ended() -> None:
    model = Llama(preset("nano", vocab_size=64, context=64), seed=0)
    user = Turn(opening=(1,), ends=frozenset(range(32, 64)), never=frozenset([0]))
    answer = Turn(opening=(7, 8, 9), ends=frozenset([3]), never=frozenset(range(32, 64)))
    rows = write_rows(model, [user, answer], list(range(16)), longest=64, temperature=1.0)
    whole = [row for row in rows if len(row.said) == 2 and row.said[1]]
    assert len(whole) > 8
    for row in whole:
        assert all(0 < token < 32 for token in row.said[0])
        assert all(token < 32 and token != 3 for token in row.said[1])
    # What stands before the answer was read: the answer's first token is what the model says behind all of it.
    greedy = write_rows(model, [user, answer], [0], longest=64, temperature=0)[0]
    ids = [1, *greedy.said[0]]
    with torch.no_grad():
        if len(greedy.said) == 2:
            biased = model(torch.tensor([ids]))[0, -1]
            biased[0] = -torch.inf
            ids += [int(biased.argmax()), 7, 8, 9]
            logits = model(torch.tensor([ids]))[0, -1]
            logits[32:] = -torch.inf
            assert int(logits.argmax()) == (greedy.said[1] + [3])[0]


def test_settings_out_of_range_and_broken_weights_are_refused() -> None:
    model = Llama(preset("nano", vocab_size=64, context=32), seed=0)
    for changes in (
        {"longest": 33},
        {"longest": 3},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0},
    ):
        with pytest.raises(BadConfig):
            write_rows(model, [OPEN], [0], **{"longest": 16, "temperature": 1.0, **changes})
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(NonFinite):
        write_rows(model, [OPEN], [0], longest=16, temperature=1.0)
