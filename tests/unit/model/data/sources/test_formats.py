"""JSON made to hurt, csv of all dialects, Parquet of all types, fields by name."""

import base64
import codecs
import csv
import gzip
import io
import json
import os
import random
import tracemalloc
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.data.sources import open_source
from model.data.sources.files import FileSource
from model.errors import BadSource
from tests.unit.model.data.sources.written import TALK, lines, put, refused, texts

# JSON made to hurt


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a", "x": ' + "9" * 5_000 + "}", "a number of more than 4,300 digits"),
        ('{"text": ' + "[" * 100_000, "nested more than 64 deep"),
        ('{"text": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than 64 deep"),
        ('{"text": "a", "x": ' + "[" * 100 + "]" * 100 + "}", "nested more than 64 deep"),
        ('{"text": "a", "x": ' + '{"y": ' * 100 + "1" + "}" * 101, "nested more than 64 deep"),
        ('{"text": NaN}', "text: got nan"),
        ('{"text": -Infinity}', "text: got -inf"),
        ('{"text": 1e999}', "text: got inf"),
        ('{"text": true}', "text: got True"),
        ('{"text": {"a": 1}}', "text: got a dict"),
        ('{"text": "ok \\ud800 bad"}', "text: got half a surrogate pair, U+D800, at character 3"),
        ('{"text": ["ok", "\\udc00"]}', "text: got half a surrogate pair, U+DC00"),
        ('{"question": "\\ud800", "answer": "a"}', "question: got half"),
        (
            '{"messages": [{"role": "user", "content": "\\ud83d"}, {"role": "assistant", "content": "a"}]}',
            "turn 0: content",
        ),
        ('{"messages": [{"role": "\\ud83d", "content": "a"}, {"role": "assistant", "content": "a"}]}', "role"),
        ('{"prompt": "a", "completion": "\\ud83d x"}', "turn 1: content: got half"),
        ('{"\\ud800": 1}', "fields"),
        ('{"text": "a", "text": "b"}', "the field 'text' twice"),
        ('{"text": "a", "x": {"y": 1, "y": 2}}', "the field 'y' twice"),
        ('{"text": "a"} {"text": "b"}', "Extra data"),
        ('{"text": "a\tb"}', "Invalid control character"),
        ("\ufeff{}", "a broken line"),
        ("null", "a NoneType"),
        ("{}", "nulls only"),
    ],
)
def test_hurting_lines_are_refused_by_line_and_the_next_one_is_read(tmp_path, line, said):
    path = put(tmp_path / "d.jsonl", lines(*({"text": str(n)} for n in range(699)), line, {"text": "next"}))
    error = refused(path)
    assert error.field.startswith(f"{path}:700")
    assert said in str(error)
    found: list[BadSource] = []
    documents = list(open_source(str(path), on_fault=found.append))
    assert [document.text for document in documents[-2:]] == ["698", "next"]
    assert {str(fault) for fault in found} == {str(error)}


def test_surrogates_and_nan_where_nobody_reads_them_are_harmless(tmp_path):
    row = '{"text": "fine \\ud83d\\ude00", "category": "\\ud800", "score": NaN, "n": 12345678901234567890123}'
    (document,) = open_source(str(put(tmp_path / "d.jsonl", lines(row))))
    assert document.text == "fine \U0001f600"
    assert document.meta["category"] == "\ud800"


def test_many_brackets_that_are_not_deep_are_fine(tmp_path):
    turns = [*TALK] * 60
    (document,) = open_source(str(put(tmp_path / "d.jsonl", lines({"messages": turns, "tags": [[]] * 200}))))
    assert len(document.messages) == 120


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        ('[{"text": "a"}, {"text": ]', ":1", "broken JSON"),
        ('[\n{"text": "a"},\n{"text": "b"}', ":3", "an array without end"),
        ('[{"text": "a"},]', ":1", "broken JSON"),
        ('[{"text": "a"} {"text": "b"}]', ":1", "'{' where ','"),
        ('[{"text": "a"}] x', ":1", "something behind the array"),
        ('[{"text": "a"}, ' + "[" * 100_000 + "]", "[1]", "nested more than 64"),
        ('[{"text": "a"}, ' + "9" * 5_000 + "]", "[1]", "digits"),
        ('[{"text": "a"}, 12]', "[1]", "a int"),
        ('[{"text": "a"}, {"text": "\\ud800"}]', "[1]: text", "surrogate"),
        ("[]", "", "no rows"),
        ('{"data": [{"text": "a"}]}', ":1", "fields ['data']"),
    ],
)
def test_arrays_are_read_element_by_element(tmp_path, content, field, said):
    path = put(tmp_path / "d.json", content.encode())
    error = refused(path)
    assert (error.field, said in str(error.got)) == (f"{path}{field}", True)


def test_an_array_across_many_pieces_is_whole(tmp_path):
    rows = [{"text": f"{n} {'x' * (n % 3_000)}"} for n in range(2_000)]
    assert texts(put(tmp_path / "d.json", json.dumps(rows, indent=1).encode())) == [row["text"] for row in rows]
    long = [{"text": "y" * 700_000}, {"text": "end"}]
    assert texts(put(tmp_path / "e.json", json.dumps(long).encode())) == [row["text"] for row in long]


# csv


def test_csv_of_all_dialects_is_read(tmp_path):
    for delimiter in ",;\t|":
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerows(
            [["id", "text", "difficulty"], [1, f'a "b"{delimiter}\nc', 2], [2, "d", ""], [3, "e\u2028f", 5]]
        )
        path = put(tmp_path / "d.csv", codecs.BOM_UTF8 + stream.getvalue().encode())
        documents = list(open_source(str(path)))
        assert [d.text for d in documents] == [f'a "b"{delimiter}\nc', "d", "e\u2028f"]
        assert [d.difficulty for d in documents] == [2.0, None, 5.0]
        assert [d.meta["row"] for d in documents] == [f"{path}:2", f"{path}:4", f"{path}:5"]
    path = put(tmp_path / "e.csv", b"question,answer\nWhy?,Because.\n")
    assert texts(path) == ["Why?\nBecause."]
    (document,) = open_source(str(path), options={"chat_fields": {"prompt": "question", "completion": "answer"}})
    assert [turn["content"] for turn in document.messages] == ["Why?", "Because."]
    assert texts(put(tmp_path / "one.csv", b"text\na\nb\n")) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        (b"text,id\na,1\nb\n", ":3", "1 fields"),
        (b"text,id\na,1\nb,2,3\n", ":3", "3 fields"),
        (b'text,id\na,1\n"b,2\nc,3\n', ":3", "a broken row"),
        (b'text,id\na,1\n"b"c,2\n', ":3", "a broken row"),
        (b"text,text\na,b\n", ":1", "the column 'text' twice"),
        (b"body,id\na,1\n", ":2", "fields ['body', 'id']"),
        (b"text,id\n,1\n", ":2", "fields ['id'] (null: text)"),
        (b"text\n", "", "no rows"),
        (b"\n\n", ":1", "no names"),
        (b"text,id\na\xe9,1\n", ":2", "0xe9"),
        (b"text,difficulty\na,9\n", ":2: difficulty: level", "9"),
    ],
)
def test_csv_faults_are_refused_by_line(tmp_path, content, field, said):
    path = put(tmp_path / "d.csv", content)
    error = refused(path)
    assert (error.field, said in str(error)) == (f"{path}{field}", True)


# Parquet


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([b"a", "é".encode()]), ["a", "é"]),
        (pa.array([["a", "b"], ["c"]]), ["a b", "c"]),
        (pa.array([1, 2]), ["1", "2"]),
        (pa.array([b"a\xff", b"b"]), "text: got bytes that are not UTF-8"),
        (pa.array([{"a": "b"}, {"a": "c"}]), "text: got a dict"),
        (pa.array([datetime(2026, 1, 1)] * 2), "text: got a datetime"),
        (pa.array([Decimal("1.5")] * 2), "text: got a Decimal"),
        (pa.array([float("nan"), 1.0]), "text: got nan"),
        (pa.array([[["a"]], [["b"]]]), "text: got a list"),
        (pa.array([None, None], pa.string()), "nulls only"),
    ],
)
def test_parquet_of_every_type(tmp_path, column, said):
    pq.write_table(pa.table({"text": column}), tmp_path / "d.parquet")
    if isinstance(said, list):
        assert texts(tmp_path / "d.parquet") == said
    else:
        error = refused(tmp_path / "d.parquet")
        assert error.field.startswith(f"{tmp_path}/d.parquet row 0")
        assert said in str(error)


def test_parquet_that_repeats_a_long_text_stays_small_in_memory(tmp_path):
    """As where the same instructions stand before each conversation; the text itself hardly shrinks."""
    text = base64.b64encode(random.Random(0).randbytes(675_000)).decode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array([text]))
    pq.write_table(pa.table({"text": column}), tmp_path / "d.parquet")
    assert (tmp_path / "d.parquet").stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        assert sum(len(document.text) for document in FileSource(tmp_path / "d.parquet")) == 300 * 900_000
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_parquet_that_unfolds_without_end_is_refused(tmp_path):
    """One text of 900 kB that packs to nothing, again and again: after 64 MiB, long before all of it."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["words " * 150_000]))
    pq.write_table(pa.table({"text": column}), tmp_path / "d.parquet", compression="zstd")
    read = 0
    with pytest.raises(BadSource, match="5,000 times as many bytes as the file has") as caught:
        for document in FileSource(tmp_path / "d.parquet"):
            read += len(document.text)
    assert caught.value.field == str(tmp_path / "d.parquet")
    assert (64 << 20) - (4 << 20) < read <= 64 << 20  # 4 MiB at a time


def test_a_parquet_file_that_ends_in_the_middle_is_named(tmp_path):
    table = pa.table({"text": [os.urandom(500).hex() for _ in range(3_000)]})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=500, write_page_checksum=True)
    raw = bytearray((tmp_path / "d.parquet").read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4_000] = bytes(4_000)
    put(tmp_path / "d.parquet", bytes(raw))
    assert "parquet cannot read from row" in refused(tmp_path / "d.parquet").got
    put(tmp_path / "d.parquet", bytes(raw[:-50]))
    assert "parquet" in refused(tmp_path / "d.parquet").got


# Fields


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "jsonl.gz"])
def test_named_fields_hold_for_every_format(tmp_path, suffix):
    path = tmp_path / f"d.{suffix}"
    row = {"q": "Hello?", "a": "Yes.", "n": "3"}
    if suffix == "csv":
        put(path, b"q,a,n\nHello?,Yes.,3\n")
    elif suffix == "parquet":
        pq.write_table(pa.Table.from_pylist([row]), path)
    else:
        put(path, gzip.compress(lines(row)) if suffix.endswith("gz") else lines(row))
    (text,) = open_source(str(path), options={"fields": ["a"], "difficulty_field": "n"})
    assert (text.text, text.difficulty) == ("Yes.", 3.0)
    assert texts(path, template="{q}\n{a}") == ["Hello?\nYes."]
    (chat,) = open_source(str(path), options={"chat_fields": {"prompt": "q", "completion": "a"}})
    assert [turn["content"] for turn in chat.messages] == ["Hello?", "Yes."]


def test_private_use_characters_are_characters(tmp_path):
    rows = [{"text": f"glyph \uf8d4 {n}"} for n in range(3)]
    assert texts(put(tmp_path / "d.jsonl", lines(*rows))) == [row["text"] for row in rows]


def test_a_conversation_that_no_context_holds_is_refused_by_row(tmp_path):
    long = [TALK[0], {"role": "assistant", "content": "x" * (5 << 20)}]
    error = refused(put(tmp_path / "d.jsonl", lines({"messages": TALK}, {"messages": long})))
    assert error.field == f"{tmp_path}/d.jsonl:2"
    assert error.got.startswith("a conversation of 5,242,899 characters")


def test_reading_tells_how_far_it_is(tmp_path):
    seen: list[int] = []
    path = put(tmp_path / "d.txt", b"words\n" * 500_000)
    source = FileSource(path, pulse=seen.append)
    before = sum(seen)
    assert sum(1 for _ in source) >= 90
    assert sum(seen) - before == 3_000_000
