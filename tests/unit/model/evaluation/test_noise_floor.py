"""The noise floor: hand-computed from repeats, and on a real model, whose score against itself lies within it."""

import json
import math
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from model.checkpointing.hf import load_pretrained
from model.data.eval_set import EvalSet
from model.document import Document
from model.errors import BadConfig
from model.evaluation.forgetting_score import Thresholds, forgetting_ratio
from model.evaluation.noise_floor import Setting, floor_nats, measure_floor, repeats
from model.evaluation.perplexity import evaluate_set
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from retain.values import Severity
from retain.values.severity import within_floor


@pytest.fixture(scope="module")
def model(shared_data: Path) -> Llama:
    return load_pretrained(shared_data / "models" / "stories260K-hf")


@pytest.fixture(scope="module")
def stories(shared_data: Path) -> EvalSet:
    lines = (shared_data / "general" / "tinystories.val.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    documents = [Document(text=json.loads(line)["text"], origin=f"story {n}") for n, line in enumerate(lines)]
    return EvalSet.build("stories", documents, Tokenizer.load(shared_data / "models" / "stories260K-hf"), 128)


def test_the_floor_is_twice_the_largest_difference() -> None:
    # differences +0.001, -0.003, +0.002: twice 0.003
    assert floor_nats(2.5, [2.501, 2.497, 2.502]) == pytest.approx(0.006, rel=1e-9)


def test_repeats_that_agree_leave_the_spacing_of_float32_at_the_loss() -> None:
    # 2 <= 2.5 < 4: exponent 1, 23 bits of fraction: 2 ** (1 - 23). 0.75: exponent -1.
    assert floor_nats(2.5, [2.5, 2.5]) == 2.0**-22
    assert floor_nats(0.75, [0.75]) == 2.0**-24
    assert floor_nats(2.5, []) == 2.0**-22


def test_inside_of_the_floor_there_is_no_severity() -> None:
    limits = Thresholds()
    assert limits.severity(0.15, floor_ratio=0.15) is Severity.UNRESOLVED
    assert limits.severity(0.15, floor_ratio=0.149) is Severity.ACTION
    assert limits.severity(0.0, floor_ratio=1e-7) is Severity.UNRESOLVED
    assert limits.severity(0.0) is Severity.OK
    assert limits.severity(math.nan, floor_ratio=math.inf) is Severity.STOP


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_a_number_has_no_floor(broken: float) -> None:
    with pytest.raises(BadConfig, match="finite mean losses"):
        floor_nats(2.5, [2.5, broken])
    with pytest.raises(BadConfig, match="finite mean losses"):
        floor_nats(broken, [2.5])


def test_a_score_is_within_the_floor_up_to_the_floor_itself_on_both_sides() -> None:
    inside = [within_floor(ratio, 0.002) for ratio in (0.0, 0.002, -0.002, 0.0021, -0.0021)]
    assert inside == [True, True, True, False, False]
    assert not within_floor(0.0, None)
    assert not any(within_floor(ratio, math.inf) for ratio in (math.nan, math.inf))


def test_each_repeat_differs_from_the_standard_in_one_respect() -> None:
    assert repeats(Setting(rows=32, threads=1), windows=32, cores=8) == (
        Setting(rows=1, threads=1),
        Setting(rows=16, threads=1),
        Setting(rows=32, threads=2),
        Setting(rows=32, threads=8),
        Setting(rows=32, threads=1, workers=3),
    )
    # One window cannot be batched or shared in another way; two cores leave one other number of threads.
    assert repeats(Setting(rows=32, threads=2), windows=1, cores=2) == (Setting(rows=32, threads=1),)


def test_parts_of_a_set_hold_its_windows_once(stories: EvalSet) -> None:
    whole = [tuple(row) for batch in stories.batches(5) for row in batch.targets_RT.tolist()]
    edges = [0, 7, 8, stories.window_count]
    parts = [stories.part(low, high - low) for low, high in pairwise(edges)]
    assert [tuple(row) for part in parts for batch in part.batches(3) for row in batch.targets_RT.tolist()] == whole
    assert sum(part.target_tokens for part in parts) == stories.target_tokens
    assert stories.part(0, 10_000).digest == stories.digest
    assert stories.part(stories.window_count, 1).target_tokens == 0


def test_the_floor_reads_a_bounded_part_and_leaves_the_threads_as_they_were(model: Llama, stories: EvalSet) -> None:
    done: list[int] = []
    held: list[str] = []

    @contextmanager
    def alone():
        held.append("in")
        yield
        held.append("out")

    before = torch.get_num_threads()
    floor = measure_floor(model, stories, device="cpu", cores=2, alone=alone, on_tokens=done.append)
    assert torch.get_num_threads() == before
    assert floor.tokens == 2048
    assert stories.target_tokens > 2048
    # the standard pass, 2 batch sizes, the other number of threads (of 1 and 2), 3 workers
    assert floor.repeats == len(repeats(Setting(rows=32, threads=before), windows=16, cores=2))
    assert sum(done) == 2048 * (1 + floor.repeats)
    assert held == ["in", "out"] * (1 + floor.repeats)


def test_a_model_against_itself_is_within_the_floor_whatever_the_setting(model: Llama, stories: EvalSet) -> None:
    floor = measure_floor(model, stories, device="cpu", cores=2)
    baseline = evaluate_set(model, stories)
    assert forgetting_ratio(evaluate_set(model, stories).perplexity, baseline.perplexity) == 0.0
    before = torch.get_num_threads()
    for rows, threads in ((1, before), (5, before), (200, before), (32, 1), (32, 2), (7, 3)):
        torch.set_num_threads(threads)
        try:
            again = evaluate_set(model, stories, batch_rows=rows)
        finally:
            torch.set_num_threads(before)
        assert within_floor(forgetting_ratio(again.perplexity, baseline.perplexity), floor.ratio), (rows, threads)
    assert floor.ratio < 1e-4  # far below any threshold: the gauge sees a hundredth of a per cent


def test_a_changed_model_is_resolved(model: Llama, stories: EvalSet, shared_data: Path) -> None:
    baseline, floor = evaluate_set(model, stories), measure_floor(model, stories, device="cpu", cores=2)
    other = load_pretrained(shared_data / "models" / "stories260K-hf")
    with torch.no_grad():
        other.lm_head.weight.mul_(1.001)
    ratio = forgetting_ratio(evaluate_set(other, stories).perplexity, baseline.perplexity)
    assert not within_floor(ratio, floor.ratio)


def test_a_floor_is_the_same_twice(model: Llama, stories: EvalSet) -> None:
    assert measure_floor(model, stories, device="cpu", cores=2) == measure_floor(model, stories, device="cpu", cores=2)
