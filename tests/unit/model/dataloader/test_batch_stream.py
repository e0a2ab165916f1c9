"""The stream of batches: a pure function of its state, the same for every world size."""

import json
from itertools import chain

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.errors import BadConfig, EmptyBatch
from tests.unit.model.data_helpers import make_shard, numbered

CONTEXT, ROWS = 12, 4


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    lengths = [6 + i % 9 for i in range(80)]
    difficulties = [1.0 + 4.0 * (i * 37 % 80) / 79 for i in range(80)]
    chat = numbered([5 + i % 7 for i in range(40)], start=20_000)
    return {
        "code": make_shard(folder / "code", numbered(lengths), difficulties=difficulties),
        "general": make_shard(folder / "general", numbered([11] * 30, start=10_000)),
        "chat": make_shard(folder / "chat", chat, masks=[[0] * 3 + [1] * (len(d) - 3) for d in chat]),
    }


def stream_of(shards, *, strategy=Strategy.RANDOM, seed=5, shares=None, **spec):
    shares = {"general": 0.2, "chat": 0.1} if shares is None else shares
    curriculum = CurriculumSpec(strategy=strategy, **spec)
    return BatchStream(
        shards, target="code", shares=shares, seed=seed, context=CONTEXT, rows=ROWS, curriculum=curriculum
    )


def flat(parts):
    return list(chain.from_iterable(parts))


def losses(batch, mean_nats):
    """Summed nats of each row when the mean of a bucket is `mean_nats(bucket)`."""
    return [tokens * mean_nats(bucket) for tokens, bucket in zip(batch.loss_tokens_R, batch.bucket_R, strict=True)]


def advance(stream, steps, total=40):
    batches = []
    for _ in range(steps):
        stream.set_progress(min(1.0, stream.batches / total))
        if stream.batches == total // 2:
            stream.set_shares({"general": 0.4, "chat": 0.1})
        batch = stream.next_batch()
        stream.record_losses(
            batch,
            [
                tokens * (1.0 + 0.1 * bucket)
                for tokens, bucket in zip(batch.loss_tokens_R, batch.bucket_R, strict=False)
            ],
        )
        batches.append(batch)
    return batches


def same(left, right):
    return (
        torch.equal(left.inputs_RT, right.inputs_RT)
        and torch.equal(left.targets_RT, right.targets_RT)
        and torch.equal(left.segments_RT, right.segments_RT)
        and left.source_R == right.source_R
        and left.bucket_R == right.bucket_R
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stop=st.integers(0, 39), strategy=st.sampled_from(list(Strategy)), seed=st.integers(0, 2**50))
def test_resumed_at_any_step_it_equals_the_undisturbed_stream(shards, stop, strategy, seed):
    undisturbed = advance(stream_of(shards, strategy=strategy, seed=seed), 40)
    stopped = stream_of(shards, strategy=strategy, seed=seed)
    advance(stopped, stop)
    state = json.loads(json.dumps(stopped.state()))
    resumed = stream_of(shards, strategy=strategy, seed=seed)
    resumed.restore(state)
    for left, right in zip(advance(resumed, 40 - stop), undisturbed[stop:], strict=True):
        assert same(left, right)


def test_going_back_to_an_earlier_state_repeats_the_same_batches(shards):
    stream = stream_of(shards, strategy=Strategy.COMPETENCE)
    advance(stream, 5)
    state = json.loads(json.dumps(stream.state()))
    first = advance(stream, 6)
    stream.restore(state)
    assert all(same(a, b) for a, b in zip(first, advance(stream, 6), strict=True))


def test_shares_count_loss_bearing_tokens(shards):
    stream = stream_of(shards)
    counts = {"code": 0, "general": 0, "chat": 0}
    for _ in range(100):
        batch = stream.next_batch()
        assert batch.inputs_RT.dtype == batch.targets_RT.dtype == torch.int64
        assert all(tokens > 0 for tokens in batch.loss_tokens_R)
        assert batch.loss_tokens == int((batch.targets_RT != -100).sum())
        for name, tokens in zip(batch.source_R, batch.loss_tokens_R, strict=True):
            counts[name] += tokens
    total = sum(counts.values())
    for name, share in {"code": 0.7, "general": 0.2, "chat": 0.1}.items():
        assert abs(counts[name] - share * total) <= 2 * CONTEXT
    assert counts == stream.loss_tokens_seen


def test_text_alone_needs_no_segments(shards):
    stream = BatchStream({"code": shards["code"]}, target="code", shares={}, seed=0, context=8, rows=2)
    assert stream.next_batch().segments_RT is None


def difficulties_of(stream, shards, steps):
    """Difficulty of the document of each target token of the target source, batch by batch."""
    offsets, difficulty = shards["code"].offsets, shards["code"].difficulty_D
    found = []
    for step in range(steps):
        stream.set_progress(step / steps)
        batch = stream.next_batch()
        tokens = batch.targets_RT.flatten().numpy()
        found.append([float(difficulty[offsets.searchsorted(t, side="right") - 1]) for t in tokens])
    return found


def test_staged_really_selects_by_difficulty(shards):
    code = {"code": shards["code"]}
    stream = stream_of(code, strategy=Strategy.STAGED, shares={})
    found = difficulties_of(stream, code, 20)
    easy, medium, hard = (sorted(flat(part)) for part in (found[:6], found[6:12], found[12:]))
    assert easy[-1] <= medium[0] <= medium[-1] <= hard[0]
    backwards = difficulties_of(stream_of(code, strategy=Strategy.STAGED, shares={}, reverse=True), code, 20)
    assert min(backwards[0]) > max(backwards[-1])


def test_one_epoch_in_stages_reads_the_documents_of_the_random_control(shards):
    code = {"code": shards["code"]}
    steps = shards["code"].meta.tokens // (CONTEXT * ROWS)
    seen = {}
    for strategy in (Strategy.STAGED, Strategy.RANDOM):
        stream = stream_of(code, strategy=strategy, shares={})
        seen[strategy] = []
        for step in range(steps):
            stream.set_progress(step / steps)
            seen[strategy] += stream.next_batch().targets_RT.flatten().tolist()
    assert len(seen[Strategy.STAGED]) == len(seen[Strategy.RANDOM])
    # Stages end between rows and buckets between documents, so up to a few rows of tokens differ, of 799.
    assert len(set(seen[Strategy.STAGED]) ^ set(seen[Strategy.RANDOM])) <= 6 * CONTEXT * ROWS // 2


def test_competence_opens_the_data_from_the_easy_end(shards):
    code = {"code": shards["code"]}
    found = difficulties_of(stream_of(code, strategy=Strategy.COMPETENCE, shares={}), code, 40)
    assert max(found[0]) < 1.5
    assert max(flat(found[2:6])) < 3.5
    assert max(flat(found[30:])) > 4.5


def test_ranges_choose_the_buckets_and_an_empty_one_is_refused(shards):
    code = {"code": shards["code"]}
    ranges = ((1.0, 2.0), (2.0, 3.5), (3.5, 5.0))
    found = difficulties_of(stream_of(code, strategy=Strategy.STAGED, shares={}, ranges=ranges), code, 20)
    assert max(flat(found[:6])) <= 2.0
    assert min(flat(found[12:])) > 3.5
    with pytest.raises(BadConfig, match="bucket 2"):
        stream_of(code, strategy=Strategy.STAGED, shares={}, levels=2, ranges=((1.0, 5.0), (4.9999, 4.99991)))


def test_self_paced_prefers_what_is_easy_for_the_model_now(shards):
    code = {"code": shards["code"]}
    stream = stream_of(code, strategy=Strategy.SELF_PACED, shares={})
    counts = [0] * 10
    for step in range(60):
        stream.set_progress(0.0)
        batch = stream.next_batch()
        # The model finds the hardest documents easiest.
        stream.record_losses(
            batch,
            [tokens * (10.0 - bucket) for tokens, bucket in zip(batch.loss_tokens_R, batch.bucket_R, strict=False)],
        )
        if step >= 10:
            for bucket in batch.bucket_R:
                counts[bucket] += 1
    assert counts[8] + counts[9] > 0.75 * sum(counts)


def test_bad_settings_are_refused_by_name(shards):
    with pytest.raises(BadConfig, match="difficulties"):
        BatchStream(
            {"general": shards["general"]},
            target="general",
            shares={},
            seed=0,
            context=8,
            rows=2,
            curriculum=CurriculumSpec(strategy=Strategy.STAGED),
        )
    with pytest.raises(BadConfig, match="rows"):
        BatchStream({"code": shards["code"]}, target="code", shares={}, seed=0, context=8, rows=0)
    with pytest.raises(BadConfig, match="progress"):
        stream_of(shards).set_progress(1.5)


def test_data_without_target_tokens_is_refused(tmp_path):
    silent = make_shard(tmp_path / "silent", [[1, 2, 3]], masks=[[0, 0, 0]])
    with pytest.raises(EmptyBatch, match="silent"):
        BatchStream({"silent": silent}, target="silent", shares={}, seed=0, context=4, rows=1)


def test_a_state_of_another_stream_is_refused(shards):
    state = stream_of(shards).state()
    with pytest.raises(BadConfig, match="seed"):
        stream_of(shards, seed=6).restore(state)
    with pytest.raises(BadConfig, match="curriculum"):
        stream_of(shards, strategy=Strategy.STAGED).restore(state)
