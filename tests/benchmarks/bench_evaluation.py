"""Tokens a second of an evaluation through the whole service, against a bare forward pass with the same threads.

A real evaluator process, a real object store, the stories260K model on 160 stories at context 512. "Service" counts
from the request until the answer is there: fetching and verifying the checkpoint and the set, measuring, keeping the
result, exporting. The first question also imports torch; the next measure other weights with everything warm; the last
repeats one and measures nothing. "With the gauges" measures the four bundled sets beside it, as a boundary of a stage
does. "Bare" is a loop of forward passes and cross entropies over the same windows.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch.nn import functional

from model.data.eval_set import EvalSet
from model.gauge import KINDS, gauge_texts, set_name
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from retain.types.v1 import values_pb2
from services.common.store.minio_store import MinioStore
from tests.contract.object_store_servers import running, seaweedfs_server
from tests.integration.evaluator import harness

REPOSITORY = Path(__file__).resolve().parents[2]
REPEATS = 3
ROWS = 8


def bare(model: Llama, eval_set: EvalSet) -> float:
    """Summed nats, with nothing around it."""
    nats = 0.0
    with torch.inference_mode():
        for inputs_RT, targets_RT, _ in eval_set.windows(ROWS):
            logits_RTV = model(inputs_RT)
            nats += float(functional.cross_entropy(logits_RTV.flatten(0, 1), targets_RT.flatten(), reduction="sum"))
    return nats


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def gauge_set(store: MinioStore, kind: str, tokenizer: Tokenizer, folder: Path) -> values_pb2.EvalSetRef:
    """The control set of a bundled kind, in the store."""
    texts = [document.plain_text() for document in gauge_texts(kind).control]
    return harness.put_set(store, set_name(kind), texts, tokenizer, folder / f"gauge-{kind}", context=512)


def megabytes(evaluator: harness.EvaluatorProcess) -> float:
    assert evaluator.process is not None
    return psutil.Process(evaluator.process.pid).memory_info().rss / 1e6


def main() -> int:
    data = Path(os.environ.get("RETAIN_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not data.is_dir():
        print(f"required: the shared data folder is not at {data} (set RETAIN_SHARED)", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(seaweedfs_server(folder)) as server:
            store = harness.store_of(server)
            model, tokenizer = harness.stories_model(data)
            rows = (data / "general" / "tinystories.val.jsonl").read_text().splitlines()[:160]
            texts = [json.loads(row)["text"] for row in rows]
            ref = harness.put_set(store, "general", texts, tokenizer, folder / "set", context=512)
            eval_set = EvalSet.open(folder / "set")
            tokens = eval_set.target_tokens
            bare(model, eval_set)
            bare_s = min(seconds(lambda: bare(model, eval_set)) for _ in range(REPEATS))
            evaluator = harness.EvaluatorProcess.on(server.endpoint, folder / "home")
            evaluator.start()
            try:
                idle_mb = megabytes(evaluator)
                cold = harness.put_model(store, model, tokenizer, folder / "cold")
                cold_s = seconds(lambda: evaluator.evaluate("cold", harness.request_for(cold, [ref])))
                warm: list[tuple[float, float]] = []
                for number in range(REPEATS):
                    other = harness.noisy(model, scale=0.01, seed=number)
                    request = harness.request_for(
                        harness.put_model(store, other, tokenizer, folder / f"w{number}"), [ref]
                    )
                    began = time.perf_counter()
                    found = evaluator.evaluate(f"warm-{number}", request)
                    warm.append((time.perf_counter() - began, found.measure_seconds))
                gauges = [gauge_set(store, kind, tokenizer, folder) for kind in KINDS]
                gauge_tokens = sum(EvalSet.open(folder / f"gauge-{kind}").target_tokens for kind in KINDS)
                with_gauges: list[float] = []
                for number in range(REPEATS):
                    other = harness.noisy(model, scale=0.01, seed=REPEATS + number)
                    put = harness.put_model(store, other, tokenizer, folder / f"g{number}")
                    asked = harness.request_for(put, [ref, *gauges])
                    with_gauges.append(seconds(lambda n=number, r=asked: evaluator.evaluate(f"gauges-{n}", r)))  # type: ignore[misc]
                again_s = seconds(lambda: evaluator.evaluate("again", request))
                busy_mb = megabytes(evaluator)
            finally:
                evaluator.stop()
    warm_s, measure_s = min(warm)
    print(f"{tokens} tokens, one thread")
    print(f"{'bare forward and loss':<42}{bare_s:8.2f} s {tokens / bare_s:12,.0f} tokens/s")
    print(f"{'service, measuring (with fetch and load)':<42}{measure_s:8.2f} s {tokens / measure_s:12,.0f} tokens/s")
    print(f"{'service, request to answer, warm':<42}{warm_s:8.2f} s {tokens / warm_s:12,.0f} tokens/s")
    print(f"{'service, request to answer, first':<42}{cold_s:8.2f} s {tokens / cold_s:12,.0f} tokens/s")
    print(f"{'service, asked again':<42}{again_s:8.2f} s")
    more_s = min(with_gauges) - warm_s
    print(
        f"{'service, with the gauges, warm':<42}{min(with_gauges):8.2f} s, {more_s:+.2f} s for {gauge_tokens:,} tokens"
    )
    print(f"service against bare, warm: {bare_s / warm_s:.2f}")
    print(f"resident memory: {idle_mb:.0f} MB idle, {busy_mb:.0f} MB after measuring")
    return 0


if __name__ == "__main__":
    sys.exit(main())
