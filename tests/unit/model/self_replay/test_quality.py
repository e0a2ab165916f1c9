"""Loops are dropped, text is not."""

from pathlib import Path

from model.self_replay.quality import fault_of
from model.tokenization.tokenizer import Tokenizer


def test_short_and_empty_rows() -> None:
    assert fault_of([]) == fault_of(list(range(15))) == "short"
    assert fault_of(list(range(16))) is None
    assert fault_of([], least=1) == "short"
    assert fault_of([5], least=1) is None


def test_a_row_of_which_less_than_half_is_said_once() -> None:
    sentence = list(range(20))
    assert fault_of(sentence * 2) is None  # 37 runs of four, 20 distinct: 0.54
    assert fault_of(sentence * 3) == "loop"  # 57 runs, 20 distinct: 0.35


def test_a_row_that_ends_in_a_cycle() -> None:
    text = list(range(200))
    assert fault_of(text + [7, 8, 9] * 16) == "loop"
    assert fault_of(text + [7] * 47) is None  # one token short of what counts
    assert fault_of(text + [7] * 48) == "loop"


def test_stories_are_no_loops(shared_data: Path) -> None:
    tokenizer = Tokenizer.load(shared_data / "models" / "stories260K-hf")
    lines = (shared_data / "general" / "tinystories.val.jsonl").read_text().splitlines()[:100]
    assert [fault_of(ids) for ids in tokenizer.encode_batch(lines)] == [None] * 100
