"""Prepares a source: hold out, tokenise, pack into shards, freeze the evaluation sets, measure the overlap.

    root/shards/{digest}/           training tokens, see `model.data.shards`
    root/evalsets/{digest}/         control and report sets, see `model.data.eval_set`
    root/prepared/{digest}.json     which shard and sets belong together, and the overlap; written last

Everything is named by what it was made from (source, tokenizer, options, what may not be trained on). What is there is
not made again, and nothing partial is ever visible under its final name. Memory stays bounded for a source of any size:
documents are tokenised in batches of about a megabyte, and of the held-out ones only as many are kept as the evaluation
sets may hold.

A source is read twice. `hold` finds the documents that its evaluation sets are made of; with those of every source of a
run, and of the runs that it builds on, they are the run's `Exam`. `prepare` then tokenises what is left: documents of
the training part that hold nothing of the exam, each measured for overlap on its way.

`python -m model.cli.prepare SOURCE --out FOLDER` does it without any server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers

from model.data.contamination import OverlapMeter
from model.data.content import NORMALISATION
from model.data.eval_set import UNIT_TOKENS, EvalSet
from model.data.exam import Exam, Held, hold
from model.data.held_out import FILE as HELD_OUT_FILE
from model.data.held_out import HeldOut
from model.data.prepared import Prepared, read_record, write_record
from model.data.shards import ShardMeta, ShardWriter
from model.data.sources import Source, source_digest
from model.data.split import CONTROL, REPORT, TRAIN, HoldOut, Training, split_of
from model.document import Document
from model.errors import BadSource, NothingToPack
from model.tokenization.encoding import encode_texts

if TYPE_CHECKING:
    from model.tokenization.tokenizer import Tokenizer

Progress = Callable[[int, int | None], None]  # (bytes of text done, bytes in all or None)
BATCH_BYTES = 1 << 20
PACKING = 2  # part of every digest: raise it when packing changes what it writes


def shard_digest(source: Source, tokenizer: Tokenizer, options: Mapping[str, Any]) -> str:
    """SHA-256 that names the shard of a source, a tokenizer and options (context, kind, hold-out rule, exam)."""
    content = [*versions(), source_digest(source), tokenizer.fingerprint, dict(options)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def prepared_digest(
    source: Source,
    tokenizer: Tokenizer,
    *,
    context: int,
    hold_out: HoldOut | None = None,
    overlap: bool = True,
    exam: Exam | None = None,
) -> str:
    """The digest that `prepare` names its work by: it covers everything that changes a token, a mask, an order, a set
    or a figure of it, and nothing else (no path, no file's name, no time)."""
    rule = hold_out or HoldOut()
    options: dict[str, Any] = {"context": context, "kind": source.kind, "hold_out": asdict(rule), "overlap": overlap}
    # Its own sets follow from the source and the rule: then there is no need to read it in order to find it prepared.
    options["exam"] = None if exam is None else [exam.contents.digest, sorted(exam.sets)]
    return shard_digest(source, tokenizer, options)


def versions() -> list[Any]:
    """What decides over prepared data beside source, tokenizer and options: this code's own rules, and the library that
    makes the ids."""
    return [PACKING, NORMALISATION, UNIT_TOKENS, tokenizers.__version__]


def training_texts(source: Source, hold_out: HoldOut | None = None, *, limit_bytes: int | None = None) -> Iterator[str]:
    """The texts that a tokenizer may be trained on: those of the training part only."""
    seen = 0
    for document in source:
        if split_of(document, hold_out) == TRAIN:
            text = document.plain_text()
            seen += len(text.encode("utf-8", "surrogatepass"))
            yield text
            if limit_bytes is not None and seen >= limit_bytes:
                return


def pack(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    context: int,
    kind: str,
    source: str = "",
    digest: str = "",
    held_out: HeldOut | None = None,
    progress: Progress | None = None,
    total_bytes: int | None = None,
) -> ShardMeta:
    """Tokenises documents into the shard `folder`, which appears whole or not at all.

    documents may be a Source or any iterable; kind is `text` or `chat` and every document must be of it. `held_out`
    goes with the shard, for the checkpoints of whoever trains on it. Raises BadSource for a document of the other kind,
    for an empty source, and whatever the source raises.
    """
    if kind not in ("text", "chat"):
        raise BadSource(field="kind", got=kind, expected="text, chat")
    done = 0
    with ShardWriter(
        folder, kind=kind, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest, context=context
    ) as writer:
        for batch, size in _batches(documents, kind):
            if kind == "text":
                ids = encode_texts(tokenizer, batch)
                masks = None
            else:
                encoded = [tokenizer.encode_document(document) for document in batch]
                ids, masks = [pair[0] for pair in encoded], [pair[1] for pair in encoded]
            writer.add(ids, masks, [document.difficulty for document in batch], size)
            done += size
            if progress is not None:
                progress(done, total_bytes)
        if held_out is not None and len(held_out):
            writer.attach(HELD_OUT_FILE, held_out.to_bytes())
        return writer.finish(source=source, digest=digest)


def prepare(
    source: Source,
    tokenizer: Tokenizer,
    root: Path,
    *,
    context: int,
    hold_out: HoldOut | None = None,
    name: str | None = None,
    overlap: bool = True,
    held: Held | None = None,
    exam: Exam | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Splits and packs a source under `root`, or finds it there. `name` names the evaluation sets (default: the URI).

    held: what `hold` found in this source; without it, it is looked for. exam: what the run is judged by, this source's
    own sets included (default: those only). Raises BadSource when nothing is left to train on, or when documents should
    be held out and none was.
    """
    rule = hold_out or HoldOut()
    root = Path(root)
    digest = prepared_digest(source, tokenizer, context=context, hold_out=rule, overlap=overlap, exam=exam)
    record = root / "prepared" / f"{digest}.json"
    found = read_record(record, root)
    if found is not None:
        return found
    if held is None:
        held = hold(source, tokenizer, rule)
    if exam is None:
        exam = Exam.of({"": held})
    meter = OverlapMeter(exam.sets if overlap else {})
    training = Training(source, rule, exam.contents)
    shard = root / "shards" / digest
    read = meter.passing(training) if overlap else training
    _pack_training(source, training, read, tokenizer, shard, context=context, exam=exam, progress=progress)
    folders = {
        part: _write_set(root, f"{name or source.uri}/{part}", documents, tokenizer, context)
        for part, documents in ((CONTROL, held.control), (REPORT, held.report))
    }
    prepared = Prepared(
        digest=digest,
        shard=shard,
        control=folders[CONTROL],
        report=folders[REPORT],
        overlap=tuple(meter.result().values()) if overlap else (),
        left_out=training.left_out,
    )
    write_record(record, prepared)
    return prepared


def _pack_training(
    source: Source,
    training: Training,
    read: Iterable[Document],
    tokenizer: Tokenizer,
    shard: Path,
    *,
    context: int,
    exam: Exam,
    progress: Progress | None,
) -> None:
    """Packs the training part of `source`, as `read` passes it on, and says why where the exam leaves nothing of it."""
    try:
        pack(
            read,
            tokenizer,
            shard,
            context=context,
            kind=source.kind,
            source=source.uri,
            digest=shard.name,
            held_out=exam.contents,
            progress=progress,
            total_bytes=source.size_hint_bytes(),
        )
    except NothingToPack as error:
        if not training.left_out:
            raise
        got = f"nothing to train on: all {training.left_out:,} documents hold text of an evaluation set"
        raise BadSource(source.uri, got, "text that the run, or its base, is not measured by") from error


def _write_set(
    root: Path, name: str, documents: tuple[Document, ...], tokenizer: Tokenizer, context: int
) -> Path | None:
    if not documents:
        return None
    evalset = EvalSet.build(name, documents, tokenizer, context)
    folder = root / "evalsets" / evalset.digest
    if not (folder / "meta.json").is_file():
        evalset.write(folder)
    return folder


def _batches(documents: Iterable[Document], kind: str) -> Iterator[tuple[list[Document], int]]:
    """Documents in batches of about BATCH_BYTES, with the UTF-8 bytes of each batch."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        if document.kind != kind:
            raise BadSource(
                field=str(document.meta.get("row", document.origin)),
                got=f"a {document.kind} document in {kind} data",
                expected=f"{kind} documents only",
            )
        batch.append(document)
        size += len(document.plain_text().encode("utf-8", "surrogatepass"))
        if size >= BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size
