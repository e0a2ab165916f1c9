"""The probe's items: enough of them, each fair, and judged as a person would."""

from collections import Counter

import pytest

from model.probe import choices, probe_digest, prompts
from model.probe.checks import passes


def test_there_are_enough_items_and_no_ending_gives_an_answer_away() -> None:
    assert len(choices()) == 80
    assert Counter(item.right for item in choices()) == {0: 24, 1: 24, 2: 16, 3: 16}
    assert all(len(set(item.endings)) == 4 for item in choices())
    # Every ending of a table is right once and wrong three times.
    said = Counter(ending for item in choices() for ending in item.endings)
    assert set(said.values()) == {4}
    assert Counter(prompt.kind for prompt in prompts()) == {"format": 40, "json": 40}
    assert len({prompt.text for prompt in prompts()}) == 80


def test_the_first_items_of_a_kind_are_a_mixture() -> None:
    assert len({prompt.check for prompt in prompts()[:10]}) == 8
    assert len({item.id.split("-")[0] for item in choices()[:8]}) == 8


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("word", ["horse", " Horse.\n"], ["", "a horse", "7", "The horse runs"]),
        ("number", ["8", "8."], ["eight", "8 legs", "", "about 8"]),
        ("capitals", ["ICE", "SEA ICE"], ["Ice", "", "123"]),
        ("hyphens", ["- a\n- b\n- c", "-a\n\n-b\n-c\n"], ["- a\n- b", "a\nb\nc", "- a\n- b\n- c\nDone", "-\n-\n-"]),
        ("commas", ["a, b, c", "a,b,c."], ["a, b", "a, b, c, d", "a\nb, c, d", "a, , c"]),
        ("yes-no", ["yes", "No.", "YES"], ["maybe", "yes, it is", ""]),
        ("ending", ["It rains. END", "Rain END."], ["END", "It rains.", "END It rains", "WEEKEND"]),
        ("quoted", ['"Rain"', "“Rain”"], ["Rain", '"Rain" is it', '""']),
    ],
)
def test_forms_are_judged_as_asked(name: str, right: list[str], wrong: list[str]) -> None:
    prompt = next(one for one in prompts() if one.id == f"format/{name}-0")
    assert [passes(prompt, text) for text in right] == [True] * len(right)
    assert [passes(prompt, text) for text in wrong] == [False] * len(wrong)


def test_json_is_an_object_with_the_keys_and_nothing_around_it() -> None:
    prompt = next(one for one in prompts() if one.arguments == ("name", "age"))
    right = ['{"name": "Ann", "age": 7}', '```json\n{"age": 1, "name": 2, "more": 3}\n```', ' {"name":1,"age":null}\n']
    wrong = [
        '{"name": "Ann"}',
        '["name", "age"]',
        "Here: {}",
        '{"name": 1, "age": 2} done',
        "{'name': 1, 'age': 2}",
        "",
    ]
    assert all(passes(prompt, text) for text in right)
    assert not any(passes(prompt, text) for text in [*wrong, "[" * 100_000])


def test_a_changed_item_is_another_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    import model.probe as probe

    before = probe_digest()
    monkeypatch.setattr(probe, "VERSION", probe.VERSION + 1)
    probe_digest.cache_clear()
    assert probe_digest() != before
    monkeypatch.undo()
    probe_digest.cache_clear()
    assert probe_digest() == before
