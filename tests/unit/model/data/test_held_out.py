"""Nothing that is measured is trained on: copies, texts that hold it, parts of it, other cuts of one text."""

import json

import pytest

from model.data.content import Content
from model.data.held_out import FILE, HeldOut
from model.document import Document
from model.errors import BadSource

LINES = [f"Line {n} of a text that is long enough to be known again, number {n * n}." for n in range(12)]


def document(*lines: str) -> Document:
    return Document(text="\n".join(lines), origin="o")


def conversation(*contents: str) -> Document:
    roles = ("user", "assistant")
    return Document(messages=tuple({"role": roles[n % 2], "content": c} for n, c in enumerate(contents)), origin="o")


def finds(held: Document, training: Document) -> bool:
    return HeldOut.of([held]).finds(Content(training))


HELD = document(*LINES[4:8])


@pytest.mark.parametrize(
    "training",
    [
        document(*LINES[4:8], ""),
        document(*(f"{line}\r" for line in LINES[4:8])),
        document(*LINES),  # holds it
        document(*LINES[:8]),
        document("Another beginning.", *LINES[4:8], "And another end."),
        document(*LINES[5:7]),  # is a part of it
        document(LINES[6]),
        document(*LINES[6:]),  # begins with its end
        document(*LINES[:6]),  # ends with its beginning
        conversation("What is that?", "\n".join(LINES[4:8])),
    ],
)
def test_what_is_found(training):
    assert finds(HELD, training)


@pytest.mark.parametrize(
    "training",
    [
        document(*LINES[:4], *LINES[8:]),
        document("An opening of its own.", LINES[5], "An end of its own."),  # shares a line in the middle
        document(*LINES[4:7], "Goes on in its own way."),  # shares a beginning, as files with one licence do
        document("Begins in its own way.", *LINES[5:8]),
    ],
)
def test_what_is_not_found(training):
    assert not finds(HELD, training)


def test_short_runs_are_no_evidence():
    held = document("Yes.", *LINES[:3])
    assert not finds(held, document("Yes."))
    assert not finds(document("Yes."), document("Well.", "Yes.", *LINES[3:5]))
    assert finds(document("Yes."), document(" Yes.\r\n"))
    assert not finds(document(*LINES[:3], "}"), document("}", *LINES[5:7]))  # from edge to edge, but only a bracket
    # Whole small turns are common to conversations that have nothing else in common; long ones are not.
    greeting = ("Hello there, how are you?", "I am fine, thank you very much.")
    assert not finds(conversation(*greeting), conversation(*greeting, "What is 2 + 2?", "4."))
    assert finds(conversation(*greeting), document("Dialogue", *greeting))
    assert finds(conversation(*LINES[:4]), conversation(*LINES[:6]))


def test_many_documents_with_one_opening_are_told_apart():
    held = HeldOut.of(document("import os", f"print({n} * {n}, 'of a program that is long enough')") for n in range(50))
    assert not held.finds(Content(document("import os", "print('something else that is long enough')")))
    assert held.finds(Content(document("import os", "print(49 * 49, 'of a program that is long enough')", "# more")))


def test_it_survives_the_disk_and_is_the_same_in_any_order(tmp_path):
    documents = [HELD, conversation("How many?", "Two."), document("One line only, long enough.")]
    held = HeldOut.of(documents)
    held.write(tmp_path)
    again = HeldOut.read(tmp_path)
    assert again == held == HeldOut.of(reversed(documents))
    assert again.digest == held.digest != HeldOut.of(documents[:2]).digest
    assert all(again.finds(Content(one)) for one in documents)
    assert len(HeldOut.of(documents[:2]) | HeldOut.of(documents[1:])) == 3
    assert HeldOut.union([HeldOut.of([one]) for one in documents]) == held


def test_nothing_held_out_is_no_file(tmp_path):
    HeldOut().write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(HeldOut.read(tmp_path)) == 0
    assert (HeldOut().digest, HeldOut().finds(Content(HELD))) == ("", False)


@pytest.mark.parametrize("change", [{"version": 9}, {"keys": "AA=="}, {"documents": 7}, {"lines": 3}, {"hashes": "*"}])
def test_a_broken_file_is_refused_by_name(tmp_path, change):
    HeldOut.of([HELD]).write(tmp_path)
    body = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(body | change))
    with pytest.raises(BadSource, match=FILE):
        HeldOut.read(tmp_path)
    (tmp_path / FILE).write_text("[]")
    with pytest.raises(BadSource, match=FILE):
        HeldOut.read(tmp_path)
