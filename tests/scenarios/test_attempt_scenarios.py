"""Attempts, fences, jobs and people as tables; and every event twice, as after a lost reply."""

import pytest

from tests.scenarios.play import Player, play, run, training


def test_a_restarted_group_goes_on_at_the_last_checkpoint_and_the_old_attempt_is_fenced_off() -> None:
    play("""
        checkpoint 10          => evaluate 10
        score 10 general=0.0   => CONTINUE
        checkpoint 20          => evaluate 20
        ask 1 b                => attempt 2 from 20 general=0.1 lr=1
        progress@1.1 25        => ! STALE_ATTEMPT
        checkpoint@1.1 30      => ! STALE_ATTEMPT
        end@1.1                => ! STALE_ATTEMPT
        score 20 general=0.12  => ADJUST general=0.2 lr=1
        directive 20           => ADJUST general=0.2 lr=1
        ask 1 c                => attempt 3 from 20 general=0.2 lr=1
        checkpoint 30          => evaluate 30
    """)


def test_a_request_that_is_repeated_gets_the_same_attempt_and_a_late_copy_of_an_old_one_is_refused() -> None:
    play("""
        ask 1 a   => attempt 1 from start general=0.1 lr=1
        ask 1 b   => attempt 2 from start general=0.1 lr=1
        ask 1 b   => attempt 2 from start general=0.1 lr=1
        ask 1 a   => ! STALE_REQUEST
        ask 0 c   => ! STALE_SUBMISSION
        ask 2 c   => ! STALE_SUBMISSION
    """)


def test_a_checkpoint_is_registered_once_and_only_where_it_belongs() -> None:
    play("""
        checkpoint 10          => evaluate 10
        checkpoint 10          => -
        checkpoint 10 sha=1    => ! ALREADY_EXISTS
        checkpoint 30          => ! INVALID_INPUT
        checkpoint 25          => ! INVALID_INPUT
        checkpoint 20          => evaluate 20
    """)


def test_a_hang_or_a_lost_job_leads_to_the_next_group() -> None:
    play("""
        checkpoint 10      => evaluate 10
        hung 1             => stop 1; submit 2
        hung 1             => -
        progress@1.1 15    => ! STALE_SUBMISSION
        job-ended 1        => -
        ask 2 b            => attempt 2 from 10 general=0.1 lr=1
        job-ended 2        => submit 3
        job-ended 2        => -
        ask 3 c            => attempt 3 from 10 general=0.1 lr=1
        job-ended 3        => run FAILED JOB_KEEPS_FAILING; stage FAILED
        retry              => evaluate 10; run PENDING; stage READY
        admit              => submit 4; run RUNNING
        ask 4 d            => stage RUNNING; attempt 4 from 10 general=0.1 lr=1
    """)


def test_a_new_checkpoint_forgives_earlier_restarts() -> None:
    play("""
        job-ended 1        => submit 2
        ask 2 b            => attempt 2 from start general=0.1 lr=1
        job-ended 2        => submit 3
        ask 3 c            => attempt 3 from start general=0.1 lr=1
        checkpoint 10      => evaluate 10
        job-ended 3        => submit 4
    """)


def test_a_crash_while_a_rollback_waits_begins_the_new_line() -> None:
    play("""
        checkpoint 10            => evaluate 10
        score 10 general=0.7     => ROLL_BACK to start general=0.2 lr=1; prune 10
        job-ended 1              => submit 2
        ask 2 b                  => attempt 2 from start general=0.2 lr=1
    """)


def test_an_answer_about_a_voided_checkpoint_changes_nothing() -> None:
    play(
        """
        checkpoint 10            => evaluate 10
        checkpoint 20            => evaluate 20
        score 10 general=0.7     => ROLL_BACK to start general=0.2 lr=1; prune 10; prune 20
        score 20 general=0.0     => -
        score 10 general=0.0     => -
    """,
        header="lag=1",
    )


def test_an_evaluation_that_fails_is_asked_again_and_never_taken_for_good() -> None:
    play("""
        checkpoint 10   => evaluate 10
        unmeasured 10   => evaluate 10
        unmeasured 10   => evaluate 10
        unmeasured 10   => stop 1; run FAILED EVALUATION_FAILED; stage FAILED
    """)


def test_bad_data_ends_the_run_with_its_reason() -> None:
    player = Player(state=run())
    play(
        """
        admit                        => submit 1; run RUNNING
        job-submitted 1              => -
        ask 1 p                      => prepare 1
        ask 1 p                      => prepare 1
        ask 1 q                      => prepare 2
        prepare-failed SOURCE_EMPTY  => stop 1; run FAILED SOURCE_EMPTY
        ask 1 r                      => release
        job-ended 1                  => -
    """,
        player=player,
    )


def test_cancel_ends_the_group_at_once() -> None:
    play("""
        cancel          => stop 1; run CANCELLED CANCELLED; stage FAILED
        cancel          => -
        ask 1 b         => release
        checkpoint 10   => ! FAILED_PRECONDITION
        approve ACCEPT  => ! INVALID_TRANSITION
    """)


def test_a_stage_is_not_ended_before_it_is_accepted() -> None:
    play("""
        end                 => ! STAGE_NOT_ACCEPTED
        fail DATA_CORRUPT   => stop 1; run FAILED DATA_CORRUPT; stage FAILED
    """)


LONG = """
    checkpoint 10
    score 10 general=0.0
    checkpoint 20
    score 20 general=0.12
    checkpoint 30
    score 30 general=0.25
    ask 1 b
    checkpoint 20
    score 20 general=0.04
    hung 1
    job-submitted 2
    job-ended 1
    ask 2 c
    checkpoint 30
    score 30 general=0.05
"""


@pytest.mark.parametrize("header", ["", "lag=1"])
def test_every_event_may_come_twice(header: str) -> None:
    """As after a reply that was lost: the second copy changes nothing, and the end is the same."""
    once, twice = training(header), training(header)
    for line in filter(None, map(str.strip, LONG.splitlines())):
        once.play(line)
        twice.play(line)
        after = twice.state
        twice.now_s -= 1.0
        again = twice.play(line)
        assert twice.state == after, f"{line} came twice and changed something: {again}"
    assert once.state == twice.state
