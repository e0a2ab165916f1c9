"""Training and evaluation speed of the torch core beside transformers, interleaved in one run.

    python -m tests.benchmarks.bench_model [--rounds 9] [--threads 2] [--allocator]

Sizes of the `small` preset: 6 layers, width 384, 6 heads, context 256, batch 8, vocabulary 4,096. Rounds alternate
between the contestants, so that a slow minute of the machine hits all of them; the table shows medians. The share of
the peak is measured against this machine's own matrix product.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from transformers import LlamaConfig, LlamaForCausalLM

from model.allocator import keep_freed_memory
from model.config import preset
from model.document import Document
from model.evalset import EvalSet
from model.evaluate import ROWS_TOKENS, evaluate_set
from model.llama import Llama
from model.tokenizer import Tokenizer

ROWS = 8


def medians(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def step_flops(model: Llama) -> float:
    """Floating-point operations of forward and backward pass (6 per weight and token, and the attention's products)."""
    c = model.config
    tokens = ROWS * c.context
    return 6.0 * model.num_parameters() * tokens + 12.0 * c.layers * c.width * c.context * tokens / 2


def training(rounds: int) -> tuple[Llama, dict[str, float]]:
    """Forward and backward pass of ours (fused loss), ours (whole logits) and transformers."""
    config = preset("small")
    ours = Llama(config, seed=0)
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.ffn_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )
    inputs_BT, targets_BT = torch.randint(0, config.vocab_size, (2, ROWS, config.context)).unbind()

    def fused() -> None:
        ours.zero_grad(set_to_none=True)
        (ours(inputs_BT, targets_BT=targets_BT)[0] / targets_BT.numel()).backward()

    def whole(model: torch.nn.Module, logits_of: Callable[[], torch.Tensor]) -> None:
        model.zero_grad(set_to_none=True)
        F.cross_entropy(logits_of().view(-1, config.vocab_size), targets_BT.view(-1)).backward()

    matrix = torch.randn(1024, 1024)
    contestants: dict[str, Callable[[], object]] = {
        "retain": fused,
        "retain, whole logits": lambda: whole(ours, lambda: ours(inputs_BT)),
        "transformers": lambda: whole(theirs, lambda: theirs(inputs_BT).logits),
        "peak": lambda: [matrix @ matrix for _ in range(20)],
    }
    return ours, medians(contestants, rounds)


def evaluation(model: Llama, rounds: int) -> tuple[int, dict[str, float]]:
    """Our evaluator beside the bare forward pass over the same windows."""
    tokenizer = Tokenizer.train_bpe(["some words to make a small vocabulary of " * 50], 300)
    texts = [Document(text="words to make some of a small vocabulary " * 60, origin=str(n)) for n in range(64)]
    eval_set = EvalSet.build("bench", texts, tokenizer, model.config.context)
    rows = ROWS_TOKENS // model.config.context

    def bare() -> None:
        with torch.inference_mode():
            for batch in eval_set.batches(rows):
                model(batch.inputs_RT)

    runs = medians({"evaluate_set": lambda: evaluate_set(model, eval_set), "bare forward pass": bare}, rounds)
    return eval_set.target_tokens, runs


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--allocator", action="store_true", help="keep freed memory, as our training processes do")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.allocator:
        print(f"freed memory is kept: {keep_freed_memory()}")
    model, seconds = training(options.rounds)
    peak = 20 * 2 * 1024**3 / seconds.pop("peak")
    print(f"training, {options.threads} threads; matrix product {peak / 1e9:.0f} GFLOP/s")
    print(f"{'':22} {'tokens/s':>9} {'x transformers':>14} {'share of peak':>13}")
    for name, value in seconds.items():
        share = step_flops(model) / value / peak
        tokens = ROWS * model.config.context / value
        print(f"{name:22} {tokens:>9,.0f} {seconds['transformers'] / value:>14.3f} {share:>12.0%}")
    tokens, runs = evaluation(model, max(3, options.rounds // 3))
    ratio = runs["bare forward pass"] / runs["evaluate_set"]
    print("\nevaluation")
    for name, value in runs.items():
        print(f"{name:22} {tokens / value:>9,.0f} tokens/s")
    print(f"{'evaluator / bare':22} {ratio:>9.3f}")


if __name__ == "__main__":
    main()
