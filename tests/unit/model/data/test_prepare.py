"""Splitting, packing, evaluation sets and overlap: disjoint, whole or absent, named by what they were made of."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.data.eval_set import EvalSet
from model.data.exam import Exam, hold
from model.data.prepare import pack, prepare, shard_digest, training_texts
from model.data.prepared import open_prepared
from model.data.shards import TokenShard
from model.data.sources import open_source
from model.data.split import CONTROL, REPORT, TRAIN, HoldOut, Training, part_of, split_of
from model.document import Document
from model.errors import BadConfig, BadSource, EmptyBatch
from tests.unit.model.data_helpers import byte_tokenizer, encode_chat, measure_overlap


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


def texts(*contents):
    return [Document(text=content, origin=f"o{i}") for i, content in enumerate(contents)]


# Splits


def test_the_parts_have_their_sizes_and_never_change():
    parts = [part_of(f"row:{i}") for i in range(20_000)]
    assert parts.count(REPORT) / 20_000 == pytest.approx(0.025, abs=0.004)
    assert parts.count(CONTROL) / 20_000 == pytest.approx(0.025, abs=0.004)
    assert parts == [part_of(f"row:{i}") for i in range(20_000)]


@given(st.text(), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_a_larger_fraction_never_returns_a_held_out_document_to_training(text, small, large):
    small, large = sorted((small, large))
    document = Document(text=text, origin="o")
    if split_of(document, HoldOut(fraction=small)) != TRAIN:
        assert split_of(document, HoldOut(fraction=large)) != TRAIN


def test_impossible_hold_outs_are_refused():
    with pytest.raises(BadConfig, match="fraction"):
        HoldOut(fraction=0.7)
    with pytest.raises(BadConfig, match="control_units"):
        HoldOut(control_units=0)


def test_training_control_and_report_are_disjoint(tmp_path, tokenizer):
    source = open_source("sample://math", options={"documents": 600})
    rule = HoldOut(fraction=0.2, shorten_to=None)
    train, control, report = open_prepared(prepare(source, tokenizer, tmp_path, context=64, hold_out=rule))
    trained = {tokenizer.decode(train.document(i).tolist()) for i in range(len(train))}

    def documents_of(evalset):
        owner = evalset.unit_documents_U[evalset.units_N]
        return {tokenizer.decode(evalset.tokens_N[owner == d].tolist()) for d in range(evalset.documents)}

    held = documents_of(control), documents_of(report)
    assert held[0].isdisjoint(held[1])
    assert trained.isdisjoint(held[0] | held[1])
    assert trained == set(training_texts(source, rule))


# Packing


def test_packing_writes_the_tokens_of_every_document_in_order(tmp_path, tokenizer):
    documents = [
        Document(text="ab", origin="1", difficulty=2.0),
        Document(text="", origin="2"),
        Document(text="abc", origin="3"),
    ]
    seen = []
    meta = pack(documents, tokenizer, tmp_path / "s", context=8, kind="text", progress=lambda *at: seen.append(at))
    shard = TokenShard.open(tmp_path / "s", verify=True)
    assert [shard.document(i).tolist() for i in range(3)] == [tokenizer.encode(t) for t in ("ab", "", "abc")]
    assert (meta.tokens, meta.text_bytes, meta.dtype, seen) == (8, 5, "<u2", [(5, None)])
    assert shard.difficulty_D.tolist() == [2.0, 3.0, 3.0]  # unknown counts as medium


def test_a_conversation_keeps_its_mask(tmp_path, tokenizer):
    messages = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "bb"})
    pack([Document(messages=messages, origin="1")], tokenizer, tmp_path / "s", context=8, kind="chat")
    shard = TokenShard.open(tmp_path / "s")
    ids, mask = encode_chat(tokenizer, messages)
    assert (shard.document(0).tolist(), shard.mask_N.tolist()) == (ids, mask)
    assert shard.meta.loss_tokens == sum(mask) > 2


def test_nothing_is_left_behind_when_a_source_breaks(tmp_path, tokenizer):
    def broken():
        for i in range(1_200):
            yield Document(text="word " * 200, origin=str(i))
        raise BadSource(field="data.jsonl:1201", got="a broken line", expected="JSON")

    with pytest.raises(BadSource, match="1201"):
        pack(broken(), tokenizer, tmp_path / "s", context=8, kind="text")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadSource, match="no tokens"):
        pack([], tokenizer, tmp_path / "s", context=8, kind="text")
    with pytest.raises(BadSource, match="chat document in text data"):
        messages = ({"role": "assistant", "content": "x"},)
        pack([Document(messages=messages, origin="1")], tokenizer, tmp_path / "s", context=8, kind="text")
    assert list(tmp_path.iterdir()) == []


def test_an_altered_shard_is_refused(tmp_path, tokenizer):
    pack(texts("abab"), tokenizer, tmp_path / "s", context=8, kind="text")
    path = tmp_path / "s" / "tokens.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(BadSource, match="SHA-256"):
        TokenShard.open(tmp_path / "s", verify=True)
    path.write_bytes(content[:-2])
    with pytest.raises(BadSource, match="bytes"):
        TokenShard.open(tmp_path / "s")
    (tmp_path / "s" / "meta.json").unlink()
    with pytest.raises(BadSource, match=r"meta\.json"):
        TokenShard.open(tmp_path / "s")


def test_prepared_data_is_found_again_and_made_again_only_when_something_changed(tmp_path, tokenizer):
    source = open_source("sample://science", options={"documents": 400})
    first = prepare(source, tokenizer, tmp_path, context=32)
    made = (first.shard / "tokens.bin").stat().st_mtime_ns
    assert prepare(source, tokenizer, tmp_path, context=32) == first
    assert (first.shard / "tokens.bin").stat().st_mtime_ns == made
    other = open_source("sample://science", options={"documents": 401})
    assert shard_digest(other, tokenizer, {}) != shard_digest(source, tokenizer, {})
    shutil.rmtree(first.control)
    assert EvalSet.open(prepare(source, tokenizer, tmp_path, context=32).control).digest == first.control.name


def test_caps_bound_the_sets_and_long_documents_are_shortened(tmp_path, tokenizer):
    source = open_source("sample://science", options={"documents": 600})
    rule = HoldOut(fraction=0.4, control_units=50, control_tokens=6_000, report_tokens=8_000, shorten_to=100)
    _, control, report = open_prepared(prepare(source, tokenizer, tmp_path, context=64, hold_out=rule, overlap=False))
    assert control.units == 50
    assert len(control.tokens_N) <= 5_000
    assert 7_800 < len(report.tokens_N) <= 8_000


@pytest.mark.parametrize("count", [3, 5, 12, 40])
def test_a_source_that_the_rule_leaves_without_a_set_gives_up_the_documents_nearest_to_it(tmp_path, tokenizer, count):
    lines = [f"Text {number} says {number * number}, and nothing else does." for number in range(count)]
    rule = HoldOut(fraction=0.0001)
    trained = {}
    for name, order in (("forward", lines), ("backward", lines[::-1])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in order))
        source = open_source(str(tmp_path / f"{name}.jsonl"))
        held = hold(source, tokenizer, rule)
        assert len(held.control) == len(held.report) == 1
        measured = {document.text for document in (*held.control, *held.report)}
        exam = Exam.of({"": held})
        trained[name] = {document.text for document in Training(source, rule, exam.contents)}
        assert trained[name] == set(lines) - measured, "all else is trained on, and nothing of the sets"
    assert trained["forward"] == trained["backward"]


def test_what_is_held_out_together_is_given_up_together(tmp_path, tokenizer):
    """Ten groups of four documents: two groups are given up, whole, though the sets hold less of them."""
    documents = [
        Document(text=f"Part {part} of book {book}, as it stands there.", origin=f"{book}.{part}", group=f"book {book}")
        for book in range(10)
        for part in range(4)
    ]
    rule = HoldOut(fraction=0.0001, control_units=1, report_units=1)
    held = hold(documents, tokenizer, rule)
    left = [d.group for d in Training(documents, rule, held.contents)]
    assert sorted(set(map(left.count, left))) == [4]
    assert len(left) == 32


def test_a_source_too_small_to_hold_out_is_refused(tmp_path, tokenizer):
    source = open_source("sample://math", options={"documents": 2})
    with pytest.raises(BadSource, match="no document was held out"):
        prepare(source, tokenizer, tmp_path, context=32, hold_out=HoldOut(fraction=0.0001))
    assert prepare(source, tokenizer, tmp_path, context=32, hold_out=HoldOut(fraction=0)).control is None


# Evaluation sets


def test_windows_are_the_documents_joined_with_their_bos_and_shifted_by_one(tokenizer):
    evalset = EvalSet.build("s", texts("ab", "cde"), tokenizer, 3)
    bos, a, b, c, d, e = tokenizer.encode("abcde")
    assert evalset.tokens_N.tolist() == [bos, a, b, bos, c, d, e]
    (batch,) = evalset.windows(rows=8)
    assert batch[0].tolist() == [[bos, a, b], [bos, c, d]]
    assert batch[1].tolist() == [[a, b, bos], [c, d, e]]
    assert batch[2].tolist() == [[0, 0, 1], [1, 1, 1]]  # the BOS of a document counts for that document
    assert (evalset.documents, evalset.bytes, evalset.target_tokens) == (2, 5, 6)


def test_the_last_window_may_be_shorter_and_the_batch_size_changes_nothing(tokenizer):
    evalset = EvalSet.build("s", texts("abcdefgh", "ij"), tokenizer, 4)
    flat = {
        rows: [torch.cat([batch[k].flatten() for batch in evalset.windows(rows)]).tolist() for k in range(3)]
        for rows in (1, 2, 9)
    }
    assert flat[1] == flat[2] == flat[9]
    assert flat[1][1][-1] == -100
    assert [t for t in flat[1][1] if t != -100] == evalset.tokens_N[1:].tolist()


def test_long_documents_are_cut_into_units_whose_bytes_add_up(tokenizer):
    text = "abcdefghij" * 500  # 5,001 tokens: units of 2,048, 2,048 and 905
    evalset = EvalSet.build("s", texts(text, "x"), tokenizer, 64)
    assert np.bincount(evalset.units_N).tolist() == [2_048, 2_048, 905, 2]
    assert evalset.unit_bytes_U.tolist() == [2_047, 2_048, 905, 1]  # the BOS is a token of no bytes
    assert evalset.unit_documents_U.tolist() == [0, 0, 0, 1]


def test_conversations_count_the_assistant_and_stay_apart(tokenizer):
    def talk(answer):
        return ({"role": "user", "content": "q"}, {"role": "assistant", "content": answer})

    documents = [Document(messages=talk("yes"), origin="1"), Document(messages=talk("no"), origin="2")]
    evalset = EvalSet.build("chat", documents, tokenizer, 8)
    assert evalset.unit_bytes_U.tolist() == [3, 2]
    batches = list(evalset.batches(4))
    targets = torch.cat([b.targets_RT.flatten() for b in batches])
    assert (
        int((targets != -100).sum())
        == evalset.target_tokens
        == sum(encode_chat(tokenizer, talk("yes"))[1]) + sum(encode_chat(tokenizer, talk("no"))[1])
    )
    segments = torch.cat([b.segments_RT.flatten() for b in batches])
    first = len(encode_chat(tokenizer, talk("yes"))[0])
    assert set(segments[:first].tolist()) == {0}
    assert set(segments[first : len(evalset.tokens_N) - 1].tolist()) == {1}


def test_the_digest_is_the_question(tokenizer):
    digest = EvalSet.build("a", texts("ab", "cd"), tokenizer, 4).digest
    assert EvalSet.build("another name", texts("ab", "cd"), tokenizer, 4).digest == digest
    assert EvalSet.build("a", texts("cd", "ab"), tokenizer, 4).digest != digest
    assert EvalSet.build("a", texts("ab", "cd"), tokenizer, 5).digest != digest


def test_a_set_survives_the_disk_and_an_altered_one_does_not(tmp_path, tokenizer):
    evalset = EvalSet.build("a", texts("ab", "cd"), tokenizer, 4)
    assert evalset.write(tmp_path / "e") == evalset.digest == EvalSet.open(tmp_path / "e").digest
    assert [p.name for p in tmp_path.iterdir()] == ["e"]
    meta = json.loads((tmp_path / "e" / "meta.json").read_text())
    (tmp_path / "e" / "meta.json").write_text(json.dumps(meta | {"context": 5}))
    with pytest.raises(BadSource, match="digest"):
        EvalSet.open(tmp_path / "e")
    (tmp_path / "e" / "tokens.bin").write_bytes(b"\0" * 24)
    with pytest.raises(BadSource, match="SHA-256"):
        EvalSet.open(tmp_path / "e")


def test_empty_and_mixed_sets_are_refused(tokenizer):
    with pytest.raises(BadSource, match="no documents"):
        EvalSet.build("a", [], tokenizer, 4)
    mixed = [*texts("a"), Document(messages=({"role": "assistant", "content": "x"},), origin="c")]
    with pytest.raises(BadSource, match="mixed"):
        EvalSet.build("a", mixed, tokenizer, 4)
    with pytest.raises(EmptyBatch, match="no target token"):
        EvalSet.build("a", texts(""), tokenizer, 4)


def test_a_set_of_tinystories_has_the_published_rows(shared_data, tokenizer):
    source = open_source(str(shared_data / "general" / "tinystories.val.jsonl"), options={"limit_documents": 320})
    evalset = EvalSet.build("stories", list(source), tokenizer, 512)
    assert (evalset.documents, evalset.units) == (320, sum(-(-(len(d.text.encode()) + 1) // 2_048) for d in source))


# Overlap


def test_thirteen_words_in_a_row_are_an_overlap_and_twelve_are_not():
    words = [f"w{i}" for i in range(40)]
    evaluation = {"set": texts(" ".join(words), "Two words.")}
    (twelve,) = measure_overlap(evaluation, texts("x " + " ".join(words[5:17]) + " y")).values()
    assert (twelve.shared_ngrams, twelve.ngrams, twelve.short_documents) == (0, 28, 1)
    (fourteen,) = measure_overlap(evaluation, texts("x " + ", ".join(words[5:19]).upper() + " y")).values()
    assert (fourteen.shared_ngrams, fourteen.touched_documents, fourteen.exact_documents) == (2, 1, 0)
    assert fourteen.share == pytest.approx(2 / 28)
    (whole,) = measure_overlap(evaluation, texts("TWO words")).values()
    assert (whole.exact_documents, whole.shared_ngrams) == (1, 0)
