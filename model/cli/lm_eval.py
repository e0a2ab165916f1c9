"""Asks a model folder the tasks of lm-evaluation-harness: the child behind `retain lm-eval`.

    python -m model.cli.lm_eval MODEL_DIR --tasks a,b [--include-path DIR] [--limit N]

The harness (Gao et al. 2021, "A framework for few-shot language model evaluation") is called as a library, with its own
model class over transformers, in float32, and no code of the model's folder is run. It prints one JSON document: what
was found by task, and all that it was made of. Nothing is fetched unless --online allows it: tasks that come with data
on a hub need that, local task files over local data do not. Task files may run code of their own (`!function`), which
is the caller's.
"""

import argparse
import hashlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retain.values.faults import mismatch

BAD_INPUT = 2
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_UPDATE_DOWNLOAD_COUNTS_OFF")
_VERSIONED = ("lm_eval", "transformers", "datasets", "torch")
_SEED = 1234


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for tasks that there are none of, and for a harness that is not installed."""
    options = _parser().parse_args(arguments)
    if not options.online:
        os.environ.update(dict.fromkeys(_OFFLINE, "1"))
    with tempfile.TemporaryDirectory(prefix="retain-lm-eval-") as scratch:
        if not options.online:
            os.environ["HF_DATASETS_CACHE"] = scratch  # of local files: nothing stays behind
        try:
            with _only_our_document_on_stdout() as out:
                document = measure(options)
                print(json.dumps(document), file=out)
        except ImportError as error:
            print(f"error: {error}; `pip install 'retain[train,lm-eval]'` brings it", file=sys.stderr)
            return BAD_INPUT
        except UnknownTask as error:
            print(f"error: {error}", file=sys.stderr)
            return BAD_INPUT
    return 0


class UnknownTask(ValueError):
    """A task that the harness does not have."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What the harness finds, by task, and what it was made of. Raises UnknownTask, ImportError."""
    from importlib.metadata import version

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tasks = [name.strip() for name in options.tasks.split(",") if name.strip()]
    manager = TaskManager(include_path=options.include_path, include_defaults=not options.only_included)
    unknown = [name for name in tasks if name not in manager.all_tasks]
    if unknown or not tasks:
        said = mismatch(", ".join(unknown) or "none", "names of the harness or of --include-path")
        raise UnknownTask(f"--tasks: {said}")
    model = HFLM(
        pretrained=str(options.model),
        device=options.device,
        dtype="float32",
        batch_size=options.batch_size,
        max_length=options.context,
        add_bos_token=options.add_bos_token,
        trust_remote_code=False,
    )
    found = simple_evaluate(
        model=model,
        tasks=tasks,
        task_manager=manager,
        num_fewshot=options.num_fewshot,
        limit=options.limit,
        apply_chat_template=options.apply_chat_template,
        bootstrap_iters=1000,
        random_seed=_SEED,
        numpy_random_seed=_SEED,
        torch_random_seed=_SEED,
        fewshot_random_seed=_SEED,
    )
    assert found is not None, "this is the only process"
    return {
        "harness": "lm-evaluation-harness",
        "versions": {name: version(name) for name in _VERSIONED},
        "settings": _settings(options, model.max_length),
        "tasks": [_task(name, row, found) for name, row in found["results"].items() if name in found["configs"]],
    }


def _settings(options: argparse.Namespace, context: int) -> dict[str, str]:
    said = {
        "limit": options.limit,
        "num_fewshot": options.num_fewshot,
        "context": context,
        "dtype": "float32",
        "device": options.device,
        "batch_size": options.batch_size,
        "add_bos_token": options.add_bos_token,
        "apply_chat_template": options.apply_chat_template,
        "seed": _SEED,
    }
    return {name: "default" if value is None else str(value) for name, value in said.items()}


def _task(name: str, row: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """One task: every finite figure, with its standard error where there is one."""
    metrics = []
    for key, value in row.items():
        metric, _, filtered = key.partition(",")
        if metric.endswith("_stderr") or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not filtered or not math.isfinite(value):  # of the row itself, not a metric; or no number
            continue
        error = row.get(f"{metric}_stderr,{filtered}")
        known = float(error) if isinstance(error, int | float) and math.isfinite(error) else None
        metrics.append({"metric": key, "figure": float(value), "standard_error": known})
    samples = found["samples"].get(name, [])
    hashes = [[one.get(part, "") for part in ("doc_hash", "prompt_hash", "target_hash")] for one in samples]
    return {
        "task": name,
        "version": str(found["versions"].get(name, "")),
        "digest": hashlib.sha256(json.dumps(sorted(hashes)).encode()).hexdigest(),
        "samples": int(found["n-samples"][name]["effective"]),
        "metrics": metrics,
    }


@contextmanager
def _only_our_document_on_stdout() -> Iterator[Any]:
    """The harness and its libraries print as they like: that goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.cli.lm_eval", description=__doc__)
    parser.add_argument("model", type=Path, help="folder in Hugging Face's layout")
    parser.add_argument("--tasks", required=True, help="names, separated by commas")
    parser.add_argument("--include-path", help="folder with further task files (YAML)")
    parser.add_argument("--only-included", action="store_true", help="those of --include-path alone: starts faster")
    parser.add_argument("--limit", type=int, help="first N documents of each task")
    parser.add_argument("--num-fewshot", type=int, help="examples before each question (default: the task's)")
    parser.add_argument("--context", type=int, help="tokens per window (default: the model's)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--apply-chat-template", action="store_true")
    parser.add_argument(
        "--add-bos-token", action=argparse.BooleanOptionalAction, help="default: the tokenizer's own way"
    )
    parser.add_argument("--online", action="store_true", help="task data may be fetched")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
