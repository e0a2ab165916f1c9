"""The fused halves of a layer against the modules' own operations, and their gradients against differences."""

import pytest
import torch
from torch import Tensor, nn

from model.nn import cpu_kernels
from model.nn.config import ModelConfig
from model.nn.llama import Llama

CONFIG = ModelConfig(
    vocab_size=32, context=12, width=16, layers=2, heads=4, kv_heads=2, ffn_width=24, attention_bias=True
)


def _inputs(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def test_feed_forward_has_the_gradients_that_differences_give() -> None:
    x, norm, gate, up, down = _inputs((2, 3, 4), (4,), (6, 4), (6, 4), (4, 6))
    assert torch.autograd.gradcheck(
        lambda *args: cpu_kernels.feed_forward(args[0], args[1], 1e-5, *args[2:]), (x, norm, gate, up, down)
    )


@pytest.mark.parametrize("per_row", [False, True], ids=["one position per column", "positions of packed rows"])
def test_queries_keys_and_values_have_the_gradients_that_differences_give(per_row: bool) -> None:
    angles = torch.randn(2, 1, 3, 2, dtype=torch.float64) if per_row else torch.randn(3, 2, dtype=torch.float64)
    angles = torch.cat((angles, angles), dim=-1)
    linears = [nn.Linear(4, out, dtype=torch.float64) for out in (8, 4, 4)]
    (x, norm), weights = _inputs((2, 3, 4), (4,)), [p for linear in linears for p in linear.parameters()]

    def call(x_BTE: Tensor, norm_E: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return cpu_kernels.queries_keys_values(x_BTE, norm_E, 1e-5, (angles.cos(), angles.sin()), 4, *linears)

    assert torch.autograd.gradcheck(call, (x, norm, *weights))


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_gives_the_same_loss_and_gradients_on_both_paths(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Llama(CONFIG, seed=0)
    tokens, targets = torch.randint(0, 32, (2, 3, 12), generator=torch.Generator().manual_seed(1)).unbind()
    segments = torch.tensor([[0] * 5 + [1] * 7, [0] * 12, [0] * 2 + [1] * 4 + [2] * 6]) if packed else None

    def run() -> tuple[float, list[Tensor]]:
        model.zero_grad()
        sum_nats, _ = model(tokens, segments_BT=segments, targets_BT=targets)
        sum_nats.backward()
        return float(sum_nats.detach()), [p.grad.clone() for p in model.parameters() if p.grad is not None]

    loss, gradients = run()
    again, same = run()
    assert loss == again
    assert all(torch.equal(*pair) for pair in zip(gradients, same, strict=True))
    monkeypatch.setattr(cpu_kernels, "usable", lambda *_: False)
    plain_loss, plain = run()
    assert loss == pytest.approx(plain_loss, rel=1e-6)
    for ours, theirs in zip(gradients, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_frozen_adapted_and_bfloat16_layers_take_the_modules_own_operations() -> None:
    layer = Llama(CONFIG, seed=0).model.layers[0]
    x = torch.zeros(1, 2, 16)
    assert cpu_kernels.usable(x, layer.input_layernorm, layer.self_attn.q_proj)
    assert not cpu_kernels.usable(x.bfloat16(), layer.input_layernorm)
    assert not cpu_kernels.usable(x, nn.Sequential(layer.self_attn.q_proj))
    with torch.autocast("cpu", torch.bfloat16):
        assert not cpu_kernels.usable(x, layer.input_layernorm)
    layer.self_attn.q_proj.weight.requires_grad_(False)
    assert not cpu_kernels.usable(x, layer.self_attn.q_proj)
    with torch.no_grad():
        assert cpu_kernels.usable(x, layer.self_attn.q_proj)
