"""Training speed of the torch core beside transformers and nanoGPT, and evaluation beside a bare forward pass.

    python -m tests.benchmarks model
    RETAIN_NANOGPT=/path/to/nanoGPT python -m tests.benchmarks.bench_model [--rounds 9] [--threads 2] [--no-allocator]
    python -m tests.benchmarks.bench_model --size 135m --rows 4 --context 128 --rounds 5 --training-only

Sizes of the `small` preset unless told otherwise: 6 layers, width 384, 6 heads, context 256, batch 8, vocabulary 4,096.
A step is forward
pass, backward pass, fused AdamW and fresh gradients, for everybody. All take turns within a round and ratios are
taken within it, so that a slow minute of the machine hits all of them alike; medians are shown. The share of the peak
counts 6 operations per weight and token and the products of causal attention, against a matrix product of this
machine in the same rounds. --cpu-time counts the processor's seconds instead of the wall's, with one thread: for a
machine that others use. nanoGPT takes part where RETAIN_NANOGPT (or --nanogpt) names a folder with its model.py.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from model.data.eval_set import EvalSet
from model.document import Document
from model.evaluation.perplexity import ROWS_TOKENS, evaluate_set
from model.nn.config import ModelConfig, preset
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from model.training.acceleration import Acceleration
from model.training.malloc import keep_freed_memory
from model.training.optimizer import OptimizerSettings, build_optimizer

ROWS, SIZE = 8, "small"
PEAK_SIZE, PEAK_PRODUCTS = 1024, 20
GOAL_TRAINING, GOAL_EVALUATION = 1.05, 0.9
# What an operation of the profile belongs to, by the beginning of its name; all that is left is "one by one".
PARTS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::addmv", "aten::linear"),
    "attention": ("aten::_scaled_dot_product",),
    "optimizer": ("aten::_fused_adamw", "Optimizer"),
    "copies and fills": ("aten::copy_", "aten::fill_", "aten::zero_", "aten::cat"),
}

Step = Callable[[], object]
Clock = Callable[[], float]


def seconds_of(contestants: dict[str, Step], rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Seconds of each in every round, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            started = clock()
            run()
            if number:
                seconds[name].append(clock() - started)
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times as fast we are: the median of the rounds' ratios."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def step_flops(model: Llama, rows: int) -> float:
    """Floating-point operations of forward and backward pass (6 per weight and token, and the attention's products)."""
    c = model.config
    tokens = rows * c.context
    return 6.0 * model.num_parameters() * tokens + 12.0 * c.layers * c.width * c.context * tokens / 2


def transformers_model(c: ModelConfig) -> torch.nn.Module:
    """transformers' Llama with the sizes of ours."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=c.vocab_size,
            hidden_size=c.width,
            intermediate_size=c.ffn_width,
            num_hidden_layers=c.layers,
            num_attention_heads=c.heads,
            num_key_value_heads=c.kv_heads,
            max_position_embeddings=c.context,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )


def nanogpt_model(folder: Path, c: ModelConfig) -> torch.nn.Module:
    """nanoGPT's GPT with the same sizes; its feed-forward block has two matrices of 4 x width, as many weights."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", folder / "model.py")
    if spec is None or spec.loader is None or not (folder / "model.py").is_file():
        raise SystemExit(f"no model.py in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    sizes = {"block_size": c.context, "vocab_size": c.vocab_size, "n_layer": c.layers, "n_head": c.heads}
    return module.GPT(module.GPTConfig(**sizes, n_embd=c.width, dropout=0.0, bias=False))


def training_step(model: torch.nn.Module, loss_of: Callable[[], torch.Tensor]) -> Step:
    """One step of a plain loop around a model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss_of().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def our_step(model: Llama, inputs_BT: torch.Tensor, targets_BT: torch.Tensor) -> Step:
    """One step of ours, with the loss that never holds all logits."""
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=1e-4))

    def step() -> None:
        (model(inputs_BT, targets_BT=targets_BT)[0] / targets_BT.numel()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def contestants(ours: Llama, rows: int, nanogpt: Path | None, compiled: bool) -> dict[str, Step]:
    """Everybody's step, on the same tokens."""
    vocabulary = ours.config.vocab_size
    inputs_BT, targets_BT = torch.randint(0, vocabulary, (2, rows, ours.config.context)).unbind()
    theirs = transformers_model(ours.config)

    def their_loss() -> torch.Tensor:
        return F.cross_entropy(theirs(inputs_BT).logits.view(-1, vocabulary), targets_BT.view(-1))

    steps: dict[str, Step] = {"retain": our_step(ours, inputs_BT, targets_BT)}
    if compiled:
        model = Acceleration(compile=True).apply(Llama(ours.config, seed=0))
        steps["retain, compiled"] = our_step(model, inputs_BT, targets_BT)
    steps["transformers"] = training_step(theirs, their_loss)
    if nanogpt is not None:
        gpt = nanogpt_model(nanogpt, ours.config)
        steps["nanoGPT"] = training_step(gpt, lambda: gpt(inputs_BT, targets_BT)[1])
    matrix = torch.randn(PEAK_SIZE, PEAK_SIZE)
    steps["peak"] = lambda: [matrix @ matrix for _ in range(PEAK_PRODUCTS)]
    return steps


def where_it_goes(step: Step, steps: int = 3) -> dict[str, float]:
    """Share of a step by kind of work, from torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step()
    shares: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        part = next((part for part, starts in PARTS.items() if event.key.startswith(starts)), None)
        inside = event.key.startswith("aten::")
        shares[part or ("number by number" if inside else "Python and autograd")] += event.self_cpu_time_total
    total = sum(shares.values())
    return {part: value / total for part, value in sorted(shares.items(), key=lambda pair: -pair[1])}


def evaluation(model: Llama, rounds: int, clock: Clock) -> tuple[int, dict[str, list[float]]]:
    """Our evaluator beside the bare forward pass over the same windows."""
    tokenizer = Tokenizer.train_bpe(["some words to make a small vocabulary of " * 50], 300)
    texts = [Document(text="words to make some of a small vocabulary " * 60, origin=str(n)) for n in range(16)]
    eval_set = EvalSet.build("bench", texts, tokenizer, model.config.context)
    rows = ROWS_TOKENS // model.config.context

    def bare() -> None:
        with torch.inference_mode():
            for batch in eval_set.batches(rows):
                model(batch.inputs_RT)

    runs: dict[str, Step] = {"evaluate_set": lambda: evaluate_set(model, eval_set), "bare forward pass": bare}
    return eval_set.target_tokens, seconds_of(runs, rounds, clock)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--no-allocator", action="store_true", help="do not keep freed memory (see model/training/malloc.py)"
    )
    parser.add_argument("--compile", action="store_true", help="also our layers under torch.compile (takes a minute)")
    parser.add_argument("--size", default=SIZE, help="preset of the sizes")
    parser.add_argument("--rows", type=int, default=ROWS, help="sequences of a step")
    parser.add_argument("--context", type=int, default=0, help="tokens of a sequence; 0 is the preset's")
    parser.add_argument("--training-only", action="store_true", help="leave evaluation out")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, and the processor's seconds")
    folder = os.environ.get("RETAIN_NANOGPT")
    parser.add_argument("--nanogpt", type=Path, default=Path(folder) if folder else None, metavar="FOLDER")
    return parser


def main() -> None:
    """Print the tables."""
    options = _parser().parse_args()
    threads, clock = (1, time.process_time) if options.cpu_time else (options.threads, time.perf_counter)
    torch.set_num_threads(threads)
    kept = not options.no_allocator and keep_freed_memory()
    config = preset(options.size)
    model = Llama(replace(config, context=options.context or config.context), seed=0)
    steps = contestants(model, options.rows, options.nanogpt, options.compile)
    runs = seconds_of(steps, options.rounds, clock)
    peak_s = runs.pop("peak")
    peak_flops = PEAK_PRODUCTS * 2 * PEAK_SIZE**3
    gflops = peak_flops / statistics.median(peak_s) / 1e9
    tokens = options.rows * model.config.context
    print(f"{options.size}, {options.rows} rows of {model.config.context}")
    print(f"training, {threads} threads, freed memory kept: {kept}; matrix product {gflops:.0f} GFLOP/s")
    print(f"{'':20} {'tokens/s':>9} {'retain is':>10} {'share of peak':>14}")
    for name, values in runs.items():
        share = statistics.median(
            step_flops(model, options.rows) / s * p / peak_flops for s, p in zip(values, peak_s, strict=True)
        )
        speed = tokens / statistics.median(values)
        print(f"{name:20} {speed:>9,.0f} {ratio(runs['retain'], values):>9.3f}x {share:>13.0%}")
    print(f"goal: at least {GOAL_TRAINING}x the faster of the others")
    if options.nanogpt is None:
        print("nanoGPT did not take part: RETAIN_NANOGPT names no folder")
    print("\nwhere a step of retain goes")
    for part, share in where_it_goes(steps["retain"]).items():
        print(f"{part:20} {share:>9.1%}")
    if options.training_only:
        return
    tokens, evaluated = evaluation(model, max(5, options.rounds // 2), clock)
    print("\nevaluation")
    for name, values in evaluated.items():
        print(f"{name:20} {tokens / statistics.median(values):>9,.0f} tokens/s")
    against_bare = ratio(evaluated["evaluate_set"], evaluated["bare forward pass"])
    print(f"{'evaluator / bare':20} {against_bare:>9.3f} (goal {GOAL_EVALUATION})")


if __name__ == "__main__":
    main()
