"""A model that really forgets, small enough to watch: byte bigrams, first of English, then of Python.

The model is a table of how often byte b follows byte a. It is trained on docstrings of the standard library (general
text), then on the library's source without docstrings (code), with an exponential memory: what came long ago fades, as
it does under gradient descent. Replay puts general text back into what it sees. Every figure is computed when this
runs, on held-out files that are never trained on.
"""

import ast
import sysconfig
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.evaluation.detector import ForgettingDetector, ForgettingMetrics
from model.evaluation.forgetting_score import bootstrap_interval, perplexity

Counts = npt.NDArray[np.float64]  # [256, 256]: how often the second byte follows the first
FILES, HELD_OUT, BOUNDARIES, FADE = 160, 64, 6, 0.65


def main() -> None:
    """Prints the history of three arms: no replay, the 90/10 mix, and half and half."""
    files = sorted(path for path in Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:FILES]
    general, code = zip(*(_split(path) for path in files), strict=True)
    eval_general, eval_code = general[:HELD_OUT], code[:HELD_OUT]
    old, new = _shares(general[HELD_OUT:]), _shares(code[HELD_OUT:])
    baseline_nats_U, tokens_U = _nats(old, eval_general)
    baseline = perplexity(float(baseline_nats_U.sum()), int(tokens_U.sum()))
    for replay in (0.0, 0.1, 0.5):
        print(f"\n### Byte bigrams: docstrings, then code with {replay:.0%} replay\n")
        detector = ForgettingDetector(baseline_general_perplexity=baseline)
        model, mix = old, (1 - replay) * new + replay * old
        for boundary in range(BOUNDARIES):
            model = FADE * model + (1 - FADE) * mix
            now_nats_U, _ = _nats(model, eval_general)
            target_nats_U, target_tokens_U = _nats(model, eval_code)
            target_nats, target_tokens = float(target_nats_U.sum()), int(target_tokens_U.sum())
            detector.record(
                ForgettingMetrics(
                    epoch=boundary,
                    train_loss=target_nats / target_tokens,
                    domain_perplexity=perplexity(target_nats, target_tokens),
                    general_perplexity=perplexity(float(now_nats_U.sum()), int(tokens_U.sum())),
                )
            )
        detector.print_summary()
        interval = bootstrap_interval(now_nats_U, baseline_nats_U, tokens_U)
        ends = (
            f"[{interval.low:+.3f}, {interval.high:+.3f}]" if interval else f"none: {tokens_U.size} units are too few"
        )
        print(f"\nForgetting at the end: {detector.latest_score:+.3f}, 95 % interval {ends}")


def _split(path: Path) -> tuple[bytes, bytes]:
    """Docstrings of a file, and the file without them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                texts.append(text)
                node.body = node.body[1:] or [ast.Pass()]
    return "\n".join(texts).encode(), ast.unparse(tree).encode()


def _shares(documents: tuple[bytes, ...]) -> Counts:
    counts = np.zeros((256, 256))
    for document in documents:
        row_B = np.frombuffer(document, dtype=np.uint8)
        np.add.at(counts, (row_B[:-1], row_B[1:]), 1.0)
    result: Counts = counts / counts.sum()
    return result


def _nats(model: Counts, documents: tuple[bytes, ...]) -> tuple[Counts, npt.NDArray[np.int64]]:
    """Summed nats and tokens of each document that has at least two bytes; unseen pairs keep a small chance."""
    smooth = model + 1e-9
    log_chance = np.log(smooth / smooth.sum(axis=1, keepdims=True))
    rows = [np.frombuffer(document, dtype=np.uint8) for document in documents if len(document) > 1]
    nats_U = np.array([-log_chance[row_B[:-1], row_B[1:]].sum() for row_B in rows])
    return nats_U, np.array([row_B.size - 1 for row_B in rows], dtype=np.int64)


if __name__ == "__main__":
    main()
