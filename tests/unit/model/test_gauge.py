"""The bundled gauge texts: enough of each kind in either half, disjoint, and held out by content."""

from collections import Counter

import pytest

from model.data.content import Content, content_key
from model.data.held_out import HeldOut
from model.document import Document
from model.errors import BadSource
from model.evaluation.forgetting_score import MIN_UNITS
from model.gauge import KINDS, gauge_texts, kind_of, set_name


@pytest.mark.parametrize("kind", KINDS)
def test_either_half_has_the_units_that_an_interval_needs(kind: str) -> None:
    texts = gauge_texts(kind)
    assert len(texts.control) >= MIN_UNITS
    assert len(texts.report) >= MIN_UNITS


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_a_unit_of_about_forty_words(kind: str) -> None:
    """Short ones are cheap, and none is so long that it would be cut into two units."""
    words = [len(document.plain_text().split()) for document in gauge_texts(kind).documents]
    assert min(words) >= 8
    assert max(words) <= 80
    assert 25 <= sum(words) / len(words) <= 60


def test_no_document_comes_twice() -> None:
    everything = [document for kind in KINDS for document in gauge_texts(kind).documents]
    assert max(Counter(map(content_key, everything)).values()) == 1
    assert not any("%%" in document.plain_text() for document in everything)


def test_the_halves_depend_on_what_the_documents_say_alone() -> None:
    texts = gauge_texts("narrative")
    keys = [content_key(document) for document in texts.documents]
    in_order = sorted(keys)
    assert {content_key(d) for d in texts.control} == set(in_order[::2])
    assert {content_key(d) for d in texts.report} == set(in_order[1::2])


def test_a_kind_that_there_is_none_of_is_named() -> None:
    with pytest.raises(BadSource, match=r"poetry.*encyclopaedic, narrative, code, conversation"):
        gauge_texts("poetry")


def test_digests_tell_kinds_apart() -> None:
    assert len({gauge_texts(kind).digest for kind in KINDS}) == len(KINDS)


def test_names_of_sets_say_which_kind_they_are() -> None:
    assert set_name("code") == "gauge-code"
    assert kind_of("gauge-code") == "code"
    assert kind_of("code") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_text_that_holds_a_gauge_document_is_found(kind: str) -> None:
    held = HeldOut.of(gauge_texts(kind).documents)
    for document in gauge_texts(kind).documents:
        around = f"Some words before it that are of no matter.\n{document.plain_text()}\nAnd some more behind it.\n"
        assert held.finds(Content(Document(text=around, origin="corpus"))), document.origin
    assert not held.finds(Content(Document(text="A text of its own, long enough to be compared.", origin="other")))
