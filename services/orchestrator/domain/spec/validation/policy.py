"""Faults of the bounds that the controllers and the gate work within."""

from itertools import pairwise

from retain.values import ForgettingSpec
from services.orchestrator.domain.policy.anticipation import Anticipation
from services.orchestrator.domain.policy.ladder import Ladder
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of
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
