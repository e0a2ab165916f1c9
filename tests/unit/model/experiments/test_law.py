"""Laws of the share: each finds itself again, and is scored on shares that it has not seen."""

import math
from pathlib import Path

import pytest

from model.experiments.arms import Arm, GateRules
from model.experiments.law import Seen, compare, fit_constant, fit_dcpt, runs_of, score
from tests.unit.model.experiments.tiny import finished_row, write_row

SHARES = (0.05, 0.10, 0.25, 0.50)


def constant_runs(c: float = 0.03) -> list[Seen]:
    return [Seen(share=share, tokens=800_000, rate=1e-3, forgetting_nats=c / (share + 0.05)) for share in SHARES]


def power_runs() -> list[Seen]:
    """F = .02 T^.5 (r / 1e-3)^.7 / (s + .1)^1.5, T in millions."""
    return [
        Seen(
            share=share, tokens=tokens, rate=rate,
            forgetting_nats=0.02 * math.sqrt(tokens / 1e6) * (rate / 1e-3) ** 0.7 / (share + 0.1) ** 1.5,
        )
        for share in SHARES for tokens in (400_000, 800_000) for rate in (1e-3, 2e-3)
    ]  # fmt: skip


def test_the_constant_is_found_again() -> None:
    law = fit_constant(constant_runs())
    unseen = Seen(share=0.35, tokens=800_000, rate=1e-3, forgetting_nats=0.0)
    assert law(unseen) == pytest.approx(0.03 / 0.40)
    assert law(Seen(share=0.35, tokens=100, rate=1e-3, forgetting_nats=0.0)) is None


def test_the_power_law_is_found_again() -> None:
    law = fit_dcpt(power_runs())
    for tokens, rate in ((800_000, 1e-3), (600_000, 1.5e-3)):
        unseen = Seen(share=0.15, tokens=tokens, rate=rate, forgetting_nats=0.0)
        by_hand = 0.02 * math.sqrt(tokens / 1e6) * (rate / 1e-3) ** 0.7 / 0.25**1.5
        assert law(unseen) == pytest.approx(by_hand, rel=0.03)


def test_each_law_predicts_its_own_runs_better() -> None:
    assert max(one.error_nats for one in score(constant_runs(), fit_constant)) < 1e-12
    by_dcpt, by_constant = score(power_runs(), fit_dcpt), score(power_runs(), fit_constant)
    assert max(one.factor for one in by_dcpt) < 1.1
    assert max(one.factor for one in by_constant) > 1.3
    assert "the D-CPT-like law predicts better" in compare(power_runs())


def test_too_few_runs_are_not_fitted() -> None:
    assert compare(constant_runs()).startswith("too few finished runs of fixed mixes: 4")


def test_only_plain_fixed_mixes_count(tmp_path: Path) -> None:
    plain = Arm(domain="gsm8k", seed=0, general_share=0.1, steps=100)
    others = [
        Arm(domain="gsm8k", seed=0, penalty="ewc", strength=0.1),
        Arm(domain="gsm8k", seed=0, gate=GateRules(controller="LADDER")),
        Arm(domain="gsm8k", seed=0, general_share=1.0),
        Arm(domain="gsm8k", seed=0, late_share=0.5),
        Arm(domain="scitldr", seed=0),
    ]
    for arm in (plain, *others):
        write_row(tmp_path, finished_row(arm, target=2.0, forgotten=0.2))
    assert runs_of(tmp_path, "gsm8k") == [Seen(share=0.1, tokens=100 * 16 * 256, rate=1e-3, forgetting_nats=0.2)]
