"""Shares of loss-bearing tokens, met within one row whatever the rows weigh."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.dataloader.mixture import ShareMixer, complete_shares
from model.errors import BadConfig


def test_the_target_takes_what_the_others_leave():
    assert complete_shares("code", {"general": 0.1}, {"code", "general"}) == {"code": 0.9, "general": 0.1}
    assert complete_shares("code", {}, {"code"}) == {"code": 1.0}


@pytest.mark.parametrize(
    ("target", "shares", "field"),
    [
        ("code", {"general": 1.2}, "shares.general"),
        ("code", {"general": float("nan")}, "shares.general"),
        ("code", {"other": 0.1}, "shares.other"),
        ("maths", {}, "target"),
        ("code", {"code": 0.5, "general": 0.4}, "shares"),
    ],
)
def test_shares_that_cannot_be_met_are_refused_by_name(target, shares, field):
    with pytest.raises(BadConfig) as caught:
        complete_shares(target, shares, {"code", "general"})
    assert caught.value.field == field


def test_one_row_in_ten_is_replay_at_a_share_of_ten_per_cent():
    mixer = ShareMixer({"domain": 0.9, "general": 0.1})
    order = []
    for _ in range(30):
        order.append(mixer.choose({"domain": 256, "general": 256}))
        mixer.record(order[-1], 256)
    assert [order[i : i + 10].count("general") for i in (0, 10, 20)] == [1, 1, 1]


@settings(max_examples=150, deadline=None)
@given(weights=st.lists(st.integers(1, 100), min_size=1, max_size=5), rows=st.integers(1, 300))
def test_equal_rows_keep_every_share_within_one_row(weights, rows):
    names = [f"s{i}" for i in range(len(weights))]
    shares = {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}
    mixer = ShareMixer(shares)
    got = dict.fromkeys(names, 0)
    for done in range(1, rows + 1):
        name = mixer.choose(dict.fromkeys(names, 64.0))
        mixer.record(name, 64)
        got[name] += 64
        for each in names:
            assert abs(got[each] - shares[each] * 64 * done) <= 64 + 1e-3


@settings(max_examples=80, deadline=None)
@given(share=st.floats(0.01, 0.99), chat_rows=st.lists(st.integers(1, 64), min_size=20, max_size=200))
def test_a_source_with_few_loss_bearing_tokens_a_row_gets_its_share_all_the_same(share, chat_rows):
    mixer = ShareMixer({"chat": share, "text": 1 - share})
    got = {"chat": 0, "text": 0}
    mean = sum(chat_rows) / len(chat_rows)
    for tokens in chat_rows:
        name = mixer.choose({"chat": mean, "text": 64.0})
        loss = tokens if name == "chat" else 64
        mixer.record(name, loss)
        got[name] += loss
        assert abs(got["chat"] - share * sum(got.values())) <= 64 + 1e-3


def test_new_shares_hold_from_the_next_row_and_nothing_is_counted_twice():
    mixer = ShareMixer({"domain": 0.9, "general": 0.1})
    sizes = {"domain": 100.0, "general": 100.0}
    for _ in range(13):
        mixer.record(mixer.choose(sizes), 100)
    mixer.set_shares({"domain": 0.7, "general": 0.3})
    after = {"domain": 0, "general": 0}
    for _ in range(100):
        name = mixer.choose(sizes)
        mixer.record(name, 100)
        after[name] += 1
    assert after["general"] in (29, 30, 31)
    assert sum(mixer.lag_tokens.values()) == pytest.approx(0.0, abs=1e-6)


def test_a_source_without_a_share_never_goes_even_when_it_was_owed_something():
    mixer = ShareMixer({"a": 0.5, "b": 0.5})
    mixer.record("a", 100)
    mixer.set_shares({"a": 1.0, "b": 0.0})
    for _ in range(5):
        assert mixer.choose({"a": 100.0, "b": 100.0}) == "a"
        mixer.record("a", 100)


def test_state_goes_through_json_unchanged():
    mixer = ShareMixer({"a": 1 / 3, "b": 2 / 3})
    for _ in range(7):
        mixer.record(mixer.choose({"a": 10.0, "b": 10.0}), 10)
    other = ShareMixer({"a": 0.5, "b": 0.5})
    other.restore(json.loads(json.dumps(mixer.state())))
    assert other.state() == mixer.state()
    with pytest.raises(BadConfig):
        ShareMixer({"a": 1.0}).restore(mixer.state())
