"""Mixing the data of a stage with replay of what the model must not forget.

What: the batches of a stage hold the stage's own data (the target) and, for every capability to be kept, some of the
data that it was learned from. The classic recipe of mid-training is 90 % domain and 10 % general text; when forgetting
is seen, the general part is raised to 20-30 %.

Why it works: the gradient of the old data pulls back what the new data pushes away. Even a few per cent help: 1-10 %
of replay removed 67-85 % of the forgetting under a weak shift (Ibrahim et al. 2024, arXiv:2403.08763); the idea is as
old as rehearsal (Robins 1995, Connection Science 7).

When not: from random weights there is nothing to keep; and replay costs target tokens, so that a share far above what
the budget needs buys little (Gupta et al. 2023, arXiv:2308.04014).

What a share counts: target tokens. A chat row of which the assistant says a third weighs a third of a row of
text; counting rows or characters would quietly give the text three times its share.

How shares are met: not by drawing lots, whose noise over a few hundred batches is as large as the differences one
wants to measure, but by error diffusion. Each source carries a lag: what it is owed less what it got. A source may go
when it is owed something; of those the one whose next row is due first goes (earliest eligible virtual deadline
first; Stoica and Abdel-Wahab 1995, from which the bound of one row comes). Changing the shares keeps the lags, so
nothing is lost or counted twice at the change, and the whole state is one number a source.

    python -m model.cli.mixture      # the shares of a real mix, row by row, beside drawing lots
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from model.errors import BadConfig

_EXACT = 1e-6  # tokens; far below one, far above what float64 loses in a run


def complete_shares(
    target: str, shares: Mapping[str, float], sources: Mapping[str, object] | set[str]
) -> dict[str, float]:
    """Shares of all sources, adding up to 1; the target takes what the others leave if it is not named.

    Raises BadConfig for a share that is not in [0, 1], a source that is not there, or a sum that is not 1.
    """
    known = set(sources)
    if target not in known:
        raise BadConfig(field="target", got=target, expected=sorted(known))
    for name, share in shares.items():
        if name not in known:
            raise BadConfig(field=f"shares.{name}", got="a share without data", expected=sorted(known))
        if not (isinstance(share, int | float) and math.isfinite(share) and 0.0 <= share <= 1.0):
            raise BadConfig(field=f"shares.{name}", got=share, expected="a number from 0 to 1")
    others = math.fsum(share for name, share in shares.items() if name != target)
    total = others + shares.get(target, 1.0 - others)
    if abs(total - 1.0) > 1e-9 or others > 1.0 + 1e-9:
        raise BadConfig(field="shares", got=dict(shares), expected="shares that add up to 1")
    complete = {name: float(shares.get(name, 0.0)) for name in sorted(known)}
    complete[target] = max(0.0, 1.0 - others)
    return complete


class ShareMixer:
    """Chooses the source of each row so that the shares of loss-bearing tokens are met within one row."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares = dict(shares)
        self.lag_tokens = dict.fromkeys(self.shares, 0.0)  # owed less received; the sum is always 0

    def choose(self, row_tokens: Mapping[str, float]) -> str:
        """The source of the next row. `row_tokens`: loss-bearing tokens of an average row of each source."""
        due: dict[str, float] = {}
        for name, share in self.shares.items():
            if share > 0.0 and self.lag_tokens[name] >= -_EXACT:
                due[name] = (row_tokens[name] - self.lag_tokens[name]) / share
        # All lags of positive shares are negative only when a source whose share fell to 0 still holds a positive lag.
        if not due:
            return max(self.shares, key=lambda name: (self.shares[name] > 0.0, self.lag_tokens[name]))
        return min(due, key=lambda name: (due[name], name))

    def record(self, name: str, loss_tokens: int) -> None:
        """A row of `name` with so many loss-bearing tokens was handed out."""
        for other, share in self.shares.items():
            self.lag_tokens[other] += share * loss_tokens
        self.lag_tokens[name] -= loss_tokens

    def set_shares(self, shares: Mapping[str, float]) -> None:
        """New shares from the next row on; the lags stay. A source that gets no share any more gives up its lag.

        Raises BadConfig.
        """
        if set(shares) != set(self.shares):
            raise BadConfig(field="shares", got=sorted(shares), expected=sorted(self.shares))
        self.shares = dict(shares)
        given_up = 0.0
        for name, share in self.shares.items():
            if share == 0.0:
                given_up += self.lag_tokens[name]
                self.lag_tokens[name] = 0.0
        for name, share in self.shares.items():
            self.lag_tokens[name] += share * given_up

    def state(self) -> dict[str, Any]:
        """Shares and lags."""
        return {"shares": dict(self.shares), "lag_tokens": dict(self.lag_tokens)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Back to where `state()` was. Raises BadConfig for a state of other sources."""
        if set(state["shares"]) != set(self.shares):
            raise BadConfig(field="mix", got=sorted(state["shares"]), expected=sorted(self.shares))
        self.shares = {name: float(share) for name, share in state["shares"].items()}
        self.lag_tokens = {name: float(lag) for name, lag in state["lag_tokens"].items()}
