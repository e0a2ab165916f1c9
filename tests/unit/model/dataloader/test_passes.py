"""Epochs are epochs: each document begun and finished so many times, text and chat, alone and beside replay."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.dataloader.passes import Passes, count_passes, count_steps
from model.errors import BadConfig
from tests.unit.model.data_helpers import make_shard, numbered


def chat_shard(folder: Path, lengths: list[int], *, start: int = 0, words: int = 10):
    """Conversations of which everything behind the first `words` tokens is the assistant's."""
    return make_shard(folder, numbered(lengths, start=start), masks=[[0] * words + [1] * (n - words) for n in lengths])


def stream_of(shards, *, target, epochs, shares=None, context=256, rows=4, seed=1, **spec) -> BatchStream:
    curriculum = CurriculumSpec(**spec) if spec else None
    return BatchStream(
        shards, target=target, shares=shares or {}, seed=seed, context=context, rows=rows, curriculum=curriculum,
        epochs=epochs,
    )  # fmt: skip


def target_counts(batches, name: str) -> Counter[int]:
    """How often each token of a source was a target; tokens of `numbered` documents are all different."""
    counts: Counter[int] = Counter()
    for batch in batches:
        for row, source in enumerate(batch.source_R):
            if source == name:
                targets = batch.targets_RT[row]
                counts.update(targets[targets != -100].tolist())
    return counts


def test_three_epochs_of_conversations_begin_and_finish_each_three_times(tmp_path):
    """200 conversations of 120 to 269 tokens in rows of 256. By tokens it would be 114 batches of 4 rows (116,700 /
    1,024 up), which hand out two passes and a part, since the rows are only three quarters full."""
    lengths = [120 + (37 * i) % 150 for i in range(200)]
    shard = chat_shard(tmp_path / "chat", lengths)
    steps, passes = count_steps(stream_of({"chat": shard}, target="chat", epochs=3))
    assert steps > -(-3 * sum(lengths) // 1024)
    assert (passes.least, passes.median, passes.most) == (3, 3, 3)
    stream = stream_of({"chat": shard}, target="chat", epochs=3)
    counts = target_counts([stream.next_batch() for _ in range(steps)], "chat")
    first_of = np.cumsum([0, *lengths[:-1]])
    for first, length in zip(first_of.tolist(), lengths, strict=True):
        assert {counts[token] for token in range(first + 10, first + length)} == {3}  # from its first answer to its end
    assert stream.target_finished


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    chat=st.booleans(),
    context=st.integers(2, 16),
    rows=st.integers(1, 5),
    epochs=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.2, 0.5]),
    seed=st.integers(0, 2**40),
)
def test_each_document_passes_so_many_times(lengths, chat, context, rows, epochs, share, seed):
    if chat:
        lengths = [length + 3 for length in lengths]
    with tempfile.TemporaryDirectory() as folder:
        make = chat_shard if chat else make_shard
        documents = (lengths,) if chat else (numbered(lengths),)
        shards = {
            "a": make(Path(folder) / "a", *documents, **({"words": 2} if chat else {})),
            "old": make_shard(Path(folder) / "old", numbered([7] * 9, start=50_000)),
        }
        options = {"target": "a", "epochs": epochs, "shares": {"old": share}, "context": context, "rows": rows}
        if not chat and sum(lengths) * epochs < 2:
            return
        steps, passes = count_steps(stream_of(shards, seed=seed, **options))
        assert (passes.least, passes.most) == (epochs, epochs)
        stream = stream_of(shards, seed=seed, **options)
        batches = [stream.next_batch() for _ in range(steps)]
        assert all(batch.loss_tokens > 0 for batch in batches)
        counts = target_counts(batches, "a")
        starts = np.cumsum([0, *lengths[:-1]]).tolist()
        bears = {t for low, n in zip(starts, lengths, strict=True) for t in range(low + (2 if chat else 0), low + n)}
        # The very first token of the stream has nothing before it to be predicted from.
        assert sum(counts.values()) == epochs * len(bears) - (0 if chat else 1)
        assert all(counts[token] in (epochs, epochs - 1) for token in bears)
        assert set(counts) <= bears


def test_half_an_epoch_and_two_and_a_half(tmp_path):
    shard = chat_shard(tmp_path / "chat", [20] * 40, words=4)
    for epochs, least, most, mean in ((0.5, 0, 1, 0.5), (2.5, 2, 3, 2.5)):
        stream = stream_of({"chat": shard}, target="chat", epochs=epochs, context=32)
        _, passes = count_steps(stream)
        assert (passes.least, passes.most, stream.passes("chat").mean()) == (least, most, mean)


def test_a_staged_curriculum_reads_every_document_once_an_epoch_in_its_order(tmp_path):
    """Levels by difficulty, 90 documents of unequal lengths: the stages' shares of tokens fall inside of documents."""
    lengths = [5 + (13 * i) % 40 for i in range(90)]
    difficulties = [1 + (i % 30) / 10 for i in range(90)]
    shard = make_shard(tmp_path / "s", numbered(lengths), difficulties=difficulties)
    for reverse in (False, True):
        options = {"strategy": Strategy.STAGED, "levels": 3, "reverse": reverse, "context": 16, "rows": 3}
        steps, passes = count_steps(stream_of({"s": shard}, target="s", epochs=2, **options))
        assert (passes.least, passes.median, passes.most) == (2, 2, 2)
        stream, levels, counts = stream_of({"s": shard}, target="s", epochs=2, **options), [], Counter()
        for step in range(steps):
            stream.set_progress(step / steps)
            levels.append(int(stream.curriculum_level))
            counts += target_counts([stream.next_batch()], "s")
        assert levels == sorted(levels)
        assert set(levels) == {1, 2, 3}
        assert Counter(counts.values())[2] >= len(counts) - 3  # the first token of each stage has no predecessor
        assert sum(counts.values()) == 2 * sum(lengths) - 3


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("stop", [0, 1, 5, -1])
def test_a_resume_within_epochs_is_exact(tmp_path, chat, stop):
    lengths = [9 + i % 23 for i in range(60)]
    shard = chat_shard(tmp_path / "s", lengths, words=4) if chat else make_shard(tmp_path / "s", numbered(lengths))
    steps, _ = count_steps(stream_of({"s": shard}, target="s", epochs=2, context=30))
    stop = stop % steps
    whole = stream_of({"s": shard}, target="s", epochs=2, context=30)
    expected = [whole.next_batch() for _ in range(steps + 2)]  # asked on, it continues with the next epoch
    stopped, resumed = (stream_of({"s": shard}, target="s", epochs=2, context=30) for _ in range(2))
    for _ in range(stop):
        stopped.next_batch()
    resumed.restore(json.loads(json.dumps(stopped.state())))
    for batch in expected[stop:]:
        again = resumed.next_batch()
        assert again.inputs_RT.tolist() == batch.inputs_RT.tolist()
        assert again.targets_RT.tolist() == batch.targets_RT.tolist()


def test_skipping_is_drawing_without_the_tokens(tmp_path):
    shards = {
        "chat": chat_shard(tmp_path / "chat", [12 + i % 17 for i in range(50)], words=5),
        "old": make_shard(tmp_path / "old", numbered([9] * 20, start=40_000)),
    }
    options = {"target": "chat", "epochs": 2, "shares": {"old": 0.3}, "context": 24}
    drawn, skipped = (stream_of(shards, **options) for _ in range(2))
    for _ in range(30):
        batch = drawn.next_batch()
        assert skipped.skip_batch() == sum(tokens > 0 for tokens in batch.loss_tokens_R)
        assert skipped.state() == drawn.state()


def test_a_state_of_other_epochs_is_refused_and_one_from_before_is_taken(tmp_path):
    shard = make_shard(tmp_path / "s", numbered([9] * 20))
    state = stream_of({"s": shard}, target="s", epochs=2).state()
    with pytest.raises(BadConfig, match="epochs"):
        stream_of({"s": shard}, target="s", epochs=3).restore(state)
    del state["data"]["epochs"]
    stream_of({"s": shard}, target="s", epochs=3).restore(state)


def test_pacing_that_shows_some_documents_more_often_is_counted(tmp_path):
    """Competence shows the easiest from the first step on and the hardest only in the last 30 %."""
    shard = make_shard(tmp_path / "s", numbered([30] * 200), difficulties=[1 + i / 50 for i in range(200)])
    options = {"strategy": Strategy.COMPETENCE, "context": 29, "rows": 2}
    stream = stream_of({"s": shard}, target="s", epochs=3, **options)
    assert stream.epochs is None
    passes = count_passes(stream, 300)
    assert passes.least < 3 < passes.most
    assert passes.least <= passes.median <= passes.most
    assert str(Passes(least=1, median=2.5, most=4)) == "least 1, median 2.5, most 4"
    with pytest.raises(BadConfig, match="epochs"):
        count_steps(stream)
    self_paced = stream_of({"s": shard}, target="s", epochs=3, strategy=Strategy.SELF_PACED, context=29)
    assert count_passes(self_paced, 300) is None


def test_a_long_stream_is_counted_in_part_and_the_rest_in_proportion(tmp_path):
    shard = chat_shard(tmp_path / "chat", [40] * 600)
    exact, _ = count_steps(stream_of({"chat": shard}, target="chat", epochs=4, context=79))
    beats = []
    part, promised = count_steps(
        stream_of({"chat": shard}, target="chat", epochs=4, context=79), most_rows=1_000, beat=lambda: beats.append(1)
    )
    assert abs(part - exact) <= 0.05 * exact
    assert (promised.least, promised.most, len(beats)) == (4, 4, 1)
