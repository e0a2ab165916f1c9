"""Faults of the bounds that the controllers and the gate work within."""

from itertools import pairwise

from retain.values import ForgettingSpec, InterpolationSpec
from services.orchestrator.domain.policy.anticipation import Anticipation
from services.orchestrator.domain.policy.ladder import Ladder
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of
from services.orchestrator.domain.spec.op_mix import op_mix_of
from services.orchestrator.domain.spec.validation.checks import Faults
from services.orchestrator.domain.spec.validation.stage import LARGEST_SHARE


def check_policy(faults: Faults, rules: ForgettingSpec) -> None:
    """Faults of the factors of `stop`, of `probe`, of `ladder` and of `anticipate` of a filled spec."""
    for name in ("unsettled_stop_factor", "projected_ceiling_factor"):
        factor = getattr(rules, name)
        faults.at_least(f"forgetting.{name}", 1.0 if factor is None else factor, 1)
    for name in ("budget", "most_seconds") if rules.probe is not None else ():
        value = getattr(rules.probe, name)
        faults.positive(f"forgetting.probe.{name}", 1.0 if value is None else value)
    _check_ladder(faults, ladder_of(rules))
    _check_anticipation(faults, anticipation_of(rules))
    _check_op_mix(faults, rules)


def _check_ladder(faults: Faults, ladder: Ladder) -> None:
    at = "forgetting.ladder"
    for index, rung in enumerate(ladder.rungs):
        inside = 0 < rung <= LARGEST_SHARE
        faults.expect(inside, f"{at}.rungs[{index}]", rung, f"a share above 0 and up to {LARGEST_SHARE:g}")
    rising = all(low < high for low, high in pairwise(ladder.rungs))
    faults.expect(rising, f"{at}.rungs", list(ladder.rungs), "shares that rise from one to the next")
    faults.expect(0 < ladder.rate_factor < 1, f"{at}.rate_factor", ladder.rate_factor, "a number between 0 and 1")
    inside = 0 < ladder.largest_replay <= LARGEST_SHARE
    faults.expect(inside, f"{at}.largest_replay", ladder.largest_replay, f"above 0 and up to {LARGEST_SHARE:g}")


def _check_anticipation(faults: Faults, law: Anticipation) -> None:
    at = "forgetting.anticipate"
    faults.expect(0 < law.aim <= 1, f"{at}.aim", law.aim, "above 0 and up to 1: a part of the budget")
    for name in ("share_offset", "share_step", "lag", "early_forgetting", "end_forgetting", "scarce_passes"):
        faults.positive(f"{at}.{name}", getattr(law, name))
    for name in ("smallest_share", "least_raise", "least_relief", "relief_felt"):
        faults.share(f"{at}.{name}", getattr(law, name))
    within = law.smallest_share < law.largest_share <= LARGEST_SHARE
    expected = f"a share above smallest_share ({law.smallest_share:g}) and up to {LARGEST_SHARE:g}"
    faults.expect(within, f"{at}.largest_share", law.largest_share, expected)
    faults.at_least(f"{at}.boundaries_used", law.boundaries_used, 1)


def check_interpolation(faults: Faults, given: InterpolationSpec) -> None:
    """Faults of the points that are to be measured at a stage's end."""
    at = "forgetting.interpolation"
    for index, point in enumerate(given.points):
        inside = 0 < point < 1 and point not in given.points[:index]
        faults.expect(inside, f"{at}.points[{index}]", point, "a number between 0 and 1, none twice")
    if given.kinds:
        fits = len(given.kinds) == len(given.points)
        faults.expect(
            fits, f"{at}.kinds", f"{len(given.kinds)} kinds", f"as many as points ({len(given.points)}), or none"
        )
    faults.at_least(f"{at}.least_gain_nats", given.least_gain_nats, 0)


def _check_op_mix(faults: Faults, rules: ForgettingSpec) -> None:
    at, given = "forgetting.op_mix", op_mix_of(rules)
    if given.tokens is not None:
        faults.at_least(f"{at}.tokens", given.tokens, 1)
    faults.at_least(f"{at}.rank", given.rank, 1)
    faults.positive(f"{at}.rate_factor", given.rate_factor)
    fine = len(given.shares) > 1 and all(0 <= share <= 1 for share in given.shares)
    rising = all(low < high for low, high in pairwise(given.shares))
    faults.expect(fine and rising, f"{at}.shares", list(given.shares), "two or more shares from 0 to 1, rising")
