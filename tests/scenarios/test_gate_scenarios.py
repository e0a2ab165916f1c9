"""The forgetting gate as tables: scores come in, decisions go out. Thresholds 5 / 10 / 20 % unless a header says so."""

from tests.scenarios.play import Player, play, run, training


def test_below_action_the_stage_goes_on_and_its_last_checkpoint_is_accepted() -> None:
    play("""
        checkpoint 10            => evaluate 10
        directive 10             => pending
        score 10 general=0.30    => CONTINUE
        directive 10             => CONTINUE general=0.1 lr=1
        checkpoint 20            => evaluate 20
        score 20 general=0.0999  => CONTINUE
    """)


def test_thresholds_are_inclusive() -> None:
    """Exactly 10 % acts, exactly 20 % goes back; a hair below does not."""
    play("""
        checkpoint 10             => evaluate 10
        score 10 general=0.0      => CONTINUE
        checkpoint 20             => evaluate 20
        score 20 general=0.10     => ADJUST general=0.2 lr=1
        directive 20              => ADJUST general=0.2 lr=1
        checkpoint 30             => evaluate 30
        score 30 general=0.19999  => ADJUST general=0.3 lr=1
        checkpoint 40             => evaluate 40
        score 40 general=0.20     => ROLL_BACK to 10 general=0.5 lr=1; prune 20; prune 30; prune 40
    """)


def test_the_ladder_takes_every_rung_and_then_halves_the_learning_rate() -> None:
    play("""
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.12   => ADJUST general=0.2 lr=1
        checkpoint 30           => evaluate 30
        score 30 general=0.12   => ADJUST general=0.3 lr=1
        checkpoint 40           => evaluate 40
        score 40 general=0.12   => ADJUST general=0.5 lr=1
        checkpoint 50           => evaluate 50; prune 20
        score 50 general=0.12   => ADJUST general=0.5 lr=0.5
        checkpoint 60           => evaluate 60; prune 30
        score 60 general=0.12   => ADJUST general=0.5 lr=0.25
    """)


def test_before_settling_only_three_times_stop_acts() -> None:
    play("""
        checkpoint 10           => evaluate 10
        score 10 general=0.599  => CONTINUE
    """)
    play("""
        checkpoint 10           => evaluate 10
        score 10 general=0.60   => ROLL_BACK to start general=0.2 lr=1; prune 10
        directive 10            => ROLL_BACK general=0.2 lr=1
        ask 1 b                 => attempt 2 from start general=0.2 lr=1
        directive@1.1 10        => ! STALE_ATTEMPT
        checkpoint@1.1 20       => ! STALE_ATTEMPT
        checkpoint 10           => evaluate 10
        score 10 general=0.02   => CONTINUE
    """)


def test_nan_and_infinity_are_a_stop_at_any_time() -> None:
    """Nothing to keep helps against a loss that is no number: the learning rate is halved."""
    play("""
        checkpoint 10           => evaluate 10
        score 10 general=nan    => ROLL_BACK to start general=0.1 lr=0.5; prune 10
        ask 1 b                 => attempt 2 from start general=0.1 lr=0.5
        checkpoint 10           => evaluate 10
        score 10 general=inf    => ROLL_BACK to start general=0.1 lr=0.25; prune 10
    """)
    play("""
        checkpoint 10 loss=nan  => evaluate 10
        score 10 general=0.01   => ROLL_BACK to start general=0.1 lr=0.5; prune 10
    """)
    play("""
        checkpoint 10                      => evaluate 10
        score 10 general=0.01 target=nan   => ROLL_BACK to start general=0.1 lr=0.5; prune 10
    """)


def test_a_missing_score_is_a_stop() -> None:
    play("""
        checkpoint 10   => evaluate 10
        score 10        => ROLL_BACK to start general=0.1 lr=0.5; prune 10
    """)


def test_training_that_comes_to_nan_goes_back_like_a_stop() -> None:
    play("""
        checkpoint 10           => evaluate 10
        score 10 general=0.01   => CONTINUE
        fail NON_FINITE_LOSS    => ROLL_BACK to 10 general=0.1 lr=0.5
        ask 1 b                 => attempt 2 from 10 general=0.1 lr=0.5
    """)


def test_a_stage_that_ends_at_or_over_action_goes_back() -> None:
    player = training()
    for at in range(10, 100, 10):
        player.play(f"checkpoint {at}")
        player.play(f"score {at} general=0.06")
    play(
        """
        checkpoint 100                       => evaluate 100; prune 70
        score 100 general=0.10 report=0.05   => ROLL_BACK to 90 general=0.2 lr=1; prune 100
        ask 1 b                              => attempt 2 from 90 general=0.2 lr=1
        checkpoint 100                       => evaluate 100; prune 70
        score 100 general=0.07 report=0.08   => ACCEPT; stop 1; run SUCCEEDED; stage COMPLETE
        directive 100                        => ACCEPT general=0.2 lr=1
        end                                  => -
        end                                  => -
        ask 1 c                              => release
    """,
        player=player,
    )


def test_the_budget_is_a_promise_on_the_report_set() -> None:
    player = training("budget=0.08")
    for at in range(10, 100, 10):
        player.play(f"checkpoint {at}")
        player.play(f"score {at} general=0.04")
    play(
        """
        checkpoint 100                       => evaluate 100; prune 70
        score 100 general=0.05 report=0.08   => ROLL_BACK to 90 general=0.2 lr=1; prune 100
    """,
        player=player,
    )


def test_after_the_retries_the_run_is_suspended_and_its_workers_are_freed() -> None:
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=0.01    => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.25    => STOP; stop 1; run SUSPENDED RETRIES_USED_UP; stage SUSPENDED
        directive 20             => STOP general=0.2 lr=1
        ask 1 b                  => release
        approve CONTINUE         => ROLL_BACK general=0.2 lr=1; prune 20; run PENDING; stage READY
        admit                    => submit 2; run RUNNING
        ask 1 c                  => ! STALE_SUBMISSION
        ask 2 d                  => stage RUNNING; attempt 2 from 10 general=0.2 lr=1
    """,
        header="max_retries=0",
    )


def test_a_person_may_accept_a_suspended_checkpoint_but_not_one_that_is_no_number() -> None:
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=0.7     => STOP; stop 1; run SUSPENDED RETRIES_USED_UP; stage SUSPENDED
        approve ACCEPT           => ACCEPT; run SUCCEEDED; stage COMPLETE
        approve ACCEPT           => ! INVALID_TRANSITION
    """,
        header="max_retries=0",
    )
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=nan     => STOP; stop 1; run SUSPENDED RETRIES_USED_UP; stage SUSPENDED
        approve ACCEPT           => ! NOT_FINITE
        cancel                   => run CANCELLED CANCELLED; stage FAILED
    """,
        header="max_retries=0",
    )


def test_noise_is_watched_as_often_as_the_policy_asks() -> None:
    """confirm=1: an interval that spans the threshold is watched once; one wholly above acts at once."""
    play(
        """
        checkpoint 10                     => evaluate 10
        score 10 general=0.0              => CONTINUE
        checkpoint 20                     => evaluate 20
        score 20 general=0.11 low=0.09    => CONTINUE
        checkpoint 30                     => evaluate 30
        score 30 general=0.11 low=0.09    => ADJUST general=0.2 lr=1
        checkpoint 40                     => evaluate 40
        score 40 general=0.13 low=0.11    => ADJUST general=0.3 lr=1
        checkpoint 50                     => evaluate 50; prune 20
        score 50 general=0.14             => ADJUST general=0.5 lr=1
    """,
        header="confirm=1",
    )


def test_with_mitigation_off_it_is_only_measured() -> None:
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=0.9     => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.9     => CONTINUE
    """,
        header="mitigate=0",
    )


def test_lag_one_hears_the_verdict_a_boundary_later_and_does_not_climb_twice_for_one_mix() -> None:
    """The verdict on 20 is heard at 30; the checkpoint at 30 was trained with the old mix, so it cannot climb again."""
    play(
        """
        directive 10             => CONTINUE general=0.1 lr=1
        checkpoint 10            => evaluate 10
        checkpoint 20            => evaluate 20
        directive 20             => pending
        score 10 general=0.0     => CONTINUE
        directive 20             => CONTINUE general=0.1 lr=1
        checkpoint 30            => evaluate 30
        score 20 general=0.12    => ADJUST general=0.2 lr=1
        directive 20             => CONTINUE general=0.1 lr=1
        directive 30             => ADJUST general=0.2 lr=1
        score 30 general=0.13    => CONTINUE
        directive 40             => CONTINUE general=0.2 lr=1
        checkpoint 40            => evaluate 40
        score 40 general=0.13    => ADJUST general=0.3 lr=1
    """,
        header="lag=1",
    )


def test_lag_one_rolls_back_past_what_was_trained_meanwhile() -> None:
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=0.0     => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.22    => ROLL_BACK to 10 general=0.2 lr=1; prune 20
        checkpoint 30            => prune 30
        directive 30             => ROLL_BACK general=0.2 lr=1
        ask 1 b                  => attempt 2 from 10 general=0.2 lr=1
        directive 10             => CONTINUE general=0.2 lr=1
        directive 20             => CONTINUE general=0.2 lr=1
        checkpoint 20            => evaluate 20
    """,
        header="lag=1",
    )


def test_verdicts_that_arrive_out_of_order_are_decided_in_order() -> None:
    play(
        """
        checkpoint 10            => evaluate 10
        checkpoint 20            => evaluate 20
        score 20 general=0.12    => -
        score 10 general=0.0     => CONTINUE; ADJUST general=0.2 lr=1
    """,
        header="lag=1",
    )


def test_a_run_is_pending_before_it_is_admitted() -> None:
    play(
        """
        ask 0 x                  => release
        admit                    => submit 1; run RUNNING
        admit                    => -
    """,
        player=Player(state=run()),
    )
