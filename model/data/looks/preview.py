"""The beginning of a source, shown as a model will read it: documents, their tokens, which of them are targets, and
how hard the documents are.

What is read is bounded in documents, bytes and seconds, foreign data and foreign rows are read by the child of
`model.data.sources.apart` as they are when a run is prepared, and nothing is written. Where the run begins with a model
that has a tokenizer, that one cuts, in a child too. Else none is there before a run is prepared, so one is trained on
what was read; it cuts about as the run's own will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.child_process.tokenizer import ApartTokenizer
from model.child_process.training import train_apart
from model.data.roles import StageText, as_role, role_options
from model.data.sources import open_source
from model.data.sources.bounded import BoundedSource, Enough, Faults
from model.data.sources.remote import Fetch
from model.document import DIFFICULTY_HIGH, DIFFICULTY_LOW, Document
from model.errors import BadSource
from model.tokenization.encoding import place_of
from model.tokenization.tokenizer import Tokenizer

LIMIT_DOCUMENTS, LIMIT_BYTES, READ_S, SHOW_S = 200, 1_000_000, 10.0, 30.0
VOCABULARY = 2_048  # of the tokenizer that is trained on the sample
LONGEST_CHARACTERS = 20_000  # of a text that is encoded
SHOWN_TOKENS = 240  # of each document
BINS = 8
TRAINED = f"a vocabulary of up to {VOCABULARY:,} trained on these documents; the run's own differs a little"


@dataclass(frozen=True, kw_only=True)
class PreviewedDocument:
    """tokens: (what it reads as, whether it is a target) of the first SHOWN_TOKENS; the counts are of all that was
    encoded, which of a `cut` text is its beginning."""

    place: str
    tokens: tuple[tuple[str, bool], ...]
    token_count: int
    target_count: int
    cut: bool
    difficulty: float | None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """difficulty: (low, high, count) of equal ranges from 1 to 5; empty where no document says."""

    kind: str
    documents: tuple[PreviewedDocument, ...]
    documents_read: int
    bytes_read: int
    complete: bool
    difficulty: tuple[tuple[float, float, int], ...]
    unrated: int
    notes: tuple[str, ...]
    tokenizer: str


@dataclass(frozen=True, kw_only=True)
class OwnTokenizer:
    """The tokenizer of the model that a run begins with: a folder with its files, and how their place is called."""

    folder: Path
    place: str


def preview(
    said: StageText,
    role: str,
    uri: str,
    *,
    count: int,
    fetch: Fetch | None = None,
    cache: Path | None = None,
    own: OwnTokenizer | None = None,
    read_s: float = READ_S,
    show_s: float = SHOW_S,
) -> Preview:
    """Reads the source of a role for `read_s` seconds and shows `count` of its documents, which may take `show_s` more.
    `own` cuts them, or a tokenizer that is trained on them. Raises BadSource and what opening `own` raises for what a
    run could not read either, with the place, and for a source that shows nothing in time.
    """
    clock = Faults(limit_s=read_s)
    options = role_options(said, role, uri) or None
    try:
        source = open_source(uri, options=options, fetch=fetch, cache=cache, waiting=clock.in_time)
        bounded = BoundedSource(source, clock, limit_bytes=LIMIT_BYTES)
        read, complete = _read(as_role(said, role, bounded), clock)
        if clock.found:
            raise clock.found[0]
        if not read:
            raise BadSource(uri, "no document", "at least one")
        texts = [document.plain_text() for document in read]
        clock = Faults(limit_s=show_s)
        chosen = [read[len(read) * n // min(count, len(read))] for n in range(min(count, len(read)))]
        shown = _all_shown(chosen, texts, own, clock)
    except Enough as error:
        raise BadSource(uri, f"nothing to show within {read_s + show_s:g} s", "a source that answers sooner") from error
    rated = [document.difficulty for document in read if document.difficulty is not None]
    return Preview(
        kind=bounded.kind,
        documents=shown,
        documents_read=len(read),
        bytes_read=sum(len(text.encode("utf-8", "surrogatepass")) for text in texts),
        complete=complete and bounded.complete,
        difficulty=histogram(rated),
        unrated=len(read) - len(rated),
        notes=tuple(source.notes()),
        tokenizer=f"the model's own, of {own.place}" if own else TRAINED,
    )


def histogram(difficulties: Sequence[float]) -> tuple[tuple[float, float, int], ...]:
    """(low, high, count) over BINS equal ranges [low, high) from 1 to 5, the last one closed; () of nothing."""
    if not difficulties:
        return ()
    width = (DIFFICULTY_HIGH - DIFFICULTY_LOW) / BINS
    counts = [0] * BINS
    for difficulty in difficulties:
        counts[min(BINS - 1, int((difficulty - DIFFICULTY_LOW) / width))] += 1
    return tuple((DIFFICULTY_LOW + n * width, DIFFICULTY_LOW + (n + 1) * width, c) for n, c in enumerate(counts))


def _read(documents: object, clock: Faults) -> tuple[list[Document], bool]:
    """The first documents, and whether they are all. What was read when the time is over is shown."""
    read: list[Document] = []
    try:
        for document in documents:  # type: ignore[attr-defined]
            read.append(document)
            if len(read) == LIMIT_DOCUMENTS or clock.is_late():
                return read, False
    except Enough:
        return read, False
    return read, True


def _all_shown(
    chosen: Sequence[Document], texts: Sequence[str], own: OwnTokenizer | None, clock: Faults
) -> tuple[PreviewedDocument, ...]:
    if own is not None:
        with ApartTokenizer.opened(own.folder, place=own.place, waiting=clock.in_time) as apart:
            return tuple(_shown(document, apart, apart) for document in chosen)
    tokenizer = train_apart(texts, VOCABULARY, waiting=clock.in_time)
    with ApartTokenizer(tokenizer, waiting=clock.in_time) as apart:
        return tuple(_shown(document, apart, tokenizer) for document in chosen)


def _shown(document: Document, apart: Tokenizer, tokenizer: Tokenizer) -> PreviewedDocument:
    """`apart` encodes, within its bounds; `tokenizer` tells what single tokens read as: one of our own making, or
    `apart` again."""
    cut = False
    if document.text is None:
        ids, mask = apart.encode_document(document)
    else:
        cut = len(document.text) > LONGEST_CHARACTERS
        ids = apart.encode_batch([document.text[:LONGEST_CHARACTERS]])[0]
        mask = [1] * len(ids)  # of plain text everything is to be learned
    pieces = [tokenizer.decode([int(one)], skip_special_tokens=False) for one in ids[:SHOWN_TOKENS]]
    return PreviewedDocument(
        place=place_of(document),
        tokens=tuple((text, bool(is_target)) for text, is_target in zip(pieces, mask, strict=False)),
        token_count=len(ids),
        target_count=int(sum(int(one) for one in mask)),
        cut=cut,
        difficulty=document.difficulty,
    )
