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
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers

from model.data.contamination import Overlap, OverlapMeter
from model.data.content import NORMALISATION, Content
from model.data.eval_set import UNIT_TOKENS, EvalSet
from model.data.held_out import FILE as HELD_OUT_FILE
from model.data.held_out import HeldOut
from model.data.shards import ShardMeta, ShardWriter, TokenShard
from model.data.sources import Source, source_digest
from model.data.split import CONTROL, REPORT, TRAIN, HoldOut, Nearest, Reservoir, Training, key_of, route, split_of
from model.document import Document
from model.errors import BadSource, NothingToPack
from model.tokenization.encoding import encode_texts

if TYPE_CHECKING:
    from model.tokenization.tokenizer import Tokenizer

Progress = Callable[[int, int | None], None]  # (bytes of text done, bytes in all or None)
BATCH_BYTES = 1 << 20
_DOCUMENTS_A_BEAT = 1_000
PACKING = 2  # part of every digest: raise it when packing changes what it writes


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What preparing a source made. `control` and `report` are None when nothing was held out (fraction 0).

    overlap   of each set of the exam with the training text of this source
    left_out  documents that were not taken because they hold text of the exam
    """

    digest: str
    shard: Path
    control: Path | None
    report: Path | None
    overlap: tuple[Overlap, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the evaluation sets of one source are made of: documents as they are measured (long ones shortened), and the
    contents of the whole ones."""

    control: tuple[Document, ...] = ()
    report: tuple[Document, ...] = ()
    contents: HeldOut = field(default_factory=HeldOut)


@dataclass(frozen=True, kw_only=True)
class Exam:
    """All that a run is judged by: the documents of each set, and every content that may not be trained on (those of
    the sets, and those that the runs before held out)."""

    sets: Mapping[str, tuple[Document, ...]]
    contents: HeldOut

    @classmethod
    def of(cls, held: Mapping[str, Held], before: HeldOut | None = None) -> Exam:
        """The exam of a run whose roles hold out so much; `before`: what its base was measured by."""
        sets = {}
        for role, parts in held.items():
            for part, documents in ((CONTROL, parts.control), (REPORT, parts.report)):
                if documents:
                    sets[f"{role}/{part}" if role else part] = documents
        return cls(
            sets=sets, contents=HeldOut.union([*(parts.contents for parts in held.values()), before or HeldOut()])
        )


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
        raise BadSource(field="kind", came=kind, allowed="text, chat")
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


def hold(
    source: Source, tokenizer: Tokenizer, hold_out: HoldOut | None = None, *, beat: Callable[[], None] = lambda: None
) -> Held:
    """The documents that the evaluation sets of a source are made of, found in one pass without tokenising the rest.

    The same contents give the same sets in any form and order. Raises BadSource when nothing is held out for a set.
    """
    rule = hold_out or HoldOut()
    if rule.fraction == 0:
        return Held()
    held = {CONTROL: Reservoir(rule.control_units, rule.salt), REPORT: Reservoir(rule.report_units, rule.salt)}
    nearest = Nearest(rule)
    for number, _ in enumerate(route(source, rule, held, nearest)):
        if number % _DOCUMENTS_A_BEAT == 0:
            beat()
    given_up = _fill_empty(source, rule, held, nearest, beat)
    chosen: dict[str, list[tuple[Document, Document]]] = {}
    caps = {CONTROL: (rule.control_units, rule.control_tokens), REPORT: (rule.report_units, rule.report_tokens)}
    contents = HeldOut()
    for part, (units, tokens) in caps.items():
        # A report set shares nothing with the control set, by which everything was chosen.
        documents = [document for document in held[part].by_hash() if not contents.finds(Content(document))]
        chosen[part] = within_caps(documents, tokenizer, units=units, tokens=tokens, shorten_to=rule.shorten_to)
        if not chosen[part]:
            raise BadSource(
                field=f"{source.uri}: {part} set",
                came="no document was held out for it",
                allowed=f"more documents, or a hold-out fraction above {rule.fraction:g} (or 0 for none)",
            )
        contents |= HeldOut.of(whole for whole, _ in chosen[part])
    contents |= HeldOut.of(given_up)
    return Held(
        control=tuple(shown for _, shown in chosen[CONTROL]),
        report=tuple(shown for _, shown in chosen[REPORT]),
        contents=contents,
    )


def _fill_empty(
    source: Source, rule: HoldOut, held: dict[str, Reservoir], nearest: Nearest, beat: Callable[[], None]
) -> list[Document]:
    """Gives a set that the rule left empty the documents nearest to it, and returns them: none may be trained on."""
    share = max(1, round(nearest.documents * rule.fraction / 2))
    wanted = {part: nearest.take(share) for part in (CONTROL, REPORT) if not held[part].by_hash()}
    if not any(wanted.values()):
        return []
    given_up: list[Document] = []
    for number, document in enumerate(source):
        if number % _DOCUMENTS_A_BEAT == 0:
            beat()
        key = key_of(document)
        for part, keys in wanted.items():
            if key in keys:
                held[part].add(document)
                given_up.append(document)
    return given_up


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
    found = _read_record(record, root)
    if found is not None:
        return found
    if held is None:
        held = hold(source, tokenizer, rule)
    if exam is None:
        exam = Exam.of({"": held})
    meter = OverlapMeter(exam.sets if overlap else {})
    training = Training(source, rule, exam.contents)
    shard = root / "shards" / digest
    try:
        pack(
            meter.passing(training) if overlap else training,
            tokenizer,
            shard,
            context=context,
            kind=source.kind,
            source=source.uri,
            digest=digest,
            held_out=exam.contents,
            progress=progress,
            total_bytes=source.size_hint_bytes(),
        )
    except NothingToPack as error:
        if not training.left_out:
            raise
        came = f"nothing to train on: all {training.left_out:,} documents hold text of an evaluation set"
        raise BadSource(source.uri, came, "text that the run, or its base, is not measured by") from error
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
    _write_record(record, prepared)
    return prepared


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
                came=f"a {document.kind} document in {kind} data",
                allowed=f"{kind} documents only",
            )
        batch.append(document)
        size += len(document.plain_text().encode("utf-8", "surrogatepass"))
        if size >= BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def within_caps(
    by_hash: list[Document], tokenizer: Tokenizer, *, units: int, tokens: int, shorten_to: int | None
) -> list[tuple[Document, Document]]:
    """(whole, as it is measured) of the first documents by hash that stay within both caps, at least one."""
    chosen: list[tuple[Document, Document]] = []
    used_units = used_tokens = 0
    for whole in by_hash:
        document, length = _shortened(whole, tokenizer, shorten_to)
        used_units += max(1, -(-length // UNIT_TOKENS))
        used_tokens += length
        if chosen and (used_units > units or used_tokens > tokens):
            break
        chosen.append((whole, document))
    return chosen


def _shortened(document: Document, tokenizer: Tokenizer, most: int | None) -> tuple[Document, int]:
    """The document, a text of more than `most` tokens cut between words, and how many tokens it has."""
    if document.text is None:
        return document, len(tokenizer.encode_document(document)[0])
    text = document.text
    (ids,) = encode_texts(tokenizer, [document])
    length = len(ids)
    while most is not None and length > most:
        target = len(text) * most // length
        cut = max(text.rfind(" ", 0, target), text.rfind("\n", 0, target))
        text = text[: cut if cut > target // 2 else max(1, target)].rstrip() or text[: max(1, target)]
        (ids,) = encode_texts(tokenizer, [replace(document, text=text)])
        length = len(ids)
        if target < 2:
            break
    return (document if text == document.text else replace(document, text=text)), length


def _read_record(record: Path, root: Path) -> Prepared | None:
    try:
        raw = json.loads(record.read_text())
    except FileNotFoundError:
        return None
    control, report = ((root / raw[part]) if raw[part] else None for part in (CONTROL, REPORT))
    shard = root / raw["shard"]
    if not all((folder / "meta.json").is_file() for folder in (shard, control, report) if folder):
        return None
    overlaps = tuple(
        Overlap(**(facts | {"exact": tuple(facts["exact"]), "near": tuple(facts["near"])})) for facts in raw["overlap"]
    )
    return Prepared(
        digest=raw["digest"],
        shard=shard,
        control=control,
        report=report,
        overlap=overlaps,
        left_out=raw["left_out"],
    )


def _write_record(record: Path, prepared: Prepared) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    root = record.parent.parent
    raw: dict[str, Any] = {"digest": prepared.digest, "shard": prepared.shard.relative_to(root).as_posix()}
    for part, folder in ((CONTROL, prepared.control), (REPORT, prepared.report)):
        raw[part] = folder.relative_to(root).as_posix() if folder else None
    raw["left_out"] = prepared.left_out
    raw["overlap"] = [asdict(overlap) for overlap in prepared.overlap]
    partial = record.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(raw, indent=1) + "\n")
    os.replace(partial, record)


def open_prepared(prepared: Prepared) -> tuple[TokenShard, EvalSet | None, EvalSet | None]:
    """The training shard, the control set and the report set."""
    sets = [EvalSet.open(folder) if folder else None for folder in (prepared.control, prepared.report)]
    return TokenShard.open(prepared.shard), sets[0], sets[1]
