"""Shares of several replayed sets where one of them is replayed for gauges too."""

from collections.abc import Mapping

import pytest

from retain.values import ForgettingScore, ForgettingSpec, Severity, Verdict
from services.orchestrator.domain.policy.anticipation import Observed, StageController, next_mix
from services.orchestrator.domain.policy.gate import GateOutcome
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.policy.learning_rate import RateShape
from services.orchestrator.domain.policy.projection import Horizon
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of, limits_of
from services.orchestrator.domain.spec.defaults import fill_forgetting

RULES = fill_forgetting(ForgettingSpec())
CONTROLLER = StageController(
    anticipates=True,
    target_scarce=False,
    guard="general",
    guarded=frozenset({"gauge-code"}),
    limits=limits_of(RULES),
    ladder=ladder_of(RULES),
    law=anticipation_of(RULES),
    # Of a constant rate with a lag of a tenth, 80 % of a stage are eight lags: all but .03 % of a change takes effect.
    horizon=Horizon(steps=100, settle=0.2, rate=RateShape(warmup=0.0, decay_start=1.0, floor=0.0, cosine=False)),
)
WATCHED = GateOutcome(verdict=Verdict.CONTINUE, severity=Severity.OK, message="")


def chosen(shares: Mapping[str, float], *, general: float, code: float, gauge: float) -> Mapping[str, float]:
    """Shares from step 20 on, where the estimates of c are these (nats)."""
    at = Observed(
        step=20,
        mix=Mix(shares=shares),
        adjusted_step=-1,
        effective_shares=shares,
        constants={"general": (general,), "code": (code,)},
        recent=(),
        scores=(ForgettingScore(retention_set="general", ratio=0.0),),
        guarded={"gauge-code": (gauge,)},
    )
    return next_mix(CONTROLLER, at, WATCHED)[0].shares


@pytest.mark.parametrize(
    ("now", "general", "code", "gauge", "expected"),
    [
        # c / .085779 - .05: .02 makes .1832, so .19; .03 makes .2997, so .3; .05 makes .5329, no more than .5.
        (0.1, 0.0, 0.02, 0.03, {"general": 0.3, "code": 0.19}),
        (0.1, 0.03, 0.02, 0.02, {"general": 0.3, "code": 0.19}),
        (0.1, 0.0, 0.03, 0.0, {"general": 0.1, "code": 0.3}),  # the gauge may need it later
        (0.1, 0.0, -0.01, 0.0, {"general": 0.1, "code": 0.02}),  # what guards nothing gives its share back
        # .5 and .5 are more than the .9 that may be replayed: code gets what it needs, and general keeps what it has.
        (0.1, 0.0, 0.05, 0.05, {"general": 0.1, "code": 0.5}),
        (0.3, 0.02, 0.05, 0.05, {"general": 0.3, "code": 0.5}),
    ],
)
def test_general_text_gets_what_its_neediest_set_needs_and_others_get_theirs(
    now: float, general: float, code: float, gauge: float, expected: Mapping[str, float]
) -> None:
    shares = {"general": now, "code": 0.1}
    assert chosen(shares, general=general, code=code, gauge=gauge) == pytest.approx(expected)
