"""Forgetting against gain: one point for each run, and which of them no other one beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ui.render.perplexity_table import BASE, DualRow


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a run's last measured stage came to. `gain`: nats a token by which the loss on the target fell, from its
    first measurement to its last; `forgetting`: the worst score then, > 0 is worse."""

    run_id: str
    stage: str
    gain: float
    forgetting: float
    from_base: bool


def point(run_id: str, rows: Sequence[DualRow]) -> Point | None:
    """Of the last stage that is scored; None where there is none, or its target was measured once. Where the base
    before training was not measured, the first boundary stands in for it."""
    scored = [row for row in rows if row.forgetting is not None and row.verdict != BASE]
    if not scored:
        return None
    last = scored[-1]
    of_stage = [row for row in rows if row.stage == last.stage and row.target_perplexity]
    if len(of_stage) < 2 or not last.target_perplexity or of_stage[0] is last:
        return None
    first = of_stage[0].target_perplexity
    if first is None or last.forgetting is None or not math.isfinite(last.forgetting):
        return None
    return Point(
        run_id=run_id,
        stage=last.stage,
        gain=math.log(first / last.target_perplexity),
        forgetting=last.forgetting,
        from_base=of_stage[0].verdict == BASE,
    )


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other one beats: none gains at least as much and forgets less, or gains more and forgets no more.
    By gain."""
    best: list[Point] = []
    for one in sorted(points, key=lambda one: (-one.gain, one.forgetting)):
        is_equal = bool(best) and (one.gain, one.forgetting) == (best[-1].gain, best[-1].forgetting)
        if not best or one.forgetting < best[-1].forgetting or is_equal:
            best.append(one)
    return best[::-1]
