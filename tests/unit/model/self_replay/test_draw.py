"""Drawing by hand-computed distributions."""

import math

import torch

from model.self_replay.draw import draw

# Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1: cumulative 0.5, 0.75, 0.875, 1.
LOGITS = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()


def drawn(*uniforms: float, temperature: float = 1.0, top_p: float = 1.0, logits: torch.Tensor = LOGITS) -> list[int]:
    rows = logits.expand(len(uniforms), -1)
    return draw(rows, torch.tensor(uniforms), temperature=temperature, top_p=top_p).tolist()


def test_a_number_finds_its_place_in_the_cumulative_distribution() -> None:
    assert drawn(0.0, 0.49, 0.51, 0.74, 0.76, 0.87, 0.88, 0.999) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_temperature_divides_the_logits() -> None:
    # At 0.5 probabilities are squared and normalised: 16, 4, 1, 1 of 22 -> 0.727, 0.909, 0.955, 1.
    assert drawn(0.72, 0.74, 0.90, 0.92, 0.96, temperature=0.5) == [0, 1, 1, 2, 3]
    assert drawn(0.0, 0.999, temperature=0) == [0, 0]


def test_a_nucleus_keeps_the_token_that_reaches_it() -> None:
    # 0.6 needs the first two, whose share is then 2/3 and 1/3.
    assert drawn(0.66, 0.67, 0.999, top_p=0.6) == [0, 1, 1]
    assert drawn(0.0, 0.999, top_p=0.1) == [0, 0]


def test_what_may_not_come_is_never_drawn_not_even_by_rounding() -> None:
    barred = LOGITS.clone()
    barred[0] = barred[3] = -math.inf
    # 0.25 and 0.125 are left: 2/3 and 1/3.
    assert drawn(0.0, 0.66, 0.67, 1.0, logits=barred) == [1, 1, 2, 2]


def test_frequencies_are_those_of_the_distribution() -> None:
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(draw(LOGITS.expand(20_000, -1), uniforms, temperature=1.0), minlength=4) / 20_000
    assert torch.allclose(counts, LOGITS.exp(), atol=0.015)  # four standard deviations
