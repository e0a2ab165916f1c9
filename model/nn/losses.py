# ruff: noqa: N815 (shape suffixes of names are upper case by convention)
"""The loss of next-token prediction, as a sum of nats and a count of tokens.

A nat is the unit of -ln(probability). Sums are kept apart from counts on purpose: a mean of batch means is not a mean
over tokens as soon as two batches hold a different number of targets (the last one, or masked conversations).
Sum nats, sum tokens, divide once.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor

from model.errors import EmptyBatch

NO_LOSS = -100  # no target: padding, the user's side of a conversation
CHUNK_TOKENS = 256  # rows of logits made at once by the fused loss: 4 MB at a vocabulary of 4,096

# Shapes: B batch, T tokens, V vocabulary.


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftTargets:
    """What a teacher says of every next token: its logits are hidden_BTE @ weight_VE.T (its own width E).

    strengths_BT: what a nat of divergence from it costs beside a nat of loss; 0 where it is not asked. counts_BT: what
    the nats of the token that came count for (None: 1 everywhere)."""

    hidden_BTE: Tensor
    weight_VE: Tensor
    strengths_BT: Tensor
    counts_BT: Tensor | None = None


def token_nats(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """-ln p(target) of every token in float32, 0 where the target is NO_LOSS.

    targets_BT holds the *next* token of each position (shifted by the caller): logits at t predict targets at t.
    """
    nats = F.cross_entropy(
        logits_BTV.reshape(-1, logits_BTV.shape[-1]).float(),
        targets_BT.reshape(-1),
        ignore_index=NO_LOSS,
        reduction="none",
    )
    return nats.view(targets_BT.shape)


def count_targets(targets_BT: Tensor) -> int:
    """Number of target tokens."""
    return int((targets_BT != NO_LOSS).sum())


def summed_loss(logits_BTV: Tensor, targets_BT: Tensor) -> tuple[Tensor, int]:
    """(sum of nats as a differentiable float32 scalar, number of target tokens).

    The mean that training minimises is sum / tokens, with the tokens of the *global* batch, so that gradient
    accumulation and several workers give the gradient of one large batch. Raises EmptyBatch without any target.
    """
    tokens = count_targets(targets_BT)
    if tokens == 0:
        raise EmptyBatch("targets", f"{targets_BT.numel()} positions, none with a target", "at least one target token")
    sum_nats = F.cross_entropy(
        logits_BTV.reshape(-1, logits_BTV.shape[-1]).float(),
        targets_BT.reshape(-1),
        ignore_index=NO_LOSS,
        reduction="sum",
    )
    return sum_nats, tokens


def fused_token_nats(
    hidden_BTE: Tensor, weight_VE: Tensor, targets_BT: Tensor, soft: SoftTargets | None = None
) -> tuple[Tensor, Tensor]:
    """(sum to minimise, nats of every token [B, T]) of `hidden @ weight.T`, without ever holding all logits.

    The logits are by far the largest tensor of a step, and softmax reads them several times. Here they are made a few
    rows at a time, and the gradients of both factors are taken at once while those rows are still in the cache. The sum
    is that of the nats, plus strength * KL(teacher | model) of every target where soft targets are given, which may say
    too that nats count for less. It is differentiable; the nats of the tokens are for reports, all of them and without
    the teacher's part, and carry no gradient.
    """
    hidden_NE, kind = hidden_BTE.reshape(-1, hidden_BTE.shape[-1]), hidden_BTE.device.type
    teacher: tuple[Tensor, ...] = ()
    if soft is not None:
        soft_NE = soft.hidden_BTE.reshape(-1, soft.hidden_BTE.shape[-1])
        teacher = (soft_NE, soft.weight_VE.to(soft_NE.dtype), soft.strengths_BT.reshape(-1, 1))
        if soft.counts_BT is not None:
            teacher = (*teacher, soft.counts_BT.reshape(-1, 1))
    if torch.is_autocast_enabled(kind):
        number = torch.get_autocast_dtype(kind)
        hidden_NE, weight_VE = hidden_NE.to(number), weight_VE.to(number)
    with torch.autocast(kind, enabled=False):
        total, nats_N = _FusedCrossEntropy.apply(hidden_NE, weight_VE, targets_BT.reshape(-1), *teacher)
    return total, nats_N.view(targets_BT.shape)


class _FusedCrossEntropy(torch.autograd.Function):
    """Shapes: N tokens, C tokens of a chunk, E width (of the teacher: its own), V vocabulary."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor, *teacher: Tensor
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        teacher, counts_N1 = teacher[:3], teacher[3] if len(teacher) > 3 else None
        nats_N = torch.zeros(len(targets_N), dtype=torch.float32, device=hidden_NE.device)
        divergence = torch.zeros((), dtype=torch.float32, device=hidden_NE.device)
        grad_NE = torch.zeros_like(hidden_NE) if wants_hidden else None
        grad_VE = torch.zeros_like(weight_VE, dtype=torch.float32) if wants_weight else None
        for start in range(0, len(targets_N), CHUNK_TOKENS):
            part = slice(start, start + CHUNK_TOKENS)
            hidden_CE = hidden_NE[part]
            silent_C1 = (targets_N[part] == NO_LOSS).unsqueeze(1)
            targets_C1 = targets_N[part].unsqueeze(1).masked_fill(silent_C1, 0)
            logits_CV = (hidden_CE @ weight_VE.T).float()
            soft = _teacher_terms(logits_CV, silent_C1, part, *teacher) if teacher else None
            counts_C1 = 1.0 if counts_N1 is None else counts_N1[part]
            largest_C1 = logits_CV.amax(dim=1, keepdim=True)
            target_logits_C1 = logits_CV.gather(1, targets_C1)
            weights_CV = logits_CV.sub_(largest_C1).exp_()
            sums_C1 = weights_CV.sum(dim=1, keepdim=True)
            log_sums_C1 = sums_C1.log() + largest_C1
            nats_N[part] = (log_sums_C1 - target_logits_C1).masked_fill(silent_C1, 0).squeeze(1)
            if soft is not None:
                divergence += (soft.strengths_C1 * (soft.against_C1 + log_sums_C1)).sum()
            if grad_NE is None and grad_VE is None:
                continue
            # d nats / d logits = softmax - one_hot(target), and nothing where there is no loss
            scales_C1 = sums_C1.reciprocal().masked_fill(silent_C1, 0)
            # d KL / d logits = softmax - the teacher's
            scales_C1 = scales_C1 * (counts_C1 if soft is None else counts_C1 + soft.strengths_C1)
            grad_CV = weights_CV.mul_(scales_C1)
            grad_CV.scatter_add_(1, targets_C1, counts_C1 * (silent_C1.float() - 1))
            if soft is not None:
                grad_CV.addcmul_(soft.probabilities_CV, soft.strengths_C1, value=-1)
            grad_CV = grad_CV.to(weight_VE.dtype)
            if grad_NE is not None:
                torch.mm(grad_CV, weight_VE, out=grad_NE[part])
            if grad_VE is not None:
                if grad_CV.dtype == grad_VE.dtype:
                    grad_VE.addmm_(grad_CV.T, hidden_CE)
                else:  # many small numbers are added: not in bfloat16
                    grad_VE.add_(grad_CV.T @ hidden_CE)
        ctx.save_for_backward(grad_NE, None if grad_VE is None else grad_VE.to(weight_VE.dtype))
        ctx.mark_non_differentiable(nats_N)
        total = nats_N.sum() if counts_N1 is None else (nats_N * counts_N1.squeeze(1)).sum()
        return total + divergence if teacher else total, nats_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_NE, grad_VE = ctx.saved_tensors
        scale = grads[0]
        given = (grad_NE, grad_VE)
        scaled = [None if grad is None else grad * scale.to(grad.dtype) for grad in given]
        return (*scaled, *[None] * (len(ctx.needs_input_grad) - len(given)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _TeacherTerms:
    """A chunk's teacher: its probabilities q, sum of q * (ln q - logits of the model), and what it counts for."""

    probabilities_CV: Tensor
    against_C1: Tensor
    strengths_C1: Tensor


def _teacher_terms(
    logits_CV: Tensor, silent_C1: Tensor, part: slice, soft_NE: Tensor, weight_VE: Tensor, strengths_N1: Tensor
) -> _TeacherTerms | None:
    """None where no token of the chunk has a teacher. KL(q | softmax) = sum q * (ln q - logits) + ln sum
    exp(logits)."""
    strengths_C1 = strengths_N1[part].masked_fill(silent_C1, 0)
    if not strengths_C1.any():
        return None
    log_q_CV = torch.log_softmax((soft_NE[part] @ weight_VE.T).float(), dim=1)
    q_CV = log_q_CV.exp()
    against_C1 = (q_CV * (log_q_CV - logits_CV)).sum(dim=1, keepdim=True)
    return _TeacherTerms(probabilities_CV=q_CV, against_C1=against_C1, strengths_C1=strengths_C1)
