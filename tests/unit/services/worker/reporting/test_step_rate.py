"""Rates over the steps' own time, with hand-computed cases."""

import pytest

from services.worker.reporting.step_rate import StepRate


def test_a_long_step_has_its_own_rate_not_that_of_the_report_interval():
    """512 tokens in 18 s are 28.4 a second, whenever it is asked."""
    rate = StepRate()
    rate.training(100.0)
    assert rate.tokens_per_second(101.0) == 0.0
    rate.step(512, 118.0)
    for now_s in (118.0, 120.0, 135.0, 150.0):
        assert rate.tokens_per_second(now_s) == pytest.approx(512 / 18)


def test_waiting_at_a_boundary_belongs_to_no_step():
    rate = StepRate()
    rate.training(0.0)
    rate.step(100, 1.0)
    rate.paused()
    assert rate.tokens_per_second(40.0) == 0.0, "no rate while a verdict is waited for"
    rate.training(91.0)
    rate.step(100, 92.0)
    assert rate.tokens_per_second(92.0) == pytest.approx(100.0)


def test_short_steps_are_averaged_over_ten_seconds_and_old_ones_are_left_out():
    rate = StepRate()
    rate.training(0.0)
    for number in range(1, 21):
        rate.step(10, float(number))  # 10 a second for 20 s
    for number in range(1, 11):
        rate.step(30, 20.0 + number)  # then 30 a second
    assert rate.tokens_per_second(30.0) == pytest.approx(30.0)


def test_what_does_not_move_has_no_rate():
    rate = StepRate()
    rate.training(0.0)
    rate.step(100, 5.0)
    assert rate.tokens_per_second(19.0) == pytest.approx(20.0), "three steps' time is still a step"
    assert rate.tokens_per_second(20.1) == 0.0


def test_steps_that_end_before_training_was_said_to_begin_only_set_the_clock():
    rate = StepRate()
    rate.step(100, 5.0)
    assert rate.tokens_per_second(5.0) == 0.0
    rate.step(100, 7.0)
    assert rate.tokens_per_second(7.0) == pytest.approx(50.0)


def test_the_own_time_of_all_steps_is_summed_without_what_lies_between():
    rate = StepRate()
    rate.training(0.0)
    rate.step(100, 2.0)
    rate.step(100, 5.0)
    rate.paused()
    rate.training(90.0)
    rate.step(100, 94.0)
    assert rate.train_s == pytest.approx(2.0 + 3.0 + 4.0)
