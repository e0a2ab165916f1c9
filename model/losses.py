"""The loss of next-token prediction, as a sum of nats and a count of tokens.

A nat is the unit of -ln(probability). Sums are kept apart from counts on purpose: a mean of batch means is not a mean
over tokens as soon as two batches hold a different number of targets (the last one, or masked conversations).
Sum nats, sum tokens, divide once.
"""

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor

from model.errors import EmptyBatch

NO_LOSS = -100  # a target that bears no loss: padding, the user's side of a conversation

# Shapes: B batch, T tokens, V vocabulary.


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
    """Number of tokens that bear loss."""
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


def mean_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean nats per target token of one batch (for a single batch only; see `summed_loss`)."""
    sum_nats, tokens = summed_loss(logits_BTV, targets_BT)
    return sum_nats / tokens


def uniform_nats(vocab_size: int) -> float:
    """Loss of a model that knows nothing, ln(vocab_size): what a fresh initialisation should start near."""
    return float(torch.log(torch.tensor(float(vocab_size), dtype=torch.float64)))
