"""Forgetting is signed, unclamped, inclusive at its thresholds, and fails closed. Figures are hand-computed."""

import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from model.errors import BadConfig, BadSource
from model.evaluation.detector import (
    Doubt,
    ForgettingDetector,
    ForgettingMetrics,
    Severity,
    Thresholds,
    bootstrap_interval,
    forgetting_nats,
    forgetting_ratio,
    perplexity,
)


def metrics(general: float, *, epoch: int = 0, domain: float = 22.0) -> ForgettingMetrics:
    return ForgettingMetrics(epoch=epoch, train_loss=2.0, domain_perplexity=domain, general_perplexity=general)


def detector_with(*perplexities: float) -> ForgettingDetector:
    detector = ForgettingDetector(baseline_general_perplexity=25.0)
    for epoch, general in enumerate(perplexities):
        detector.record(metrics(general, epoch=epoch, domain=22.0 - 0.5 * epoch))
    return detector


def test_the_worked_example_baseline_25():
    detector = detector_with(25.2, 25.8, 26.5, 27.5)
    assert [detector.score(row) for row in detector.history] == pytest.approx([0.008, 0.032, 0.06, 0.10], abs=1e-12)
    severities = [detector.thresholds.severity(detector.score(row)) for row in detector.history]
    assert severities == [Severity.OK, Severity.OK, Severity.MINOR, Severity.ACTION]
    assert detector.is_forgetting(threshold=0.10)  # inclusive: exactly ten per cent alerts


def test_the_summary_has_the_table_and_the_recommendations():
    out = io.StringIO()
    detector_with(25.2, 25.8, 26.5, 27.5).print_summary(out)
    assert out.getvalue().splitlines()[:11] == [
        "Catastrophic Forgetting Detection Summary",
        "═" * 60,
        "Baseline General Perplexity: 25.0",
        "Total Epochs: 4",
        "",
        "Epoch  Domain PPL  General PPL  Forgetting    Status",
        "─" * 60,
        "    0        22.0         25.2        0.01      ✓ OK",
        "    1        21.5         25.8        0.03      ✓ OK",
        "    2        21.0         26.5        0.06   ⚠ Minor",
        "    3        20.5         27.5        0.10  ⚠ Action",
    ]
    assert "10% → 20%" in out.getvalue()
    assert "1e-5 → 5e-6" in out.getvalue()


def test_ratio_and_nats_are_signed_and_unclamped():
    assert forgetting_ratio(20.0, 25.0) == pytest.approx(-0.2)
    assert forgetting_ratio(100.0, 25.0) == pytest.approx(3.0)
    assert forgetting_ratio(25.0, 25.0) == 0.0
    assert forgetting_nats(25.0, 25.0) == 0.0
    # 5 / 10 / 20 % are ln 1.05, ln 1.10, ln 1.20
    assert [forgetting_nats(r, 1.0) for r in (1.05, 1.10, 1.20)] == pytest.approx([0.0488, 0.0953, 0.1823], abs=5e-5)


@pytest.mark.parametrize(
    ("ratio", "severity"),
    [
        (-0.5, Severity.OK),
        (0.0499999, Severity.OK),
        (0.05, Severity.MINOR),
        (0.0999999, Severity.MINOR),
        (0.10, Severity.ACTION),
        (0.1999999, Severity.ACTION),
        (0.20, Severity.STOP),
        (5.0, Severity.STOP),
        (math.nan, Severity.STOP),
        (math.inf, Severity.STOP),
        (-math.inf, Severity.STOP),
    ],
)
def test_severity_is_inclusive_and_fails_closed(ratio: float, severity: Severity):
    assert Thresholds().severity(ratio) is severity


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_broken_model_is_forgetting_at_every_threshold(broken: float):
    detector = detector_with(25.0, broken)
    assert detector.is_forgetting(threshold=1000.0)
    assert detector.severity() is Severity.STOP
    assert any("restore" in text for text in detector.get_recommendations())
    assert not math.isfinite(forgetting_nats(broken, 25.0))


@pytest.mark.parametrize("baseline", [None, 0.0, -1.0, math.nan, math.inf])
def test_there_is_no_default_baseline(baseline: float | None):
    with pytest.raises(BadConfig, match="measured on the same frozen set"):
        ForgettingDetector(baseline_general_perplexity=baseline)
    with pytest.raises(TypeError):
        ForgettingDetector()


def test_without_an_evaluation_nothing_is_claimed():
    with pytest.raises(BadConfig, match="record one"):
        ForgettingDetector(baseline_general_perplexity=25.0).is_forgetting()
    with pytest.raises(BadConfig):
        detector_with(25.0).is_forgetting(threshold=math.nan)


def test_recommendations_follow_severity_and_name_the_learning_rate():
    assert "CONTINUE" in " ".join(detector_with(25.0).get_recommendations())
    assert "WATCH" in " ".join(detector_with(26.5).get_recommendations())
    assert "learning rate by 50%" in " ".join(detector_with(28.0).get_recommendations())
    stop = " ".join(detector_with(31.0).get_recommendations())
    assert "restore the last good checkpoint" in stop
    assert "20-30%" in stop


def test_history_is_valid_json_and_reloads_even_with_nan(tmp_path):
    path = tmp_path / "history.json"
    before = detector_with(25.2, math.nan, math.inf)
    before.save(path)
    document = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
    assert document["history"][1]["severity"] == "stop"
    after = ForgettingDetector.load(path)
    assert after.baseline_general_perplexity == 25.0
    assert after.history[0] == before.history[0]
    assert math.isnan(after.history[1].general_perplexity)
    assert math.isinf(after.history[2].general_perplexity)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "history.json"
    path.write_text('{"history": []}')
    with pytest.raises(BadSource, match="baseline_general_perplexity"):
        ForgettingDetector.load(path)


def test_thresholds_must_rise():
    with pytest.raises(BadConfig, match=r"minor 0\.3"):
        Thresholds(minor=0.3, action=0.1)
    with pytest.raises(BadConfig):
        Thresholds(stop=math.nan)


def test_perplexity_divides_once_and_refuses_no_tokens():
    assert perplexity(math.log(8.0) * 3, 3) == pytest.approx(8.0)
    assert perplexity(1e9, 10) == math.inf
    with pytest.raises(BadConfig):
        perplexity(1.0, 0)


class TestInterval:
    rng = np.random.default_rng(7)
    tokens_U = rng.integers(50, 400, size=160)  # noqa: N815
    baseline_U = tokens_U * rng.normal(1.52, 0.3, size=160)  # noqa: N815

    def test_an_untouched_model_scores_exactly_zero(self):
        interval = bootstrap_interval(self.baseline_U, self.baseline_U, self.tokens_U)
        assert (interval.low, interval.high) == (0.0, 0.0)

    def test_a_uniform_shift_has_no_spread(self):
        """Every token 0.1 nats worse: each resample gives exp(.1) - 1, however hard the documents are."""
        interval = bootstrap_interval(self.baseline_U + 0.1 * self.tokens_U, self.baseline_U, self.tokens_U)
        assert (interval.low, interval.high) == pytest.approx((math.expm1(0.1),) * 2, abs=1e-12)
        assert math.log1p(interval.low) == pytest.approx(0.1)

    def test_width_matches_the_normal_theory_of_equal_units(self):
        """Units of equal length: the mean of U differences has standard error sd / sqrt(U); +-1.96 of it is 95 %."""
        tokens_U = np.full(400, 100)
        delta_U = self.rng.normal(0.05, 0.055, size=400)
        interval = bootstrap_interval(100 * delta_U, np.zeros(400), tokens_U, resamples=20_000)
        half = 1.96 * delta_U.std() / math.sqrt(400)
        assert math.log1p(interval.low) == pytest.approx(delta_U.mean() - half, abs=0.05 * half)
        assert math.log1p(interval.high) == pytest.approx(delta_U.mean() + half, abs=0.05 * half)

    def test_the_interval_covers_the_truth_about_95_times_in_100(self):
        hits = 0
        for trial in range(300):
            rng = np.random.default_rng(trial)
            tokens_U = rng.integers(20, 200, size=120)
            delta_U = tokens_U * rng.normal(0.08, 0.1, size=120)
            interval = bootstrap_interval(delta_U, np.zeros(120), tokens_U, resamples=400, seed=trial)
            hits += math.log1p(interval.low) <= 0.08 <= math.log1p(interval.high)
        assert 0.90 <= hits / 300 <= 0.99

    def test_it_is_a_ratio_of_sums_not_a_mean_of_means(self):
        """One long document carries the score: (1000 x .2 + 59 x 10 x 0) / 1590 tokens."""
        tokens_U = np.array([1000] + [10] * 59)
        delta_U = np.array([200.0] + [0.0] * 59)
        interval = bootstrap_interval(delta_U, np.zeros(60), tokens_U)
        assert math.log1p(interval.low) < 200 / 1590 < math.log1p(interval.high)
        assert math.log1p(interval.high) > 0.15  # a mean of means would be at most a handful of .2 / 60

    def test_the_same_data_give_the_same_interval_also_in_slices(self, monkeypatch):
        now_U = self.baseline_U * 1.03
        first = bootstrap_interval(now_U, self.baseline_U, self.tokens_U)
        assert first == bootstrap_interval(now_U, self.baseline_U, self.tokens_U)
        monkeypatch.setattr("model.evaluation.forgetting_score._CHUNK_CELLS", 16_000)
        assert first == bootstrap_interval(now_U, self.baseline_U, self.tokens_U)

    def test_under_50_units_there_is_none(self):
        assert bootstrap_interval(self.baseline_U[:49], self.baseline_U[:49], self.tokens_U[:49]) is None
        assert bootstrap_interval(self.baseline_U[:50], self.baseline_U[:50], self.tokens_U[:50]) is not None

    def test_a_unit_that_is_not_finite_has_no_interval(self):
        now_U = self.baseline_U.copy()
        now_U[3] = math.nan
        assert bootstrap_interval(now_U, self.baseline_U, self.tokens_U) is None

    def test_units_of_different_sets_are_refused(self):
        with pytest.raises(BadConfig, match="same frozen set"):
            bootstrap_interval(self.baseline_U, self.baseline_U[:-1], self.tokens_U)


def test_the_demonstration_shows_forgetting_and_that_replay_helps():
    out = subprocess.run(
        [sys.executable, "-m", "model.cli.forgetting"], capture_output=True, text=True, check=True
    ).stdout
    ends = [float(line.split()[4].rstrip(",")) for line in out.splitlines() if line.startswith("Forgetting at the end")]
    assert len(ends) == 3
    assert ends[0] > ends[1] > ends[2]
    assert ends[0] >= 0.10


@pytest.mark.parametrize(
    ("ratio", "doubt"),
    [
        (-0.4999, Doubt.NONE),
        (-0.5, Doubt.NONE),
        (-0.5001, Doubt.SUSPICIOUS),
        (-0.999, Doubt.SUSPICIOUS),
        (-1.0, Doubt.SUSPICIOUS),
        (-1.0001, Doubt.IMPOSSIBLE),
        (-3.3, Doubt.IMPOSSIBLE),
        (0.3, Doubt.NONE),
        (math.nan, Doubt.NONE),  # these are a stop already
        (-math.inf, Doubt.NONE),
    ],
)
def test_a_score_below_the_floor_is_in_doubt_and_below_minus_one_impossible(ratio: float, doubt: Doubt):
    assert Thresholds().doubt(ratio) is doubt


def test_a_damaged_baseline_and_a_healed_model_are_never_praised():
    """Baseline 25,000 (a broken measurement), then 25: (25 - 25000) / 25000 = -0.999."""
    detector = ForgettingDetector(baseline_general_perplexity=25_000.0)
    detector.record(metrics(25.0))
    assert detector.doubt() is Doubt.SUSPICIOUS
    out = io.StringIO()
    detector.print_summary(out)
    assert "OK" not in out.getvalue()
    assert "No significant forgetting" not in out.getvalue()
    assert "? Suspect" in out.getvalue()
    assert "Suspicious score (-0.999, below -50%)" in out.getvalue()
    assert "baseline again" in out.getvalue()


def test_a_score_below_minus_one_is_called_impossible_whatever_the_floor():
    detector = ForgettingDetector(baseline_general_perplexity=10.0, thresholds=Thresholds(suspicious_below=-1.0))
    detector.record(metrics(-23.0))
    told = " ".join(detector.get_recommendations())
    assert "Impossible score (-3.3): a perplexity cannot fall by more than 100%" in told
    assert "✓" not in told


def test_a_large_fall_of_replayed_text_is_told_as_learning_it(tmp_path):
    detector = ForgettingDetector(baseline_general_perplexity=100.0, replayed=True)
    detector.record(metrics(40.0))
    told = " ".join(detector.get_recommendations())
    assert "(-0.6, below -50%): that text is replayed, so that text is being learned" in told
    assert "No significant forgetting" not in told
    detector.save(tmp_path / "history.json")
    assert json.loads((tmp_path / "history.json").read_text())["history"][0]["doubt"] == "suspicious"
    assert ForgettingDetector.load(tmp_path / "history.json").get_recommendations() == detector.get_recommendations()


@pytest.mark.parametrize("floor", [0.0, 0.5, -1.5, math.nan, -math.inf])
def test_a_floor_that_is_none_is_refused(floor: float):
    with pytest.raises(BadConfig, match="suspicious_below"):
        Thresholds(suspicious_below=floor)
