"""Sources: every format and form in, every fault named by its place; the samples are what they say."""

import ast
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.data.sources import open_source, source_digest
from model.data.sources.stdlib import _bare_code
from model.data.split import split_of
from model.document import Document
from model.errors import BadSource
from model.tokenization.conversation_formats import normalise

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Forms of conversations


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": CHAT[:1], "completion": CHAT[1:]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"messages": [CHAT[0], {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}]},
    ],
)
def test_all_forms_become_the_same_conversation(row):
    assert list(normalise(row, where="r")) == CHAT


def test_alpaca_with_input_system_and_history():
    row = {"instruction": "Add", "input": "1, 2", "output": "3", "system": "S", "history": [["a", "b"]]}
    assert [(m["role"], m["content"]) for m in normalise(row, where="r")] == [
        ("system", "S"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "Add\n\n1, 2"),
        ("assistant", "3"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": CHAT[:1]}, "without an assistant turn"),
        ({"prompt": "Hi", "completion": "  "}, "without an assistant turn"),
        ({"messages": []}, "not empty"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "system, user, assistant, tool"),
        ({"messages": [{"role": "user", "content": None}, CHAT[1]]}, r"messages\[0\].content"),
        ({"conversations": [{"from": "alien", "value": "x"}]}, "human"),
        ({"conversations": [{"value": "x"}]}, "from and value"),
        ({"text": "x"}, "fields"),
    ],
)
def test_broken_conversations_are_refused_with_their_place(row, message):
    with pytest.raises(BadSource, match=message) as caught:
        normalise(row, where="chat.jsonl:7")
    assert caught.value.field.startswith("chat.jsonl:7")


# Rows


@pytest.mark.parametrize(
    ("row", "text", "difficulty"),
    [
        ({"text": "plain"}, "plain", None),
        ({"text": "plain", "difficulty": 4}, "plain", 4.0),
        ({"question": "Q?", "answer": "<<1+1=2>>2 <<2*2=4>>4"}, "Q?\n<<1+1=2>>2 <<2*2=4>>4", 2.0),
        ({"problem": "P", "solution": "S", "level": "Level 4", "type": "Algebra"}, "P\nS", 4.0),
        ({"raw_content": "web"}, "web", None),
        ({"text": "Write f", "code": "x = 1\r\n"}, "Write f\nx = 1\n", 1.0),
    ],
)
def test_known_forms_of_rows_are_recognised(tmp_path, row, text, difficulty):
    (document,) = open_source(str(write(tmp_path / "d.jsonl", row)))
    assert (document.text, document.difficulty) == (text, difficulty)


def test_named_fields_and_templates_join_any_row(tmp_path):
    path = str(write(tmp_path / "d.jsonl", {"a": "one", "b": ["two", "three"], "n": 3}))
    (joined,) = open_source(path, options={"fields": ["a", "b"]})
    assert joined.text == "one\n\ntwo three"
    (filled,) = open_source(path, options={"template": "{a}: {b}! {{x}}", "difficulty_field": "n"})
    assert (filled.text, filled.difficulty) == ("one: two three! {x}", 3.0)
    with pytest.raises(BadSource, match=r"no field 'c'; there are \['a', 'b', 'n'\]"):
        open_source(path, options={"fields": ["c"]})


def test_the_same_row_has_the_same_origin_in_every_file(tmp_path):
    first = write(tmp_path / "a.jsonl", {"text": "x"}, {"text": "y"})
    second = write(tmp_path / "b.jsonl", {"text": "y"})
    assert [d.origin for d in open_source(str(first))][1] == next(iter(open_source(str(second)))).origin


# Files


def test_formats_hold_the_same_documents(tmp_path):
    rows = [{"text": f"document {i}"} for i in range(5)]
    write(tmp_path / "d.jsonl", *rows)
    (tmp_path / "d.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = [[d.text for d in open_source(str(tmp_path / name))] for name in ("d.jsonl", "d.json", "d.parquet")]
    assert found == [[row["text"] for row in rows]] * 3
    assert len(list(open_source(str(tmp_path)))) == 15


def test_text_is_cut_at_blank_lines_and_loses_nothing_else(tmp_path):
    paragraphs = [f"Paragraph {i}. " + "word " * 30 for i in range(40)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs))
    source = open_source(str(tmp_path / "book.txt"), options={"document_bytes": 500})
    documents = list(source)
    assert len(documents) > 5
    assert "\n\n".join(d.text.strip() for d in documents).split() == " ".join(paragraphs).split()
    assert len({d.origin for d in documents}) == len(documents)
    assert {d.group for d in documents} == {None}


def test_a_file_held_out_as_a_whole_is_known_by_what_it_says(tmp_path):
    """Its name, line ends and the size of its pieces do not count."""
    paragraphs = [f"Paragraph {i}. " + "word " * 30 for i in range(40)]
    (tmp_path / "book.txt").write_bytes("\n\n".join(paragraphs).encode())
    (tmp_path / "copy.md").write_bytes("\r\n\r\n".join(paragraphs).encode() + b"\r\n")
    (tmp_path / "other.txt").write_bytes("\n\n".join(paragraphs[1:]).encode())

    def groups(name: str, size: int) -> set[str | None]:
        return {
            d.group for d in open_source(str(tmp_path / name), options={"document_bytes": size, "hold_out": "file"})
        }

    (group,) = groups("book.txt", 500)
    assert groups("copy.md", 500) == groups("book.txt", 900) == {group}
    assert groups("other.txt", 500) != {group}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.txt", b"", "an empty file"),
        ("e.jsonl", b"", "an empty file"),
        ("blank.txt", b"\n \n", "only blank lines"),
        ("latin.txt", b"good\ncaf\xe9\n", r"latin.txt:2: got byte 0xe9 at offset 8"),
        ("latin.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', r"latin.jsonl:2: got byte 0xff"),
        ("broken.jsonl", b'{"text": "a"}\n\n{"text": \n', "broken.jsonl:3: got a broken line"),
        ("list.jsonl", b"[1]\n", "list.jsonl:1: got a list"),
        ("fields.jsonl", b'{"txt": "a"}\n', r"fields.jsonl:1: got a row with the fields \['txt'\]"),
        ("hard.jsonl", b'{"text": "a", "difficulty": 9}\n', "difficulty"),
        ("number.jsonl", b'{"text": 3.5, "code": {}}\n', "code: got a dict"),
        ("bad.parquet", b"PAR0", "parquet"),
        ("data.xlsx", b"x", "jsonl"),
    ],
)
def test_bad_files_are_refused_by_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadSource, match=message):
        list(open_source(str(tmp_path / name)))


def test_source_code_without_a_line_is_left_out_of_a_folder(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_bytes(b"")
    (tmp_path / "package" / "blank.py").write_text("\n\n")
    with pytest.raises(BadSource, match="no documents"):
        open_source(str(tmp_path))
    (tmp_path / "package" / "code.py").write_text("x = 1\n")
    assert [document.text for document in open_source(str(tmp_path))] == ["x = 1\n"]
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(BadSource, match="an empty file"):
        open_source(str(tmp_path))


def test_what_is_not_there_or_not_known_is_refused(tmp_path):
    for uri, message in [
        (str(tmp_path / "none.txt"), "nothing there"),
        (str(tmp_path), "without data files"),
        ("ftp://x", "sample://"),
        ("sample://nothing", "sample://docs"),
        ("s3://bucket/x", "fetch"),
        ("hf://", "owner/name"),
        ("sample://math?colour=red", "colour"),
    ]:
        with pytest.raises(BadSource, match=message):
            open_source(uri)
    with pytest.raises(BadSource, match="limit_bytes"):
        open_source("sample://math", options={"limit_bytes": 0})


def test_s3_goes_through_the_function_passed_in(tmp_path):
    asked = []

    def fetch(uri, folder):
        asked.append(uri)
        return write(folder / "d.jsonl", {"text": "from afar"})

    source = open_source("s3://bucket/data/d.jsonl", fetch=fetch, cache=tmp_path)
    assert [d.text for d in source] == ["from afar"]
    assert asked == ["s3://bucket/data/d.jsonl"]


def test_a_local_folder_in_hub_layout_streams_through_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "data").mkdir()
    write(
        tmp_path / "data" / "train-00000.jsonl",
        {"question": "Q", "answer": "<<1=1>>"},
        {"question": "R", "answer": "A"},
    )
    write(tmp_path / "data" / "test-00000.jsonl", {"question": "T", "answer": "A"})
    source = open_source(f"hf://{tmp_path}")
    assert [(d.text, d.difficulty) for d in source] == [("Q\n<<1=1>>", 1.0), ("R\nA", None)]
    assert len(list(open_source(f"hf://{tmp_path}", options={"split": "test"}))) == 1
    with pytest.raises(BadSource, match="absent"):
        open_source(f"hf://{tmp_path / 'absent'}")


def test_digests_follow_the_content_not_the_place(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (write(tmp_path / n / "d.jsonl", {"text": "x"}) for n in "ab")
    assert source_digest(open_source(str(first))) == source_digest(open_source(str(second)))
    write(second, {"text": "y"})
    assert source_digest(open_source(str(first))) != source_digest(open_source(str(second)))
    assert source_digest(open_source("sample://math?seed=1")) != source_digest(open_source("sample://math"))


# Samples


def test_each_problem_is_answered_right():
    seen = set()
    for document in open_source("sample://math", options={"documents": 400}):
        seen.add(document.difficulty)
        calculations = re.findall(r"<<([^=<>]+)=(-?\d+)>>", document.text)
        assert calculations
        for left, right in calculations:
            python = left.replace("^", "**").replace("sqrt(", "pow(.5,") if "sqrt" in left else left.replace("^", "**")
            if "sqrt" in left:
                assert int(left[5:-1]) == int(right) ** 2
            elif "!" in left:
                assert {2: 2, 3: 6}[int(left[0])] == int(right)
            else:
                assert re.fullmatch(r"[-+*/() 0-9]+", python)
                assert eval(python) == int(right)
        result = document.text.rstrip().rsplit("#### ", 1)[1]
        assert result in {right for _, right in calculations}
    assert seen == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_generators_are_the_same_everywhere():
    first = {name: next(iter(open_source(f"sample://{name}"))) for name in ("math", "science", "chat")}
    again = {name: next(iter(open_source(f"sample://{name}"))) for name in ("math", "science", "chat")}
    assert first == again
    other = next(iter(open_source("sample://math?seed=1")))
    assert other.text != first["math"].text


def test_options_of_the_samples():
    assert {d.difficulty for d in open_source("sample://math?difficulty=[2,3]&documents=50")} == {2.0, 3.0}
    assert {d.meta["field"] for d in open_source('sample://science?fields=["physics"]&documents=20')} == {"physics"}
    for uri in (
        "sample://math?difficulty=[0,9]",
        'sample://science?fields=["magic"]',
        'sample://code?languages=["cobol"]',
    ):
        with pytest.raises(BadSource, match="expected"):
            open_source(uri)


def test_chat_answers_additions_right():
    found = 0
    for document in open_source("sample://chat", options={"documents": 200}):
        text = document.plain_text()
        for a, b, c in re.findall(r"(\d+) plus (\d+) is (\d+)\.", text):
            found += 1
            assert int(a) + int(b) == int(c)
        assert document.messages[-1]["role"] == "assistant"
    assert found > 20


def test_docs_and_code_of_one_library_file_fall_on_the_same_side():
    part_of_group: dict[str, set[str]] = {}
    for kind in ("docs", "code"):
        for document in open_source(f"sample://{kind}"):
            part_of_group.setdefault(document.group, set()).add(split_of(document))
    assert all(group.startswith("stdlib:") and len(parts) == 1 for group, parts in part_of_group.items())
    assert set.union(*part_of_group.values()) == {"train", "control", "report"}


def test_docs_read_as_english():
    documents = list(open_source("sample://docs", options={"limit_documents": 150}))
    text = "\n".join(d.text for d in documents)
    assert ">>>" not in text
    assert len(re.findall(r"\bthe\b", text, re.IGNORECASE)) / len(text.split()) > 0.05


def test_bare_code_keeps_the_program_and_nothing_else():
    source = '''"""Module."""
import os  # why

# a whole line
def f(a):
    """Only a docstring."""


def g(b):
    r"""Docstring
    of two lines."""
    text = "no # comment"; other = f"{b}#"  # yes
    return """kept

    # inside a string
"""
'''
    bare = _bare_code(source, ast.parse(source))
    assert (
        bare
        == '''import os
def f(a):
    pass
def g(b):
    text = "no # comment"; other = f"{b}#"
    return """kept

    # inside a string
"""
'''
    )


def test_code_has_no_docstrings_and_mostly_parses():
    documents = list(open_source("sample://code", options={"limit_documents": 60}))
    parsed = 0
    for document in documents:
        assert 1.0 <= document.difficulty <= 5.0
        try:
            tree = ast.parse(document.text)
        except SyntaxError:
            continue  # begins within a class
        parsed += 1
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert ast.get_docstring(node) is None
    assert parsed > 20


def test_a_document_is_a_text_or_a_conversation_of_a_difficulty_from_1_to_5():
    for bad in (
        {},
        {"text": "a", "messages": tuple(CHAT)},
        {"text": "a", "difficulty": 0.5},
        {"text": "a", "difficulty": float("nan")},
    ):
        with pytest.raises(BadSource):
            Document(origin="o", **bad)
