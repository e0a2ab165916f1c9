"""The command behind `python -m model.cli.evaluate` (and `retain eval`): measure a model folder on files."""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from model.checkpointing.hf import check_vocabulary, load_pretrained
from model.data.eval_set import EvalSet
from model.data.measured_texts import measured_documents
from model.errors import BadConfig, RetainModelError
from model.evaluation import saved_results
from model.evaluation.noise_floor import measure_repeats
from model.evaluation.perplexity import SetResult, evaluate_set
from model.evaluation.rolling_likelihood import evaluate_rolling
from model.tokenization.tokenizer import Tokenizer
from retain.values.faults import mismatch

BAD_INPUT = 2
BYTES_PER_TOKEN = 4  # about, for the length of a progress bar
# What a figure means.
METHODS: dict[str, str] = {
    "joined": "Documents joined, each with what the tokenizer puts in front, in windows that do not overlap; the first "
    "token of a set is not predicted. lm-evaluation-harness reads each document alone: --rolling does so.",
    "rolling": "Each document alone, its first token predicted from BOS (without one: EOS), as lm-evaluation-harness "
    "has it (loglikelihood_rolling), with the tokens that the tokenizer adds.",
    "rolling bare": "Each document alone, its first token predicted from BOS (without one: EOS), as "
    "lm-evaluation-harness has it with add_bos_token=False: without the tokens that the tokenizer adds.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for bad input with the field, what was got and what was expected on standard error."""
    options = _parser().parse_args(arguments)
    changed: list[saved_results.Change] = []
    try:
        # Read first: a baseline that is none should not cost a measurement.
        baseline = saved_results.saved_results(Path(options.against)) if options.against is not None else None
        results = run(
            Path(options.model),
            options.data,
            context=options.context,
            limit=options.limit,
            batch_rows=options.batch_rows,
            device=options.device,
            rolling=_method(options),
        )
        if options.save is not None:
            saved_results.save_results(Path(options.save), results)
        if baseline is not None:
            changed = saved_results.changes(results, baseline, where=options.against)
        floors = []
        if options.floor:
            folder = Path(options.model)
            floors = floor_lines(folder, options.data, options.context, options.limit, options.device or "cpu")
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.output is not None:
        print(f"written: {write_results(Path(options.output), options, results)}", file=sys.stderr)
    if options.json:
        method = {"name": _method(options), "says": METHODS[_method(options)]}
        against = {"against": [asdict(one) for one in changed]} if baseline is not None else {}
        print(json.dumps({"sets": [result.summary() for result in results], **against, "method": method}))
    else:
        print(table(results))
        if changed:
            print(saved_results.changes_table(changed))
        print(METHODS[_method(options)])
    for line in floors:
        print(line, file=sys.stderr if options.json else sys.stdout)
    return 0


def floor_lines(
    folder: Path, data: Sequence[str], context: int | None, limit: int | None, device: str = "cpu"
) -> list[str]:
    """What the gauge can resolve with this model on this device, for people: each file measured again in other ways
    (`model.evaluation.noise_floor`), and once more in the same one."""
    model, tokenizer = load_pretrained(folder).to(device), Tokenizer.load(folder)
    lines = []
    for uri in data:
        documents = measured_documents(uri, limit=limit)
        eval_set = EvalSet.build(_name(uri, data), documents, tokenizer, context or model.config.context)
        cores = len(os.sched_getaffinity(0))
        found = measure_repeats(model, eval_set, device=device, cores=cores)
        again = evaluate_set(model, eval_set).nats - evaluate_set(model, eval_set).nats
        floor = found.floor_nats
        lines.append(f"{eval_set.name}: noise floor {floor:.1e} nats a token, a score of {math.expm1(floor):.1e}")
        lines.append(f"  the same way again {again:+.1e}")
        lines += [
            f"  {one.rows} rows, {one.threads} threads, {one.workers} workers {nats - found.standard_nats:+.1e}"
            for one, nats in found.repeats
        ]
    return lines


def run(
    folder: Path,
    data: Sequence[str],
    *,
    context: int | None = None,
    limit: int | None = None,
    batch_rows: int | None = None,
    device: str | None = None,
    rolling: str = "joined",
) -> list[SetResult]:
    """One result per file (or other source), measured in windows of `context` tokens (default: the model's).

    rolling: one of METHODS; see `model.evaluation.rolling_likelihood`.
    """
    model, tokenizer = load_pretrained(folder), Tokenizer.load(folder)
    check_vocabulary(model.config, tokenizer)
    if device is not None:
        model.to(device)
    window = context or model.config.context
    texts = [(_name(uri, data), measured_documents(uri, limit=limit)) for uri in data]
    if rolling != "joined":
        size = sum(len(d.plain_text().encode("utf-8", "surrogatepass")) for _, documents in texts for d in documents)
        with _progress(size // BYTES_PER_TOKEN) as advance:
            bare = rolling == "rolling bare"
            options: dict[str, Any] = {"context": window, "bare": bare, "batch_rows": batch_rows, "on_tokens": advance}
            return [evaluate_rolling(model, tokenizer, name, found, **options) for name, found in texts]
    sets = [EvalSet.build(name, documents, tokenizer, window) for name, documents in texts]
    with _progress(sum(len(s.tokens_N) for s in sets)) as advance:
        return [evaluate_set(model, s, batch_rows=batch_rows, on_tokens=advance) for s in sets]


def write_results(folder: Path, options: argparse.Namespace, results: Sequence[SetResult]) -> Path:
    """Write results_{date}.json under the names that lm-evaluation-harness uses, and the sets as --json prints them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"results_{datetime.now().isoformat().replace(':', '-')}.json"
    report: dict[str, Any] = {
        "results": {
            r.name: {"alias": r.name, "bits_per_byte,none": r.bits_per_byte, "perplexity,none": r.perplexity}
            for r in results
        },
        "n-samples": {r.name: {"original": r.documents, "effective": r.documents} for r in results},
        "config": {"model": "retain", "model_args": f"pretrained={options.model}", "limit": options.limit},
        "method": {"name": _method(options), "says": METHODS[_method(options)]},
        "date": time.time(),
        "model_name": str(options.model),
        "torch_version": torch.__version__,
        "sets": [r.summary() for r in results],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return path


def table(results: Sequence[SetResult]) -> str:
    """The results for people to read."""
    width = max(10, *(len(r.name) for r in results))
    lines = [f"{'set':{width}} {'documents':>9} {'tokens':>10} {'nats/token':>10} {'perplexity':>10} {'bits/byte':>9}"]
    for r in results:
        figures = f"{r.loss_nats:>10.4f} {r.perplexity:>10.3f} {r.bits_per_byte:>9.4f}"
        lines.append(f"{r.name:{width}} {r.documents:>9,} {r.tokens:>10,} {figures}")
    return "\n".join(lines)


def _method(options: argparse.Namespace) -> str:
    """Raises BadConfig for --bare alone."""
    if options.bare and not options.rolling:
        raise BadConfig("--bare", "without --rolling", "--rolling --bare")
    return "rolling bare" if options.bare else "rolling" if options.rolling else "joined"


def _name(uri: str, data: Sequence[str]) -> str:
    """The file's name without its last suffix; the whole path where two files share it."""
    names = [Path(other).stem for other in data]
    return Path(uri).stem if names.count(Path(uri).stem) == 1 else uri


@contextmanager
def _progress(total_tokens: int) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("evaluating", total=total_tokens)
        yield lambda tokens: bar.advance(task, tokens)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.cli.evaluate", description=__doc__)
    parser.add_argument("model", help="folder in Hugging Face's layout")
    parser.add_argument("--data", nargs="+", required=True, help="text, jsonl (text or messages), csv or parquet files")
    parser.add_argument("--context", type=_positive, help="tokens per window (default: the model's context)")
    parser.add_argument("--limit", type=_positive, help="first N documents of each file")
    parser.add_argument("--batch-rows", type=_positive, help="windows per forward pass")
    parser.add_argument("--device", help="cpu, cuda, ... (default: cpu)")
    parser.add_argument("--rolling", action="store_true", help="each document alone, as lm-evaluation-harness has it")
    parser.add_argument("--bare", action="store_true", help="with --rolling: without the tokens the tokenizer adds")
    parser.add_argument("--floor", action="store_true", help="also what the gauge resolves here: repeats in other ways")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--save", metavar="FILE", help="also write the results with their documents, to compare with")
    parser.add_argument("--against", metavar="FILE", help="results that --save wrote: what was forgotten since, paired")
    parser.add_argument("--output", help="folder for results_{date}.json")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(mismatch(text, "a whole number from 1"))
    return value


if __name__ == "__main__":
    raise SystemExit(main())
