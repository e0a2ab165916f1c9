"""Many rows written at once: all stand at the same position, each new token costs one pass of one token a row.

A row that ended is taken out of the batch and of the KV cache once a good part of the rows have, so that what is
computed is mostly what is wanted. Rows whose user's turn ended read what the template writes next while
others still write: nothing is padded, so that every family computes it, whatever it remembers of earlier tokens.

Shapes: B rows still written, T tokens of an opening, V vocabulary, P turns.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.errors import BadConfig, NonFinite
from model.evaluation.generate import empty_cache
from model.nn.causal_lm import CausalLM
from model.self_replay.draw import draw
from model.self_replay.prompts import Turn

COMPACT_AT = 0.8  # of the rows of the batch: once fewer are still written, the others' place is given up


@dataclass
class Row:
    """One row. said: ids of each turn, openings and end tokens left out; ended: whether the last turn has an end."""

    said: list[list[int]] = field(default_factory=lambda: [[]])
    ended: bool = False
    forced: list[int] = field(default_factory=list)  # of an opening, still to be read
    closed: bool = False  # nothing more is wanted of it


@torch.inference_mode()
def write_rows(
    model: CausalLM,
    turns: Sequence[Turn],
    seeds: Sequence[int],
    *,
    longest: int,
    temperature: float,
    top_p: float = 1.0,
    beat: Callable[[], None] = lambda: None,
) -> list[Row]:
    """A row for each seed, of at most `longest` tokens with all openings; a turn before the last gets half of that.

    A row hangs on its seed alone (up to the rounding of sums in batches of another size). `beat` is called for every
    position and may raise. Raises BadConfig for settings out of range, NonFinite for logits that are no numbers.
    """
    _check(model, turns, seeds, longest, temperature, top_p)
    parameter = next(model.parameters())
    device, opening = parameter.device, turns[0].opening
    rows = [Row() for _ in seeds]
    uniforms_BS = torch.stack([torch.rand(longest, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    bias_PV = _bias(turns, model.config.vocab_size, device)
    cache = empty_cache(model, rows=len(rows), capacity=longest, like=parameter)
    at_work = list(range(len(rows)))
    tokens_BT = torch.tensor(opening, device=device).expand(len(rows), -1)
    for place in range(len(opening), longest):
        beat()
        hidden_BTE = model.hidden(tokens_BT, cache=cache)
        logits_BV = model.lm_head(hidden_BTE[:, -1]).float()
        if not bool(torch.isfinite(logits_BV).all()):
            raise NonFinite("logits", "NaN or infinity", "finite logits")
        now_B = torch.tensor([len(rows[n].said) - 1 for n in at_work], device=device)
        drawn = draw(
            logits_BV + bias_PV[now_B],
            uniforms_BS[at_work, place].to(device),
            temperature=temperature,
            top_p=top_p,
        ).tolist()
        following = [_advance(rows[n], token, turns, longest) for n, token in zip(at_work, drawn, strict=True)]
        left = [place for place, n in enumerate(at_work) if not rows[n].closed]
        if not left:
            break
        if len(left) < COMPACT_AT * len(at_work):
            cache.select(torch.tensor(left, device=device))
            at_work, following = [at_work[n] for n in left], [following[n] for n in left]
        tokens_BT = torch.tensor(following, device=device).unsqueeze(1)
    return rows


def _advance(row: Row, drawn: int, turns: Sequence[Turn], longest: int) -> int:
    """Takes over what was drawn, unless the row reads an opening; returns the token that stands there."""
    if row.closed:
        return drawn
    if row.forced:
        return row.forced.pop(0)
    turn = turns[len(row.said) - 1]
    last = len(row.said) == len(turns)
    if drawn in turn.ends:
        if last:
            row.ended = row.closed = True
        else:
            row.forced = list(turns[len(row.said)].opening)
            row.said.append([])
        return drawn
    row.said[-1].append(drawn)
    if not last and 2 * (len(turn.opening) + len(row.said[-1])) >= longest:
        row.closed = True  # a question without an end
    return drawn


def _bias(turns: Sequence[Turn], vocabulary: int, device: torch.device) -> Tensor:
    """What is added to the logits of each turn: -inf for what never comes in it, [P, V]."""
    bias_PV = torch.zeros(len(turns), vocabulary)
    for bias_V, turn in zip(bias_PV, turns, strict=True):
        bias_V[sorted(turn.never)] = -math.inf
    return bias_PV.to(device)


def _check(
    model: CausalLM, turns: Sequence[Turn], seeds: Sequence[int], longest: int, temperature: float, top_p: float
) -> None:
    if not turns or not turns[0].opening or not seeds:
        raise BadConfig("turns, seeds", f"{len(turns)} turns, {len(seeds)} rows", "a turn with an opening, and a row")
    least = 2 * sum(len(turn.opening) for turn in turns)
    if not least <= longest <= model.config.context:
        expected = f"{least} (twice what is given) to {model.config.context} (the model's context)"
        raise BadConfig("longest", longest, expected)
    if not 0 <= temperature < math.inf:
        raise BadConfig("temperature", temperature, "0 (the likeliest token) or more")
    if not 0 < top_p <= 1:
        raise BadConfig("top_p", top_p, "above 0 and up to 1")
