"""One token a row, drawn by inverting the cumulative distribution at a given number.

There is no generator inside: what a row becomes hangs on its own numbers, not on how many rows are drawn beside it.

Shapes: B rows, V vocabulary.
"""

import torch
from torch import Tensor


def draw(logits_BV: Tensor, uniforms_B: Tensor, *, temperature: float, top_p: float = 1.0) -> Tensor:
    """Token ids [B]. uniforms_B: numbers from 0 up to, not including, 1. temperature divides the logits, 0 takes the
    likeliest. top_p: only the likeliest tokens that together have this probability (nucleus sampling, Holtzman et al.
    2020, arXiv:1904.09751); 1 is all. A logit of -inf is never drawn."""
    if temperature == 0:
        return logits_BV.argmax(dim=-1)
    probabilities_BV = torch.softmax(logits_BV / temperature, dim=-1)
    if top_p < 1:
        probabilities_BV = _nucleus(probabilities_BV, top_p)
    cumulative_BV = probabilities_BV.cumsum(dim=-1)
    total_B1 = cumulative_BV[:, -1:].contiguous()
    wanted_B1 = uniforms_B.unsqueeze(1).to(cumulative_BV.dtype) * total_B1
    found_B1 = torch.searchsorted(cumulative_BV, wanted_B1, right=True)
    # Rounding may bring a number just below 1 up to the total: then it is the last token that has any probability.
    last_B1 = torch.searchsorted(cumulative_BV, total_B1)
    return torch.minimum(found_B1, last_B1).squeeze(1)


def _nucleus(probabilities_BV: Tensor, top_p: float) -> Tensor:
    """The same with 0 for all behind the likeliest tokens that reach top_p; the one that reaches it is in."""
    sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
    behind_BV = sorted_BV.cumsum(dim=-1) - sorted_BV >= top_p
    return probabilities_BV.scatter(-1, order_BV, sorted_BV.masked_fill(behind_BV, 0.0))
