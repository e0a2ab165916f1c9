"""AdamW's groups, and its state as named tensors."""

import pytest
import torch

from model.errors import BadCheckpoint
from model.nn.llama import Llama
from model.training.optimizer import (
    OptimizerSettings,
    build_optimizer,
    load_state_tensors,
    set_learning_rate,
    state_tensors,
)
from tests.unit.model.training_helpers import fresh_model


def steps(model: Llama, optimizer: torch.optim.Optimizer, count: int, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def test_only_matrices_decay() -> None:
    model = fresh_model()
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=0.1, weight_decay=0.3))
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert {name for name, p in model.named_parameters() if decays[id(p)] == 0.0} == {
        name for name, _ in model.named_parameters() if "norm" in name
    }
    assert set(decays.values()) == {0.0, 0.3}
    assert len(decays) == len(list(model.parameters()))


def test_a_weight_without_gradient_shrinks_by_rate_times_decay() -> None:
    """Decoupled decay: w <- w - lr * decay * w whatever the gradient (Loshchilov and Hutter 2019, algorithm 2)."""
    model = fresh_model()
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=0.5, weight_decay=0.1))
    set_learning_rate(optimizer, 0.25)
    before = model.model.embed_tokens.weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.model.embed_tokens.weight, before * (1 - 0.25 * 0.1))


def test_a_restored_state_takes_the_same_steps() -> None:
    settings = OptimizerSettings(learning_rate=0.01)
    one = fresh_model()
    optimizer = build_optimizer(one, settings)
    steps(one, optimizer, 3, seed=1)
    two = fresh_model(seed=7)
    two.load_state_dict(one.state_dict())
    restored = build_optimizer(two, settings)
    load_state_tensors(restored, two, state_tensors(optimizer, one))
    for model, opt in ((one, optimizer), (two, restored)):
        steps(model, opt, 3, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_state_is_a_copy_named_after_the_weights() -> None:
    model = fresh_model()
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=0.01))
    assert state_tensors(optimizer, model) == {}
    steps(model, optimizer, 1, seed=1)
    state = state_tensors(optimizer, model)
    name = "model.layers.0.mlp.up_proj.weight.exp_avg"
    kept = state[name].clone()
    steps(model, optimizer, 1, seed=2)
    assert torch.equal(state[name], kept)
    assert len(state) == 3 * len(list(model.parameters()))


def test_a_state_that_does_not_fit_is_refused_by_name() -> None:
    model = fresh_model()
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=0.01))
    steps(model, optimizer, 1, seed=1)
    state = state_tensors(optimizer, model)
    name = "model.norm.weight.exp_avg_sq"
    with pytest.raises(BadCheckpoint, match=f"{name}: got nothing"):
        load_state_tensors(optimizer, model, {k: v for k, v in state.items() if k != name})
    with pytest.raises(BadCheckpoint, match=f"{name}: got shape"):
        load_state_tensors(optimizer, model, {**state, name: torch.zeros(3)})
