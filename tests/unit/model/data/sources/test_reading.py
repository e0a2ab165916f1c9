"""Data as people have it: nulls, folders, links, compressed files, odd encodings."""

import codecs
import gzip
import io
import json
import os
import socket
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from model.data.sources import open_source, source_digest
from model.data.sources.files import FileSource
from model.errors import BadSource
from tests.unit.model.data.sources.written import SHAREGPT, TALK, lines, put, refused, texts

# Nulls


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "plain words", "messages": None}, "plain words"),
        ({"text": "words", "question": None, "answer": None}, "words"),
        ({"text": "words", "code": None}, "words"),
        ({"text": "words", "prompt": None, "completion": None}, "words"),
        ({"text": "words", "instruction": None, "output": None}, "words"),
        ({"text": "words", "problem": None, "solution": None, "source": None}, "words"),
        ({"raw_content": "words", "text": None}, "words"),
        ({"text": "words", "difficulty": None, "language": None}, "words"),
    ],
)
def test_a_field_that_is_null_is_not_there(tmp_path, row, text):
    assert texts(put(tmp_path / "d.jsonl", lines(*[row] * 3))) == [text] * 3
    pq.write_table(pa.Table.from_pylist([row] * 3), tmp_path / "d.parquet")
    assert texts(tmp_path / "d.parquet") == [text] * 3


@pytest.mark.parametrize(
    "row",
    [
        {"messages": None, "conversations": SHAREGPT, "text": None},
        {"messages": TALK, "prompt": None, "completion": None},
        {"messages": None, "prompt": "Hello?", "completion": "Yes.", "text": None},
        {"messages": None, "instruction": "Hello?", "input": None, "output": "Yes."},
    ],
)
def test_conversations_beside_columns_of_nulls(tmp_path, row):
    (document,) = open_source(str(put(tmp_path / "d.jsonl", lines(row))))
    assert [turn["content"] for turn in document.messages] == ["Hello?", "Yes."]
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "d.parquet")
    (document,) = open_source(str(tmp_path / "d.parquet"))
    assert [turn["content"] for turn in document.messages] == ["Hello?", "Yes."]


def test_nulls_change_neither_origin_nor_kind(tmp_path):
    (bare,) = open_source(str(put(tmp_path / "a.jsonl", lines({"text": "words"}))))
    (nulls,) = open_source(str(put(tmp_path / "b.jsonl", lines({"text": "words", "messages": None}))))
    assert (bare.origin, bare.kind) == (nulls.origin, nulls.kind)


def test_what_a_null_leaves_missing_is_named(tmp_path):
    assert "fields ['question'] (null: answer)" in str(
        refused(put(tmp_path / "a.jsonl", lines({"question": "Q", "answer": None})))
    )
    assert refused(put(tmp_path / "b.jsonl", lines({"text": None, "id": None}))).got.startswith("nulls only")
    error = refused(put(tmp_path / "c.jsonl", lines({"q": None, "a": "x"})), fields=["q"])
    assert (error.field, error.got) == (f"{tmp_path}/c.jsonl:1: q", "null")
    error = refused(tmp_path / "c.jsonl", chat_fields={"prompt": "q", "completion": "a"})
    assert error.field.endswith("c.jsonl:1: q")


# Folders


def every_format(folder: Path) -> None:
    """One document in each format: a ... h."""
    put(folder / "a.jsonl", lines({"text": "a"}))
    put(folder / "b.jsonl.gz", gzip.compress(lines({"text": "b"})))
    put(folder / "c.jsonl.zst", zstandard.compress(lines({"text": "c"})))
    pq.write_table(pa.table({"text": ["d"]}), folder / "d.parquet")
    put(folder / "e.csv", b"id,text\n1,e\n")
    put(folder / "F.JSONL", lines({"text": "f"}))
    put(folder / "g.txt.GZ", gzip.compress(b"g"))
    put(folder / "h.tsv.zst", zstandard.compress(b"text\tid\nh\t1\n"))


def test_a_folder_of_every_format_is_read_and_what_is_not_is_named(tmp_path):
    every_format(tmp_path)
    for name in ("README.md", "LICENSE.txt", "dataset_infos.json", "DATASET_CARD.md", "readme_zh.md", "licence.rst"):
        put(tmp_path / name, b'{"text": "never"}')
    put(tmp_path / "photo.png", b"x")
    put(tmp_path / "e.parquet.gz", b"x")
    put(tmp_path / ".hidden.jsonl", b"x")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "up").symlink_to(tmp_path.parent)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "self").symlink_to(tmp_path / "deep")
    put(tmp_path / "deep" / "i.txt", b"i")
    os.mkfifo(tmp_path / "deep" / "pipe.txt")
    parent = tmp_path / "deep" / "parent"
    parent.symlink_to(tmp_path)
    (tmp_path / "up").unlink()
    source = open_source(str(tmp_path))
    assert sorted(document.text.strip() for document in source) == list("abcdefghi")
    said = "\n".join(source.notes())
    assert "about the data: 6 (DATASET_CARD.md, LICENSE.txt, README.md, ...)" in said
    assert "hidden: 1 (.hidden.jsonl)" in said
    assert "links to nothing: 1 (gone.txt)" in said
    assert "links to a folder that is read already: 2 (deep/parent, deep/self)" in said
    assert "neither files nor folders: 1 (deep/pipe.txt)" in said
    assert "of other kinds: 2 (" in said
    assert ".png 1" in said


def test_links_to_files_and_folders_are_followed_once(tmp_path):
    data, blobs = tmp_path / "data", tmp_path / "blobs"
    data.mkdir()
    blobs.mkdir()
    put(blobs / "0f3a", lines({"text": "a blob under a hash"}))
    put(blobs / "other.txt", b"in a folder elsewhere")
    (data / "train.jsonl").symlink_to(blobs / "0f3a")
    (data / "more").symlink_to(blobs)
    (data / "again").symlink_to(blobs)
    source = open_source(str(data))
    assert sorted(document.text for document in source) == ["a blob under a hash", "in a folder elsewhere\n"]
    assert any("links to a folder that is read already: 1 (" in note for note in source.notes())


def test_a_folder_of_chats_with_its_card_is_chat(tmp_path):
    put(tmp_path / "train.jsonl", lines({"messages": TALK}))
    put(tmp_path / "README.md", b"# The data\n")
    put(tmp_path / "dataset_infos.json", b'{"default": {}}')
    put(tmp_path / "sub__README.md", b"of a folder that was sent flat")
    source = open_source(str(tmp_path))
    assert (source.kind, len(list(source))) == ("chat", 1)


def test_what_describes_data_is_read_when_it_is_asked_for_by_name(tmp_path):
    assert texts(put(tmp_path / "README.md", b"words")) == ["words\n"]
    put(tmp_path / "license.py", b"x = 1\n")
    assert texts(tmp_path) == ["x = 1\n"]  # a program is no licence


def test_a_folder_with_nothing_to_read_says_what_is_there(tmp_path, monkeypatch):
    put(tmp_path / "README.md", b"words")
    put(tmp_path / "a.png", b"x")
    error = refused(tmp_path)
    assert "about the data: 1 (README.md); of other kinds: 1 (.png 1)" in error.got
    (tmp_path / "link").symlink_to(tmp_path / "none")
    assert refused(tmp_path / "link").got == "a link to nothing"
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("s.txt")
        assert refused(tmp_path / "s.txt").got == "neither a file nor a folder"
    assert "NUL" in refused(tmp_path / "a\0b").got or "null" in refused(tmp_path / "a\0b").got


@pytest.mark.parametrize("name", [b"two words.txt", b"line\nbreak.txt", "名前.txt".encode(), b"caf\xe9.txt"])
def test_names_of_any_bytes_are_read_and_their_faults_can_be_printed(tmp_path, name):
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
    put(path, b"words")
    assert texts(tmp_path) == ["words\n"]
    assert len(source_digest(open_source(str(tmp_path)))) == 64
    put(path, b"\xe9")
    assert "0xe9" in refused(tmp_path).got
    by_file = open_source(str(put(tmp_path / "whole.txt", b"x")), options={"hold_out": "file"})
    assert str(next(iter(by_file)).group).startswith("file:")


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    """The tests may run as root, for whom every file may be read: the system's answer is given in its place."""
    locked = put(tmp_path / "locked.jsonl", lines({"text": "a"}))
    put(tmp_path / "open.jsonl", lines({"text": "b"}))
    real = io.open

    def guarded(path, *arguments, **options):
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", guarded)
    error = refused(tmp_path, FileSource)
    assert (error.field, error.got) == (str(locked), "a file that cannot be read (Permission denied)")
    found: list[BadSource] = []
    source = FileSource(tmp_path, on_fault=found.append)
    assert [document.text for document in source] == ["b"]
    assert {fault.field for fault in found} == {str(locked)}


# Compression


def test_members_and_frames_follow_one_another(tmp_path):
    first, second = lines({"text": "a"}), lines({"text": "b"})
    assert texts(put(tmp_path / "d.jsonl.gz", gzip.compress(first) + gzip.compress(second))) == ["a", "b"]
    frames = zstandard.compress(first) + zstandard.compress(second)
    assert texts(put(tmp_path / "d.jsonl.zst", frames)) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.jsonl.gz", gzip.compress(lines(*({"text": str(n)} for n in range(5_000))))[:-9], "ends in the middle"),
        ("cut.txt.zst", zstandard.compress(bytes(str(list(range(90_000))), "ascii"))[:-9], "ends in the middle"),
        ("plain.jsonl.gz", lines({"text": "a"}), "no gzip file"),
        ("plain.jsonl.zst", lines({"text": "a"}), "a damaged zstd file"),
        (
            "flipped.txt.gz",
            gzip.compress(b"words " * 50)[:20] + b"\xff\xff" + gzip.compress(b"words " * 50)[22:],
            "gzip",
        ),
        ("empty.jsonl.gz", gzip.compress(b""), "no rows"),
        ("empty.txt.zst", zstandard.compress(b""), "only blank lines"),
        ("none.csv.gz", gzip.compress(b"text\n"), "no rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # gzip writes the time into its bytes
)
def test_damaged_and_empty_compressed_files_are_named(tmp_path, name, content, said):
    error = refused(put(tmp_path / name, content))
    assert error.field.startswith(str(tmp_path / name))
    assert said in error.got


@pytest.mark.parametrize("name", ["bomb.txt.gz", "bomb.jsonl.gz", "bomb.txt.zst", "bomb.json.zst"])
def test_a_file_that_unfolds_without_end_is_refused_in_little_memory(tmp_path, name):
    raw = b"[" + b" " * (100 << 20) if ".json." in name else b"a" * (100 << 20)
    path = put(tmp_path / name, gzip.compress(raw, 9) if name.endswith("gz") else zstandard.compress(raw))
    del raw
    tracemalloc.start()
    try:
        error = refused(path, FileSource)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "more than 200 times as many bytes" in error.got or "a row of more than" in error.got
    assert peak < 300 << 20


# Text


PARAGRAPHS = [f"Paragraph {n} with {'some ' * (n % 40)}words.\nA second line\u2028of it, é." for n in range(400)]


def test_line_ends_and_encodings_make_no_difference(tmp_path):
    text = "\n\n".join(PARAGRAPHS) + "\n" + "long " * 30_000 + "\n" + "x" * 200_000
    twins = {
        "lf": text.encode(),
        "crlf": text.replace("\n", "\r\n").encode(),
        "cr": text.replace("\n", "\r").encode(),
        "bom": codecs.BOM_UTF8 + text.encode(),
        "utf16": text.encode("utf-16"),
        "utf16be": codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        "utf32": text.encode("utf-32"),
    }
    found = {name: list(open_source(str(put(tmp_path / f"{name}.txt", raw)))) for name, raw in twins.items()}
    found["gz"] = list(open_source(str(put(tmp_path / "d.txt.gz", gzip.compress(twins["crlf"])))))
    assert len(found["lf"]) > 10
    told = {name: [(d.text, d.origin) for d in documents] for name, documents in found.items()}
    assert all(told[name] == told["lf"] for name in told)
    assert "".join("".join(d.text.split()) for d in found["lf"]) == "".join(text.split())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_rows_make_no_difference(tmp_path, end):
    rows = [{"text": f"one\u2028line {n}"} for n in range(3)]
    path = put(tmp_path / "d.jsonl", end.join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    assert texts(path) == [row["text"] for row in rows]
    table = end.join(["text;id", '"one', 'two ""2"""; 1', "three;2"])
    assert texts(put(tmp_path / "d.csv", table.encode())) == ['one\ntwo "2"', "three"]


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        (b"a\nb\ncaf\xe9\n", ":3", "0xe9 at offset 7, which is not UTF-8"),
        (b"a\r\nb\r\xff", ":3", "0xff at offset 5"),
        (codecs.BOM_UTF8 + b"a\n\xe9", ":2", "0xe9 at offset 5"),
        (b"a" * 300_000 + b"\n" + b"b" * 10 + b"\xe2\x82", ":2", "0xe2 at offset 300011"),
        ("words".encode("utf-16-le"), ":1", "a NUL character"),
        (codecs.BOM_UTF16_LE + b"a\0\n\0\0\xd8", ":2", "which is not UTF-16-LE"),
        (b"GIF89a\0\0", ":1", "a NUL character"),
    ],
)
def test_text_of_other_encodings_is_refused_by_line_and_byte(tmp_path, content, field, said):
    error = refused(put(tmp_path / "d.txt", content))
    assert error.field == f"{tmp_path}/d.txt{field}"
    assert said in error.got


def test_a_long_line_is_cut_between_words_and_loses_nothing(tmp_path):
    words = [f"word{n}" for n in range(20_000)]
    path = put(tmp_path / "d.txt", " ".join(words).encode())
    documents = texts(path, document_bytes=1_000)
    assert max(map(len, documents)) <= 8_001
    assert " ".join(documents).split() == words
    dna = put(tmp_path / "dna.txt", b"ACGT" * 100_000)
    assert "".join(texts(dna)).replace("\n", "") == "ACGT" * 100_000


def test_a_line_and_a_row_of_many_megabytes_stay_small_in_memory(tmp_path):
    line = put(tmp_path / "d.txt", b"ACGT" * (10 << 20))
    row = put(tmp_path / "d.jsonl", b'{"text": "' + b"words and words " * (1 << 20) + b'"}\n{"text": "b"}\n')
    tracemalloc.start()
    try:
        source = FileSource(line)
        assert sum(len(document.text) - 1 for document in source) == 40 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        source = FileSource(row)
        found = list(source)
        assert tracemalloc.get_traced_memory()[1] < 120 << 20
    finally:
        tracemalloc.stop()
    assert "".join(document.text for document in found[:-1]) == "words and words " * (1 << 20)
    assert len({document.origin for document in found[:-1]}) == 1
    assert found[-1].text == "b"
    assert source.notes() == (f"{row}:1: a text of more than 1,048,576 characters is read as 16 documents",)


def test_rows_longer_than_any_bound_are_refused_and_the_next_one_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("model.data.readers.json_rows.MOST_ROW_CHARACTERS", 1 << 20)
    rows = lines({"text": "a"}) + b'{"text": "' + b"x" * (3 << 20) + b'"}\n' + lines({"text": "b"})
    path = put(tmp_path / "d.jsonl", rows)
    found: list[BadSource] = []
    assert [d.text for d in FileSource(path, on_fault=found.append)] == ["a", "b"]
    assert {fault.field for fault in found} == {f"{path}:2"}
    array = put(tmp_path / "d.json", b'[{"text": "a"}, {"text": "' + b"x" * (5 << 20) + b'"}]')
    error = refused(array, FileSource)
    assert (error.field, error.got) == (f"{array}[1]", "a row of more than 1 Mi characters")
