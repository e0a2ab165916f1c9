"""The same texts in every form, in two sources at once: no document of an evaluation set is ever trained on."""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.exam import Exam, hold
from model.data.prepare import prepare
from model.data.prepared import open_prepared
from model.data.sources import open_source
from model.data.split import HoldOut, Training, split_of
from model.document import Document
from tests.unit.model.data_helpers import byte_tokenizer

# 300 texts of two to four lines, among them accents and a blank line inside.
TEXTS = [
    "\n".join(
        [f"Text {n} begins with a sentence about the number {n * n} and a caf\u00e9."]
        + [f"Its line {k} says that {n} times {k} is {n * k}, which nobody doubts." for k in range(1, 2 + n % 3)]
    )
    for n in range(300)
]
RULE = HoldOut(fraction=0.2)


def rows(name: str, made: Iterable[dict]) -> Callable[[Path], Path]:
    listed = list(made)

    def write(folder: Path) -> Path:
        content = "".join(json.dumps(row) + "\n" for row in listed).encode()
        path = folder / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def parquet(folder: Path) -> Path:
    columns = {"text": TEXTS, "messages": pa.nulls(len(TEXTS)), "id": list(range(len(TEXTS)))}
    pq.write_table(pa.table(columns), folder / "data.parquet")
    return folder / "data.parquet"


def comma(folder: Path) -> Path:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["id", "text"])
    writer.writerows([n, text] for n, text in enumerate(TEXTS))
    (folder / "data.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    return folder / "data.csv"


def one_file_each(end: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for n, text in enumerate(TEXTS):
            (folder / f"{n:03}.txt").write_bytes((text + "\n").replace("\n", end).encode())
        return folder

    return write


def one_file(folder: Path) -> Path:
    """All texts in one file: a document of it holds several of them."""
    (folder / "book.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    return folder / "book.txt"


FORMS: dict[str, Callable[[Path], Path]] = {
    "jsonl": rows("a.jsonl", ({"text": t} for t in TEXTS)),
    "ids": rows("b.jsonl", ({"id": f"row-{n}", "text": t, "difficulty": 1 + n % 5} for n, t in enumerate(TEXTS))),
    "nulls": rows("c.jsonl.gz", ({"text": t, "messages": None, "answer": None} for t in TEXTS)),
    "CR LF": rows("d.jsonl", ({"text": t.replace("\n", "\r\n")} for t in TEXTS)),
    "blanks": rows("e.jsonl", ({"text": t.replace("\n", " \n") + "  \n\n"} for t in TEXTS)),
    "backwards": rows("f.jsonl", ({"text": t} for t in reversed(TEXTS))),
    "parquet": parquet,
    "csv": comma,
    "files": one_file_each("\n"),
    "files, CR LF": one_file_each("\r\n"),
    "one file": one_file,
}


def words(document: Document) -> str:
    """The oracle's own idea of sameness: the words, whatever stands between them."""
    return " ".join(document.plain_text().split())


def documents_of(form: str, folder: Path) -> list[Document]:
    folder.mkdir()
    return list(open_source(str(FORMS[form](folder))))


def share_trained_on(sources: dict[str, list[Document]]) -> float:
    """Share of the held-out documents whose words stand in a training document, or hold one."""

    class Listed:
        uri = "listed"

        def __init__(self, documents: list[Document]) -> None:
            self._documents = documents

        def __iter__(self):
            return iter(self._documents)

    tokenizer = byte_tokenizer()
    held = {name: hold(Listed(documents), tokenizer, RULE) for name, documents in sources.items()}
    exam = Exam.of(held)
    trained = [words(d) for documents in sources.values() for d in Training(documents, RULE, exam.contents)]
    whole = {words(d): d for documents in sources.values() for d in documents}
    # What is measured is the beginning of a document: all of it is found by its first words.
    measured = [words(d) for documents in exam.sets.values() for d in documents]
    hit = [text for text in measured if any(text in other or other in text for other in trained)]
    assert measured
    assert trained
    assert len(whole) >= len(set(trained))
    return len(hit) / len(measured)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.sampled_from(sorted(FORMS)))
def test_one_text_in_two_forms_and_two_sources_is_on_one_side(first, second):
    with tempfile.TemporaryDirectory() as scratch:
        sources = {"general": documents_of(first, Path(scratch, "a")), "code": documents_of(second, Path(scratch, "b"))}
        share = share_trained_on(sources)
    print(f"{first} and {second}: {share:.1%} of the held-out documents trained on")
    assert share == 0


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"one file"}))
def test_every_form_has_the_same_sides(form, tmp_path):
    expected = {words(d): split_of(d, RULE) for d in documents_of("jsonl", tmp_path / "a")}
    found = {words(d): split_of(d, RULE) for d in documents_of(form, tmp_path / "b")}
    assert found == expected
    assert len(set(found.values())) == 3


def test_twins_have_the_same_evaluation_sets(tmp_path):
    """In whatever order and form the rows come."""
    tokenizer = byte_tokenizer()
    made = {}
    for form in ("jsonl", "ids", "nulls", "backwards"):
        (tmp_path / form).mkdir()
        source = open_source(str(FORMS[form](tmp_path / form)))
        made[form] = prepare(source, tokenizer, tmp_path / "out", context=64, hold_out=RULE)
    assert len({prepared.control for prepared in made.values()}) == 1
    assert len({prepared.report for prepared in made.values()}) == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["id", "nulls", "blank", "CR LF", "difficulty"]), unique=True), st.booleans())
def test_conversations_are_on_one_side_with_and_without_what_is_not_said(extras, sharegpt):
    turns = [(f"How much is {n} plus {n}?", f"It is {2 * n},\nas everybody knows.") for n in range(300)]
    plain, dressed = [], []
    for n, (question, answer) in enumerate(turns):
        plain.append({"messages": _turns(question, answer)})
        end = "\r\n" if "CR LF" in extras else "\n"
        answer = answer.replace("\n", end) + (f" {end}" if "blank" in extras else "")
        row: dict = (
            {"conversations": _sharegpt(question, answer)} if sharegpt else {"messages": _turns(question, answer)}
        )
        row |= {"id": f"talk-{n}"} if "id" in extras else {}
        row |= {"text": None, "system": None} if "nulls" in extras else {}
        row |= {"difficulty": 3} if "difficulty" in extras else {}
        dressed.append(row)
    with tempfile.TemporaryDirectory() as scratch:
        sources = {
            "chat": list(open_source(str(rows("a.jsonl", plain)(Path(scratch))))),
            "more": list(open_source(str(rows("b.jsonl", dressed)(Path(scratch))))),
        }
    sides = [{words(d): split_of(d, RULE) for d in documents} for documents in sources.values()]
    assert sides[0] == sides[1]
    assert share_trained_on(sources) == 0


def _turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _sharegpt(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def test_what_an_earlier_run_was_measured_by_is_not_trained_on_either(tmp_path):
    """A later run over the same texts, held out by another rule, keeps clear of the earlier run's sets."""
    tokenizer = byte_tokenizer()
    source = open_source(str(FORMS["jsonl"](tmp_path)))
    before = hold(source, tokenizer, RULE)
    other = HoldOut(fraction=0.05, salt="another")
    held = hold(source, tokenizer, other)
    texts = {words(d) for d in Training(source, other, Exam.of({"general": held}).contents)}
    assert texts & {words(d) for d in (*before.control, *before.report)}  # without being told, it trains on them
    exam = Exam.of({"general": held}, before.contents)
    prepared = prepare(
        source, tokenizer, tmp_path / "out", context=64, hold_out=other, held=held, exam=exam, name="general"
    )
    shard, _, _ = open_prepared(prepared)
    trained = {" ".join(tokenizer.decode(shard.document(n).tolist()).split()) for n in range(len(shard))}
    assert trained.isdisjoint(words(d) for d in (*before.control, *before.report, *held.control, *held.report))
    assert prepared.left_out > 0
    assert len(trained) == sum(split_of(d, other) == "train" for d in source) - prepared.left_out
