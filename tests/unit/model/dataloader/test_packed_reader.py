"""Rows of a reader: every token a target once an epoch, conversations kept apart, cursors that resume exactly."""

import itertools
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.dataloader.packed_reader import PackedReader, mixed_key, splitmix64
from model.errors import BadConfig, EmptyBatch
from tests.unit.model.data_helpers import make_shard, numbered


def test_splitmix64_gives_the_published_sequence():
    # The first outputs of the reference implementation for the seed 1234567 (state advances by the golden gamma).
    gamma = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + k * gamma) % 2**64 for k in range(3)], dtype=np.uint64)
    assert splitmix64(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_keys_depend_on_the_order_of_their_parts():
    assert len({mixed_key(1, 2), mixed_key(2, 1), mixed_key(1, 2, 0), mixed_key(1)}) == 4


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), context=st.integers(1, 11), seed=st.integers(0, 2**40)
)
def test_every_token_is_a_target_exactly_once_an_epoch(lengths, context, seed):
    with tempfile.TemporaryDirectory() as folder:
        shard = make_shard(Path(folder) / "s", numbered(lengths))
        reader = PackedReader(shard, key=seed, context=context)
        total = sum(lengths)
        targets = [int(t) for _ in range(-(-3 * total // context)) for t in reader.next_row().targets_T]
        first = PackedReader(shard, key=seed, context=context).next_row().inputs_T[0]
        stream = [int(first), *targets]
        for epoch in range(3):
            assert sorted(stream[epoch * total : (epoch + 1) * total]) == list(range(total))


def test_inputs_are_the_tokens_before_the_targets(tmp_path):
    reader = PackedReader(make_shard(tmp_path / "s", numbered([5, 7, 3])), key=3, context=4)
    rows = [reader.next_row() for _ in range(4)]
    for row, following in itertools.pairwise(rows):
        assert row.inputs_T[1:].tolist() == row.targets_T[:-1].tolist()
        assert following.inputs_T[0] == row.targets_T[-1]


def test_epochs_come_in_different_orders_and_seeds_too(tmp_path):
    shard = make_shard(tmp_path / "s", numbered([1] * 40))

    def epoch(reader):
        return tuple(int(t) for _ in range(4) for t in reader.next_row().targets_T)

    reader = PackedReader(shard, key=1, context=10)
    assert len({epoch(reader), epoch(reader), epoch(PackedReader(shard, key=2, context=10))}) == 3
    assert epoch(PackedReader(shard, key=1, context=10)) == epoch(PackedReader(shard, key=1, context=10))


@settings(max_examples=25, deadline=None)
@example(conversations=[[0, 0], [0, 1], *[[0] * 5] * 4, [0, 0, 0, 0, 1], [0, 0]], context=7, seed=0)
@given(
    conversations=st.lists(st.lists(st.booleans(), min_size=2, max_size=14), min_size=1, max_size=14),
    context=st.integers(3, 12),
    seed=st.integers(0, 1000),
)
def test_chat_rows_bear_loss_on_masked_tokens_once_an_epoch_and_never_across_conversations(
    conversations, context, seed
):
    lengths = [len(bits) for bits in conversations]
    documents = numbered(lengths, start=1)
    owner = {token: index for index, tokens in enumerate(documents) for token in tokens}
    wanted = {
        t
        for tokens, bits in zip(documents, conversations, strict=True)
        for t, bit in list(zip(tokens, bits, strict=True))[1:]
        if bit
    }
    with tempfile.TemporaryDirectory() as folder:
        shard = make_shard(Path(folder) / "s", documents, masks=conversations)
        if not wanted:
            with pytest.raises(EmptyBatch):
                PackedReader(shard, key=seed, context=context)
            return
        reader = PackedReader(shard, key=seed, context=context)
        seen: Counter[int] = Counter()
        while not seen or min(seen[t] for t in wanted) < 2:
            row = reader.next_row()
            assert row.loss_tokens == int((row.targets_T != -100).sum()) > 0
            for at in np.flatnonzero(row.targets_T != -100):
                target, before = int(row.targets_T[at]), int(row.inputs_T[at])
                seen[target] += 1
                assert target == before + 1  # its own predecessor in the same conversation
                assert owner[target] == owner[before]
            for segment in set(row.segments_T.tolist()):
                owners = {owner.get(int(t)) for t in row.inputs_T[row.segments_T == segment]}
                assert len(owners) == 1
        assert set(seen) == wanted
        # What others are behind the foremost conversation waits in the look-ahead of 16 or is not drawn yet.
        times = {owner[token]: 0 for token in wanted}
        for token in wanted:
            times[owner[token]] = max(times[owner[token]], seen[token])
        foremost = max(times.values())
        assert sum(foremost - count for count in times.values()) <= 16 + len(times) - 1


def test_short_conversations_fill_rows_well(tmp_path):
    lengths = [20 + 7 * (i % 11) for i in range(300)]
    masks = [[0] * (n // 2) + [1] * (n - n // 2) for n in lengths]
    reader = PackedReader(make_shard(tmp_path / "s", numbered(lengths), masks=masks), key=0, context=255)
    used = [int((reader.next_row().inputs_T > 0).sum()) for _ in range(50)]
    assert np.mean(used) / 255 > 0.95


@pytest.mark.parametrize("chat", [False, True])
def test_a_cursor_resumes_exactly_through_json(tmp_path, chat):
    documents = numbered([3 + i % 5 for i in range(30)], start=1)
    masks = [[i % 2 for i in range(len(d))] for d in documents] if chat else None
    shard = make_shard(tmp_path / "s", documents, masks=masks)
    reader = PackedReader(shard, key=9, context=8)
    for _ in range(17):
        reader.next_row()
    cursor = json.loads(json.dumps(reader.cursor()))
    expected = [reader.next_row() for _ in range(20)]
    other = PackedReader(shard, key=9, context=8)
    other.seek(cursor)
    for row in expected:
        again = other.next_row()
        assert again.inputs_T.tolist() == row.inputs_T.tolist()
        assert again.targets_T.tolist() == row.targets_T.tolist()


def test_a_cursor_of_other_data_is_refused(tmp_path):
    reader = PackedReader(make_shard(tmp_path / "s", numbered([4, 4])), key=0, context=2)
    with pytest.raises(BadConfig, match="2 documents"):
        reader.seek({"epoch": 0, "place": 7, "offset": 0})
