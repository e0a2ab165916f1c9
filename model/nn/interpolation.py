"""Models between two others of one shape, as a way to forget less: on the line, or with part of the change.

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

The other end need not be the parent. The middle between a stage's result and an earlier checkpoint of its own path is
the mean of both: what the last steps moved to and fro goes away, and where the result went too far it goes back along
the way that it came (PEFT-Arena, arXiv:2605.28819, goes back along the path; Izmailov et al. 2018, arXiv:1803.05407,
take the mean).

With part of the change: of the task vector d = result - parent only some elements are kept, and the others are the
parent's. FAPM (arXiv:2509.08255) keeps those with the highest |d| - mean|w| * |d| / |w| (w: the parent's element, the
mean over its matrix): large changes, unless they are large for the weight that they change, for those disturb what the
parent computes. It needs no data, and training is not touched.
"""

import copy

import torch
from torch import Tensor

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


@torch.no_grad()
def prune_task_vector(parent: CausalLM, result: CausalLM, kept: float) -> CausalLM:
    """A new model with the share `kept` of the elements of each matrix's change (rounded to whole elements), by FAPM.
    Exactly the parent at 0 and exactly the result at 1. Raises BadConfig."""
    if not 0.0 <= kept <= 1.0:
        raise BadConfig("interpolation.points", kept, "0 (the parent) to 1 (the result)")
    theirs = dict(parent.named_parameters())
    pruned = copy.deepcopy(result)
    for name, weight in pruned.named_parameters():
        if name not in theirs or theirs[name].shape != weight.shape:
            raise BadConfig(f"interpolation: {name}", "no such weight in the parent", "a parent of the same shape")
        given = theirs[name]
        order = torch.argsort(_fapm_score(given, weight).flatten(), descending=True, stable=True)
        dropped = order[round(kept * order.numel()) :]
        weight.view(-1)[dropped] = given.flatten()[dropped]
    return pruned


def _fapm_score(parent: Tensor, result: Tensor) -> Tensor:
    """Of each element, higher is kept first. A change of a weight that was 0 is infinitely large for it, and goes
    first; where all of them were 0 (a bias that was never trained) nothing is relative, and the size alone decides."""
    change, size = (result - parent).abs(), parent.abs()
    mean = size.mean()
    return change if mean == 0 else torch.where(size > 0, change - mean * change / size, -torch.inf)
