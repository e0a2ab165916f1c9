"""Knowledge distillation on replayed text: the parent is the teacher, and the model is held to its distribution.

What: on the rows that replay old text, strength * KL(parent | model) over the vocabulary is added to the loss of the
next token (Li and Hoiem 2016, arXiv:1606.09282, with the parent as the teacher; on stored examples of the old task,
as Buzzega et al. 2020, arXiv:2004.07211, have it; the divergence is that of Hinton et al. 2015, arXiv:1503.02531).

Why: a replayed token says which one word came, the parent's distribution says how likely each word was. The same few
tokens of replay so carry more of what the model knew, and no share of the new text has to be given up for it. It costs
one forward pass of the parent over the replayed rows, and the parent's weights in memory.

Alone: text that the parent itself wrote (model/self_replay) says nothing beside the parent. Each of its tokens is one
draw from the distribution that the parent gives in full: the nats of the token that came have the divergence's gradient
in expectation, and noise on top. On sources that are named `alone` the divergence stands in their place, as Marek et
al. 2026 (arXiv:2605.26097) regularize.

When not: without replay there is nothing to distil on; and where the old text is to be *learned better* meanwhile, a
teacher that knows no more than the parent holds that back.

`python -m model.experiments --only c` sweeps the strength; 1 is where to begin.
"""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from model.errors import BadConfig
from model.nn.causal_lm import CausalLM
from model.nn.losses import SoftTargets

# Shapes: B rows of a micro-batch, T tokens, E width of the parent.


class Distillation:
    """The parent as a teacher. It is never trained; the same rows give the same bits. `alone`: names of the replayed
    sources on whose rows its word stands in place of the token that came."""

    def __init__(self, parent: CausalLM, *, strength: float, alone: Collection[str] = ()) -> None:
        if not (math.isfinite(strength) and strength > 0):
            raise BadConfig("penalty.distill", strength, "a finite strength above 0")
        self._parent, self._strength = parent.eval().requires_grad_(False), strength
        self._alone = frozenset(alone)

    def check(self, model: CausalLM) -> None:
        """Raises BadConfig for a model whose words are not the teacher's."""
        got, expected = model.config.vocab_size, self._parent.config.vocab_size
        if got != expected:
            raise BadConfig("penalty.distill", f"a vocabulary of {got}", f"the parent's, {expected}")

    @torch.no_grad()
    def soft_targets(
        self, inputs_BT: Tensor, segments_BT: Tensor | None, replayed_B: Sequence[str]
    ) -> SoftTargets | None:
        """What the parent says on the rows that replay old text; None without any. replayed_B: the source that a row
        replays, "" for what is learned."""
        rows = [row for row, replayed in enumerate(replayed_B) if replayed]
        if not rows:
            return None
        segments = None if segments_BT is None else segments_BT[rows]
        said = self._parent.hidden(inputs_BT[rows], segments_BT=segments)
        hidden_BTE = said.new_zeros(*inputs_BT.shape, said.shape[-1])
        hidden_BTE[rows] = said
        strengths_BT = torch.zeros(inputs_BT.shape, device=inputs_BT.device)
        strengths_BT[rows] = self._strength
        return SoftTargets(
            hidden_BTE=hidden_BTE,
            weight_VE=self._parent.lm_head.weight,
            strengths_BT=strengths_BT,
            counts_BT=self._counts(strengths_BT, replayed_B),
        )

    def _counts(self, like_BT: Tensor, replayed_B: Sequence[str]) -> Tensor | None:
        """0 on the rows of which the parent's word alone counts, 1 on the others; None without any."""
        alone = [row for row, name in enumerate(replayed_B) if name in self._alone]
        if not alone:
            return None
        counts_BT = torch.ones_like(like_BT)
        counts_BT[alone] = 0.0
        return counts_BT
