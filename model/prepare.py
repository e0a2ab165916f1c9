"""Prepares a source: hold out, tokenise, pack into shards, freeze the evaluation sets, measure the overlap.

    root/shards/{digest}/           training tokens, see `model.shards`
    root/evalsets/{digest}/         control and report sets, see `model.evalset`
    root/prepared/{digest}.json     which shard and sets belong together, and the overlap; written last

Everything is named by what it was made from (source, tokenizer, options). What is there is not made again, and nothing
partial is ever visible under its final name. Memory stays bounded for a source of any size: documents are tokenised in
batches of about a megabyte, and of the held-out ones only as many are kept as the evaluation sets may hold.

`python -m model.prepare SOURCE --out FOLDER` does it without any server.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.document import Document
from model.encoding import encode_texts
from model.errors import BadSource
from model.evalset import UNIT_TOKENS, EvalSet
from model.overlap import Overlap, measure_overlap
from model.shards import ShardMeta, ShardWriter, TokenShard
from model.sources import Source, source_digest
from model.split import CONTROL, REPORT, TRAIN, HoldOut, Reservoir, route, split_of

if TYPE_CHECKING:
    from model.tokenizer import Tokenizer

Progress = Callable[[int, int | None], None]  # (bytes of text done, bytes in all or None)
BATCH_BYTES = 1 << 20
PACKING = 1  # part of every digest: raise it when packing changes what it writes


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What preparing a source made. `control` and `report` are None when nothing was held out (fraction 0)."""

    digest: str
    shard: Path
    control: Path | None
    report: Path | None
    overlap: tuple[Overlap, ...]


def shard_digest(source: Source, tokenizer: Tokenizer, options: Mapping[str, Any]) -> str:
    """SHA-256 that names the shard of a source, a tokenizer and packing options (context, kind, hold-out rule)."""
    chat = getattr(tokenizer, "chat_template", None) if source.kind == "chat" else None
    content = [PACKING, source_digest(source), tokenizer.digest, chat, dict(options)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def training_texts(source: Source, hold_out: HoldOut | None = None, *, limit_bytes: int | None = None) -> Iterator[str]:
    """The texts that a tokenizer may be trained on: those of the training part only."""
    seen = 0
    for document in source:
        if split_of(document.origin, hold_out) == TRAIN:
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
    progress: Progress | None = None,
    total_bytes: int | None = None,
) -> ShardMeta:
    """Tokenises documents into the shard `folder`, which appears whole or not at all.

    documents may be a Source or any iterable; kind is `text` or `chat` and every document must be of it. Raises
    BadSource for a document of the other kind, for an empty source, and whatever the source raises.
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
    progress: Progress | None = None,
) -> Prepared:
    """Splits and packs a source under `root`, or finds it there. `name` names the evaluation sets (default: the URI).

    Raises BadSource when nothing is left to train on, or when documents should be held out and none was.
    """
    rule = hold_out or HoldOut()
    root = Path(root)
    options = {"context": context, "kind": source.kind, "hold_out": asdict(rule), "overlap": overlap}
    digest = shard_digest(source, tokenizer, options)
    record = root / "prepared" / f"{digest}.json"
    found = _read_record(record, root)
    if found is not None:
        return found
    held = {CONTROL: Reservoir(rule.control_units, rule.salt), REPORT: Reservoir(rule.report_units, rule.salt)}
    shard = root / "shards" / digest
    pack(
        route(source, rule, held),
        tokenizer,
        shard,
        context=context,
        kind=source.kind,
        source=source.uri,
        digest=digest,
        progress=progress,
        total_bytes=source.size_hint_bytes(),
    )
    folders: dict[str, Path | None] = {CONTROL: None, REPORT: None}
    documents: dict[str, list[Document]] = {}
    caps = {CONTROL: (rule.control_units, rule.control_tokens), REPORT: (rule.report_units, rule.report_tokens)}
    for part in (CONTROL, REPORT) if rule.fraction > 0 else ():
        units, tokens = caps[part]
        documents[part] = _within_caps(
            held[part].by_hash(), tokenizer, units=units, tokens=tokens, shorten_to=rule.shorten_to
        )
        if not documents[part]:
            raise BadSource(
                field=f"{source.uri}: {part} set",
                came="no document was held out for it",
                allowed=f"more documents, or a hold-out fraction above {rule.fraction:g} (or 0 for none)",
            )
        evalset = EvalSet.build(f"{name or source.uri}/{part}", documents[part], tokenizer, context)
        folder = root / "evalsets" / evalset.digest
        folders[part] = folder
        if not (folder / "meta.json").is_file():
            evalset.write(folder)
    overlaps = tuple(measure_overlap(documents, _training_documents(source, rule)).values()) if overlap else ()
    prepared = Prepared(digest=digest, shard=shard, control=folders[CONTROL], report=folders[REPORT], overlap=overlaps)
    _write_record(record, prepared)
    return prepared


def _training_documents(source: Source, rule: HoldOut) -> Iterator[Document]:
    return (document for document in source if split_of(document.origin, rule) == TRAIN)


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


def _within_caps(
    by_hash: list[tuple[int, Document]], tokenizer: Tokenizer, *, units: int, tokens: int, shorten_to: int | None
) -> list[Document]:
    """The first documents by hash that stay within both caps (at least one), back in the order of the source."""
    chosen: list[tuple[int, Document]] = []
    used_units = used_tokens = 0
    for place, whole in by_hash:
        document, length = _shortened(whole, tokenizer, shorten_to)
        used_units += max(1, -(-length // UNIT_TOKENS))
        used_tokens += length
        if chosen and (used_units > units or used_tokens > tokens):
            break
        chosen.append((place, document))
    return [document for _, document in sorted(chosen, key=lambda pair: pair[0])]


def _shortened(document: Document, tokenizer: Tokenizer, most: int | None) -> tuple[Document, int]:
    """The document, a text of more than `most` tokens cut between words, and how many tokens it has."""
    if document.text is None:
        return document, len(tokenizer.encode_document(document)[0])
    text = document.text
    length = len(tokenizer.encode(text))
    while most is not None and length > most:
        target = len(text) * most // length
        cut = max(text.rfind(" ", 0, target), text.rfind("\n", 0, target))
        text = text[: cut if cut > target // 2 else max(1, target)].rstrip() or text[: max(1, target)]
        length = len(tokenizer.encode(text))
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
    overlaps = tuple(Overlap(**facts) for facts in raw["overlap"])
    return Prepared(digest=raw["digest"], shard=shard, control=control, report=report, overlap=overlaps)


def _write_record(record: Path, prepared: Prepared) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    root = record.parent.parent
    raw: dict[str, Any] = {"digest": prepared.digest, "shard": prepared.shard.relative_to(root).as_posix()}
    for part, folder in ((CONTROL, prepared.control), (REPORT, prepared.report)):
        raw[part] = folder.relative_to(root).as_posix() if folder else None
    raw["overlap"] = [asdict(overlap) for overlap in prepared.overlap]
    partial = record.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(raw, indent=1) + "\n")
    os.replace(partial, record)


def open_prepared(prepared: Prepared) -> tuple[TokenShard, EvalSet | None, EvalSet | None]:
    """The training shard, the control set and the report set."""
    sets = [EvalSet.open(folder) if folder else None for folder in (prepared.control, prepared.report)]
    return TokenShard.open(prepared.shard), sets[0], sets[1]


if __name__ == "__main__":
    from model.prepare_cli import main

    raise SystemExit(main())
