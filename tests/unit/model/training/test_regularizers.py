"""Penalties: their gradient is the derivative of their value, and Fisher information is what it is by definition."""

import pytest
import torch

from model.errors import BadConfig, EmptyBatch
from model.training.loop import train_stage
from model.training.regularizers import Penalties, QuadraticPenalty, fisher, parent_weights
from tests.unit.model.training_helpers import CONFIG, ListPorts, SyntheticStream, fresh_model, make_job


def rows(count: int, seed: int = 0):
    stream = SyntheticStream(seed=seed, rows=count)
    batch = stream.next_batch()
    return [(batch.inputs_RT[r], batch.targets_RT[r], None) for r in range(count)]


def distance(model, parent) -> float:
    return sum(float((w - parent[n]).square().sum()) for n, w in model.named_parameters()) ** 0.5


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_the_term(weighted: bool) -> None:
    model, parent = fresh_model(1), parent_weights(fresh_model(0))
    importance = fisher(model, rows(3)) if weighted else None
    penalty = QuadraticPenalty(model, parent, strength=0.7, importance=importance)
    factors = importance or {name: torch.ones_like(w) for name, w in parent.items()}
    term = sum((factors[n] * (w - parent[n]) ** 2).sum() for n, w in model.named_parameters()) * 0.35
    wanted = torch.autograd.grad(term, list(model.parameters()))
    assert penalty.value() == pytest.approx(float(term.detach()), rel=1e-5)
    Penalties(penalty).add_gradient()
    for weight, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_the_parent_itself_is_not_pulled() -> None:
    model = fresh_model()
    penalty = QuadraticPenalty(model, parent_weights(model), strength=10.0)
    penalty.add_gradient()
    assert penalty.value() == 0.0
    assert all(not weight.grad.any() for weight in model.parameters())


def test_a_stronger_penalty_ends_nearer_to_the_parent() -> None:
    ended = []
    for strength in (0.0, 0.1, 10.0):
        job = make_job(total_steps=30, steps_per_boundary=30)
        parent = parent_weights(job.model)
        penalty = QuadraticPenalty(job.model, parent, strength=strength)
        train_stage(
            make_job(total_steps=30, steps_per_boundary=30, model=job.model, penalty=penalty), ListPorts(last=1)
        )
        ended.append(distance(job.model, parent))
    assert ended[0] > ended[1] > ended[2]


def test_fisher_is_the_mean_of_squared_row_gradients_scaled_to_one() -> None:
    model, data = fresh_model(), rows(4)
    found = fisher(model, data)
    squares = {name: torch.zeros_like(w) for name, w in model.named_parameters()}
    for inputs_T, targets_T, _ in data:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs_T[None])[0], targets_T).backward()
        for name, weight in model.named_parameters():
            squares[name] += weight.grad**2
    scale = torch.cat([s.flatten() for s in squares.values()]).mean()
    for name, square in squares.items():
        torch.testing.assert_close(found[name], square / scale, rtol=1e-3, atol=1e-5)
    flat = torch.cat([f.flatten() for f in found.values()])
    assert float(flat.mean()) == pytest.approx(1.0, rel=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(found.values(), fisher(model, data).values(), strict=True))


def test_fisher_sees_what_the_text_uses() -> None:
    """Embeddings of tokens that do not occur carry no information but through the tied output layer's small share."""
    model = fresh_model()
    inputs = torch.full((CONFIG.context,), 5)
    found = fisher(model, [(inputs, inputs, None)])["model.embed_tokens.weight"].sum(dim=1)
    assert found.argmax() == 5


@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf")])
def test_a_strength_that_is_no_strength_is_refused(strength: float) -> None:
    model = fresh_model()
    with pytest.raises(BadConfig, match="penalty"):
        QuadraticPenalty(model, parent_weights(model), strength=strength)


def test_fisher_without_text_is_refused() -> None:
    with pytest.raises(EmptyBatch):
        fisher(fresh_model(), [])
