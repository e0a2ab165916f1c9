"""Command of `python -m model.cli.prepare`: tokenise and pack a source, hold documents out, measure the overlap."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from model.child_process.tokenizer import ApartTokenizer
from model.child_process.training import train_apart
from model.data.prepare import Progress, prepare, training_texts
from model.data.prepared import Prepared, open_prepared
from model.data.readers.json_rows import parse
from model.data.shards import publish
from model.data.sources import Source, open_source
from model.data.split import HoldOut
from model.errors import BadSource, RetainModelError
from model.tokenization.tokenizer import Tokenizer

BAD_INPUT, INTERRUPTED = 2, 130
TOKENIZER_BYTES = 32 << 20  # text that a new tokenizer is trained on at most: more changes few of its pairs


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM. A class of its own: where a plain KeyboardInterrupt leaves a string that is being executed
    (dataclasses are made by such), CPython notes it, and a program started by `-m` that caught it ends by SIGINT all
    the same, with -2 in place of its exit code."""


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 for bad input with the field, what was got and what was expected on standard error; 130 after
    Ctrl-C or SIGTERM, which end it at once and leave nothing half-written."""
    options = _parser().parse_args(arguments)
    before = {number: signal.signal(number, _interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        print(_report(_run(options)))
    except RetainModelError as error:
        _say(f"error: {error}")
        return BAD_INPUT
    except Interrupted:
        _say("interrupted; what was finished before is kept, nothing is half-written")
        return INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _run(options: argparse.Namespace) -> Prepared:
    source = open_source(options.source, options=_options(options.options))
    rule = HoldOut(fraction=options.hold_out)
    tokenizer = _tokenizer(options, source, rule)
    with progress_bar("packing") as progress, ApartTokenizer(tokenizer) as bounded:
        prepared = prepare(source, bounded, options.out, context=options.context, hold_out=rule, progress=progress)
    for note in source.notes():
        _say(note)
    return prepared


def _options(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    found = parse(text, "--options")
    if not isinstance(found, dict):
        raise BadSource("--options", text, 'a JSON object, such as {"fields": ["story"]}')
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tokenizer(options: argparse.Namespace, source: Source, rule: HoldOut) -> Tokenizer:
    """The one that was given, or a new one trained on the training part and kept beside the shards."""
    if options.tokenizer is not None:
        return Tokenizer.load(options.tokenizer)
    texts = training_texts(source, rule, limit_bytes=TOKENIZER_BYTES)
    with progress_bar("training the tokenizer") as bar:
        total = min(TOKENIZER_BYTES, source.size_hint_bytes() or TOKENIZER_BYTES)
        progress = None if bar is None else lambda done: bar(done, total)
        tokenizer = train_apart(texts, options.vocab_size, progress=progress, say=_say)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tokenizer.partial-", dir=options.out) as partial:
        tokenizer.save(Path(partial) / "whole")
        publish(Path(partial) / "whole", options.out / "tokenizer")
    return tokenizer


def _report(prepared: Prepared) -> str:
    """What was made, for people to read."""
    shard, control, report = open_prepared(prepared)
    meta = shard.meta
    lines = [f"shard    {prepared.shard}", f"         {meta.documents:,} documents, {meta.tokens:,} tokens"]
    for name, folder, held in (("control", prepared.control, control), ("report", prepared.report, report)):
        if held is not None:
            lines += [f"{name:8} {folder}", f"         {held.documents:,} documents, {held.target_tokens:,} targets"]
    for found in prepared.overlap:
        lines.append(
            f"overlap of {found.name} with training: {found.exact_documents} of {found.documents} documents whole, "
            f"{len(found.near)} nearly, {found.share:.2%} of its 13-grams"
        )
    if prepared.left_out:
        lines.append(f"left out {prepared.left_out:,} documents that hold text of an evaluation set")
    return "\n".join(lines)


@contextmanager
def progress_bar(what: str) -> Iterator[Progress | None]:
    """A bar over the bytes of text on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.cli.prepare", description=__doc__)
    parser.add_argument("source", help="sample://..., a file or folder, hf://...")
    parser.add_argument("--out", type=Path, required=True, help="folder for shards and evaluation sets")
    parser.add_argument("--tokenizer", type=Path, help="model folder with the tokenizer (default: train one)")
    parser.add_argument("--vocab-size", type=int, default=4096, help="of a tokenizer that is trained (default 4096)")
    parser.add_argument("--context", type=int, default=256, help="tokens per window (default 256)")
    parser.add_argument("--hold-out", type=float, default=0.05, help="part held out for evaluation (default 0.05)")
    parser.add_argument("--options", help='options of the source as JSON, such as {"fields": ["story"]}')
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
