"""The two halves of a layer as one operation each, with the backward pass written by hand (training on a CPU).

Between two matrix products a layer only scales, turns and multiplies number by number. On a CPU each such operation
reads and writes whole tensors, and takes about as long as the memory does; written one by one, with autograd's own
backward passes, they are a fifth of a step. Here a norm, its products, the activation and the residual are one
operation: what one pass can do is done in one, nothing is computed twice, and gradients are added where they are made.
The products are the same, and so is the result up to the order of additions.

Only first derivatives exist. `usable` says where this path may be taken; everywhere else (GPUs, bf16, LoRA's layers,
generation with a cache, torch.compile) the modules' own operations are.
"""

# Shapes: B batch, T tokens, N = B * T rows, E width, H heads, K key and value heads, D size of a head, h = D / 2,
# Q = H * D or K * D, F inner width of the feed-forward block.

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_silu_backward = torch.ops.aten.silu_backward.grad_input


def usable(x_BTE: Tensor, *modules: nn.Module) -> bool:
    """Whether these modules can take the fused path: plain linear layers and norms, on a CPU, all of one number type,
    and either all to be trained or none."""
    if x_BTE.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    if x_BTE.dtype not in (torch.float32, torch.float64):
        return False
    if any(next(module.children(), None) is not None for module in modules):  # an adapter around the matrix
        return False
    weights = [cast(Tensor, module.weight) for module in modules]
    if any(weight.dtype != x_BTE.dtype for weight in weights):
        return False
    return not torch.is_grad_enabled() or all(weight.requires_grad for weight in weights)


def feed_forward(x_BTE: Tensor, norm_E: Tensor, eps: float, gate_FE: Tensor, up_FE: Tensor, down_EF: Tensor) -> Tensor:
    """x + down(silu(gate(n)) * up(n)) with n = x / rms(x) * norm."""
    result: Tensor = _FeedForward.apply(x_BTE, norm_E, eps, gate_FE, up_FE, down_EF)
    return result


def queries_keys_values(
    x_BTE: Tensor, norm_E: Tensor, eps: float, rope: tuple[Tensor, Tensor], head_size: int, *projections: nn.Linear
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys (turned by their positions) and values of x's norm, each [B, H or K, T, D]."""
    weights = [tensor for linear in projections for tensor in (linear.weight, linear.bias)]
    B, T, _ = x_BTE.shape
    flat = _NormProject.apply(x_BTE, norm_E, eps, _turns(rope, x_BTE), *weights)
    queries, keys, values = (out_NQ.view(B, T, -1, head_size).transpose(1, 2) for out_NQ in flat)
    return queries, keys, values


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_BTE: Tensor, norm_E: Tensor, eps: float, gate_FE: Tensor, up_FE: Tensor, down_EF: Tensor
    ) -> Tensor:
        x_NE, normed_NE, scales_N1 = _normed(x_BTE, norm_E, eps)
        gates_NF, ups_NF = normed_NE @ gate_FE.T, normed_NE @ up_FE.T
        silu_NF = nn.functional.silu(gates_NF)
        hidden_NF = silu_NF * ups_NF
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(
                x_NE, norm_E, normed_NE, scales_N1, gate_FE, up_FE, down_EF, gates_NF, ups_NF, silu_NF, hidden_NF
            )
        return torch.addmm(x_NE, hidden_NF, down_EF.T).view(x_BTE.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTE: Tensor) -> tuple[Tensor | None, ...]:
        x_NE, norm_E, normed_NE, scales_N1, gate_FE, up_FE, down_EF, gates_NF, ups_NF, silu_NF, hidden_NF = (
            ctx.saved_tensors
        )
        grad_NE = grad_BTE.reshape(x_NE.shape)
        d_down_EF = grad_NE.T @ hidden_NF
        d_hidden_NF = grad_NE @ down_EF
        d_ups_NF = d_hidden_NF * silu_NF
        d_gates_NF = _silu_backward(d_hidden_NF.mul_(ups_NF), gates_NF, grad_input=d_hidden_NF)
        d_gate_FE, d_up_FE = d_gates_NF.T @ normed_NE, d_ups_NF.T @ normed_NE
        d_normed_NE = (d_gates_NF @ gate_FE).addmm_(d_ups_NF, up_FE)
        d_x_NE, d_norm_E = _norm_backward(d_normed_NE, x_NE, norm_E, scales_N1, grad_NE)
        return d_x_NE.view(grad_BTE.shape), d_norm_E, None, d_gate_FE, d_up_FE, d_down_EF


class _NormProject(torch.autograd.Function):
    """`weights`: matrix and bias (or None) of queries, keys and values.

    A rotation is one complex product when the two numbers of a pair are neighbours. The rows of the query and key
    matrices are brought into that order first: attention only sees dot products, which do not mind."""

    @staticmethod
    def forward(
        ctx: Any, x_BTE: Tensor, norm_E: Tensor, eps: float, turns_N1h: Tensor, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        x_NE, normed_NE, scales_N1 = _normed(x_BTE, norm_E, eps)
        head_size = 2 * turns_N1h.shape[-1]
        in_pairs = [_in_pairs(weight, head_size) for weight in weights[:4]] + list(weights[4:])
        matrices = in_pairs[::2]
        queries, keys, values = (
            nn.functional.linear(normed_NE, cast(Tensor, matrix), bias)
            for matrix, bias in zip(matrices, in_pairs[1::2], strict=True)
        )
        _as_complex(queries, head_size).mul_(turns_N1h)
        _as_complex(keys, head_size).mul_(turns_N1h)
        if any(ctx.needs_input_grad):
            ctx.shape, ctx.biased = x_BTE.shape, [bias is not None for bias in weights[1::2]]
            ctx.save_for_backward(x_NE, norm_E, normed_NE, scales_N1, turns_N1h, *matrices)
        return queries, keys, values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_NE, norm_E, normed_NE, scales_N1, turns_N1h, *matrices = ctx.saved_tensors
        head_size, back_N1h = 2 * turns_N1h.shape[-1], turns_N1h.conj().resolve_conj()
        d_normed_NE, d_weights = torch.empty_like(normed_NE), list[Tensor | None]()
        for index, (matrix_QE, d_NQ) in enumerate(zip(matrices, gradients, strict=True)):
            d_NQ = d_NQ.contiguous()
            if index < 2:  # the gradient of a rotation is the rotation back
                d_NQ = torch.view_as_real(_as_complex(d_NQ, head_size) * back_N1h).view(d_NQ.shape)
            if index == 0:
                torch.mm(d_NQ, matrix_QE, out=d_normed_NE)
            else:
                d_normed_NE.addmm_(d_NQ, matrix_QE)
            d_pair = (d_NQ.T @ normed_NE, d_NQ.sum(0) if ctx.biased[index] else None)
            d_weights += d_pair if index == 2 else [_in_halves(d, head_size) for d in d_pair]
        d_x_NE, d_norm_E = _norm_backward(d_normed_NE, x_NE, norm_E, scales_N1, None)
        return d_x_NE.view(ctx.shape), d_norm_E, None, None, *d_weights


def _turns(rope: tuple[Tensor, Tensor], x_BTE: Tensor) -> Tensor:
    """cos + i sin of every row, complex [N, 1, D / 2], of tables [T, D] or [B, 1, T, D] (both halves alike)."""
    half = rope[0].shape[-1] // 2
    cos, sin = (table.reshape(-1, x_BTE.shape[1], 2 * half)[..., :half] for table in rope)
    return torch.complex(cos, sin).expand(len(x_BTE), -1, -1).reshape(-1, 1, half)


def _in_pairs(weight: Tensor | None, head_size: int) -> Tensor | None:
    """Rows of each head from (first halves, second halves) to (pairs)."""
    if weight is None:
        return None
    halves = weight.view(-1, 2, head_size // 2, weight.numel() // len(weight))
    return halves.transpose(1, 2).reshape(weight.shape)


def _in_halves(weight: Tensor | None, head_size: int) -> Tensor | None:
    """What `_in_pairs` did, undone."""
    if weight is None:
        return None
    pairs = weight.view(-1, head_size // 2, 2, weight.numel() // len(weight))
    return pairs.transpose(1, 2).reshape(weight.shape)


def _as_complex(x_NQ: Tensor, head_size: int) -> Tensor:
    """Pairs as complex numbers, [N, H, D / 2], on the same memory."""
    return torch.view_as_complex(x_NQ.view(len(x_NQ), -1, head_size // 2, 2))


def _normed(x_BTE: Tensor, norm_E: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x as rows, x / rms(x) * norm, and 1 / rms(x)."""
    x_NE = x_BTE.reshape(-1, len(norm_E))
    lengths_N1 = torch.linalg.vector_norm(x_NE, dim=1, keepdim=True)
    scales_N1 = lengths_N1.square_().div_(len(norm_E)).add_(eps).rsqrt_()
    return x_NE, (x_NE * scales_N1).mul_(norm_E), scales_N1


def _norm_backward(
    d_normed_NE: Tensor, x_NE: Tensor, norm_E: Tensor, scales_N1: Tensor, straight_NE: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gradients of a norm's input (plus that of the residual that goes straight past it) and of its gain.

    With s = 1 / rms(x) and g = gradient * gain: s * g - x * s^3 * mean(g * x). Overwrites `d_normed_NE`."""
    product_NE = d_normed_NE * x_NE
    d_norm_E = product_NE.T @ scales_N1.squeeze(1)
    pulls_N1 = (product_NE @ norm_E).unsqueeze(1).mul_(scales_N1.pow(3)).div_(len(norm_E))
    d_normed_NE.mul_(norm_E)
    d_x_NE = d_normed_NE.mul_(scales_N1) if straight_NE is None else torch.addcmul(straight_NE, d_normed_NE, scales_N1)
    return d_x_NE.addcmul_(x_NE, pulls_N1, value=-1), d_norm_E
