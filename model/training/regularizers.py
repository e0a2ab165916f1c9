"""Penalties that hold the weights near those of the parent: two further ways to forget less.

What: a term s / 2 * sum_i f_i (w_i - p_i)^2 is added to the loss; p are the parent's weights, s the strength.

    L2-SP  f_i = 1: every weight is held alike (Li, Grandvalet and Davoine 2018, arXiv:1802.01483)
    EWC    f_i = the diagonal of the Fisher information on text of the parent's own kind: weights that the old task
           depends on are held, the others are free (Kirkpatrick et al. 2017, arXiv:1612.00796)

Why: replay costs tokens of the new data, a penalty costs none. When not: where the new text is far from the old,
holding weights also holds back learning; replay of a few percent is usually the better first choice.

The gradient of the term is known in closed form, s * f_i (w_i - p_i), and is added straight to the weights'
gradients: no second backward pass. Fisher information here is the *empirical* one, from the squared gradients of
single rows, scaled to a mean of 1 over all weights, so that one strength means about the same for EWC and L2-SP and
for models of every size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from model.errors import BadConfig, EmptyBatch, NonFinite
from model.nn.causal_lm import CausalLM
from model.nn.losses import count_targets, token_nats


class QuadraticPenalty:
    """s / 2 * sum f (w - p)^2 over the weights of a model. Without `importance` every f is 1 (L2-SP)."""

    def __init__(
        self,
        model: CausalLM,
        parent: Mapping[str, Tensor],
        *,
        strength: float,
        importance: Mapping[str, Tensor] | None = None,
    ) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise BadConfig("penalty", strength, "a finite strength of at least 0")
        self._strength = strength
        self._terms = []
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            if name not in parent or parent[name].shape != weight.shape:
                raise BadConfig(f"penalty: {name}", "no such weight in the parent", "a parent of the same shape")
            factor = importance[name] if importance is not None else None
            self._terms.append((weight, parent[name].detach().clone(), factor))

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add s * f * (w - p) to every weight's gradient (created where there is none)."""
        for weight, parent, factor in self._terms:
            pull = weight - parent if factor is None else (weight - parent) * factor
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad.add_(pull, alpha=self._strength)

    @torch.no_grad()
    def value(self) -> float:
        """The term itself, in nats a token (it is added to a mean loss)."""
        total = 0.0
        for weight, parent, factor in self._terms:
            square = (weight - parent).square()
            total += float((square if factor is None else square * factor).sum())
        return 0.5 * self._strength * total


class Penalties:
    """Several penalties together."""

    def __init__(self, *penalties: QuadraticPenalty) -> None:
        self._penalties = penalties

    def add_gradient(self) -> None:
        """Add all of them."""
        for penalty in self._penalties:
            penalty.add_gradient()


def parent_weights(model: CausalLM) -> dict[str, Tensor]:
    """Copies of a model's weights by name, to be held on to."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def fisher(model: CausalLM, rows: Iterable[tuple[Tensor, Tensor, Tensor | None]]) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information, scaled to a mean of 1 over all weights.

    rows: (inputs_T, targets_T, segments_T or None) of single rows of text that the model must keep. The gradient of
    each row's mean loss is squared on its own: the square of a batch's mean gradient would be another, smaller thing.
    The same rows in the same order give the same bits, so that a resumed stage estimates what the undisturbed one
    did. Costs one forward and backward pass of every row. Raises EmptyBatch without any target, NonFinite when a
    gradient is not finite.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    seen = 0
    for inputs_T, targets_T, segments_T in rows:
        targets = count_targets(targets_T)
        if targets == 0:
            continue
        segments_1T = None if segments_T is None else segments_T.unsqueeze(0)
        logits_1TV = model(inputs_T.unsqueeze(0), segments_BT=segments_1T)
        loss = token_nats(logits_1TV, targets_T.unsqueeze(0)).sum() / targets
        for total, gradient in zip(sums.values(), torch.autograd.grad(loss, list(weights.values())), strict=True):
            total.add_(gradient.square())
        seen += 1
    if seen == 0:
        raise EmptyBatch("fisher", "no row with a target", "rows of text that the model must keep")
    mean = sum(float(total.double().sum()) for total in sums.values()) / sum(t.numel() for t in sums.values())
    if not (math.isfinite(mean) and mean > 0):
        raise NonFinite("fisher", f"a mean squared gradient of {mean / seen}", "a finite number above 0")
    return {name: total / mean for name, total in sums.items()}
