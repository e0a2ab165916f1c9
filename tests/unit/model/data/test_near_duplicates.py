"""Near copies are found and counted, and what only shares a passage is not one."""

import random

import pytest

from model.data.near_duplicates import NearCopies
from model.document import Document
from tests.unit.model.data_helpers import measure_overlap

WORDS = [f"word{n}" for n in range(400)]


def text(*words: str) -> Document:
    return Document(text=" ".join(words), origin="o")


def sample(seed: int, count: int = 120) -> list[str]:
    return random.Random(seed).choices(WORDS, k=count)


def jaccard(left: list[str], right: list[str]) -> float:
    """By the definition, on runs of five words."""
    one, other = ({tuple(words[n : n + 5]) for n in range(len(words) - 4)} for words in (left, right))
    return len(one & other) / len(one | other)


def test_a_copy_with_a_word_changed_is_near_and_one_rewritten_is_not():
    measured = [sample(seed) for seed in range(20)]
    copies = [[*measured[3][:60], "changed", *measured[3][61:]], [*measured[7], "and", "more"]]
    rewritten = [*measured[11][:60], *sample(99, 60)]
    assert [round(jaccard(measured[n], copy), 2) for n, copy in zip((3, 7), copies, strict=True)] == [0.92, 0.98]
    assert jaccard(measured[11], rewritten) == pytest.approx(0.32, abs=0.02)
    training = [text(*copies[0]), text(*copies[1]), text(*rewritten), text(*sample(500))]
    (found,) = measure_overlap({"set": [text(*words) for words in measured]}, training).values()
    assert found.near == (3, 7)
    assert found.exact == ()
    assert found.touched_documents == 3


def test_another_case_and_other_punctuation_are_exact_by_words_and_near():
    measured = sample(1)
    shouted = text(*(f"{word.upper()}," for word in measured))
    (found,) = measure_overlap({"set": [text(*sample(2)), text(*measured)]}, [shouted]).values()
    assert (found.exact, found.near) == ((1,), (1,))


def test_sets_are_counted_apart_and_short_documents_do_not_break_it():
    one, other = sample(1), sample(2)
    sets = {"a": [text(*one)], "b": [text(*other), text(*one), text("two", "words")], "c": []}
    found = measure_overlap(sets, [text(*one, "more"), text("two", "words")])
    assert {name: overlap.near for name, overlap in found.items()} == {"a": (0,), "b": (1,), "c": ()}
    assert found["b"].exact == (2,)


def test_the_comparisons_are_bounded():
    near = NearCopies({"set": [sample(1)]})
    for _ in range(4_096):
        near.see(sample(1))
    # All of the first 256, then 128 of each doubling: of 256, 512, 1,024 and 2,048 more.
    assert (near.alike, near.compared) == (4_096, 256 + 4 * 128)
    assert near.found("set") == (0,)
