"""The line between two models of one shape: weight interpolation as a way to forget less.

What: w(a) = (1 - a) * parent + a * result, for every weight. a = 0 is the parent, a = 1 the result.
Why it works: after fine-tuning from the parent, both ends lie in one basin of the loss, and on the line between them
the loss of the old text falls faster (towards the parent) than that of the new text rises (Wortsman et al. 2022,
arXiv:2109.01903 and 2203.05482). A point of the line often keeps most of what was learned and gives back most of what
was forgotten, at the price of measuring a few points and no training at all.
How it is computed: from the nearer end, parent + a * (result - parent) below 1/2 and result - (1 - a) * (result -
parent) from there on, in the weights' own precision. Written as a sum of two products, a weight that both ends share
would come out a rounding away from itself; this way equal ends give their own bits at every point.
When not: models that did not grow from each other; and a = 0 returns the parent, which is no success. Which point to
take (the best on the new text among those that keep a budget on the old) is the gate's to decide: a pipeline's spec
asks for it with `forgetting.interpolation`.
"""

import copy

import torch

from model.errors import BadConfig
from model.nn.causal_lm import CausalLM


@torch.no_grad()
def interpolate(parent: CausalLM, result: CausalLM, point: float) -> CausalLM:
    """A new model at `point` of the line. Exactly the parent at 0 and exactly the result at 1. Raises BadConfig."""
    if not 0.0 <= point <= 1.0:
        raise BadConfig("interpolation.points", point, "0 (the parent) to 1 (the result)")
    theirs = dict(parent.named_parameters())
    between = copy.deepcopy(result)
    for name, weight in between.named_parameters():
        if name not in theirs or theirs[name].shape != weight.shape:
            raise BadConfig(f"interpolation: {name}", "no such weight in the parent", "a parent of the same shape")
        if point == 0.0:
            weight.copy_(theirs[name])
        elif point < 1.0:
            torch.lerp(theirs[name], weight, point, out=weight)
    return between
