"""The ladder waits while a score falls fast enough by itself, and a rollback goes back far enough to work.

By hand: the stage's schedule is linear to zero, so the area under the rate from p on goes with (1 - p)^2, and what is
still to come is the last interval's fall times (1 - p2)^2 / ((1 - p1)^2 - (1 - p2)^2): 3.267 at 30 %, 2.769 at 40 %,
2.273 at 50 %, 1.778 at 60 % with a boundary every tenth.
"""

import math

import pytest

from model.schedules import Schedule
from model.schedules import ScheduleKind as ModelKind
from services.orchestrator.domain.actions import RecordDecision
from services.orchestrator.domain.projection import rate_left
from services.orchestrator.domain.spec import ScheduleKind, ScheduleSpec
from services.orchestrator.domain.step import step
from tests.scenarios.play import play, training


def test_a_score_that_falls_below_action_by_the_end_does_not_climb() -> None:
    """At 30 %: .1621 - .0200 x 3.267 = .0967 nats, 10.1 %: climbs. At 40 %: .1235 - .0386 x 2.769 = .0167, 1.7 %. At
    50 %: .1107 - .0128 x 2.273 = .0817, 8.5 %. At 60 % the fall has slowed: .1080 - .0027 x 1.778 = .1033, 10.9 %."""
    play("""
        checkpoint 10            => evaluate 10
        score 10 general=0.0     => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.1998  => ADJUST general=0.2 lr=1
        checkpoint 30            => evaluate 30
        score 30 general=0.1760  => ADJUST general=0.3 lr=1
        checkpoint 40            => evaluate 40
        score 40 general=0.1315  => CONTINUE
        directive 40             => CONTINUE general=0.3 lr=1
        checkpoint 50            => evaluate 50; prune 20
        score 50 general=0.1171  => CONTINUE
        checkpoint 60            => evaluate 60; prune 30
        score 60 general=0.1141  => ADJUST general=0.5 lr=1
    """)


def test_the_decision_shows_the_raw_score_the_projection_and_its_severity() -> None:
    player = play("""
        checkpoint 10            => evaluate 10
        score 10 general=0.0     => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.16    => ADJUST general=0.2 lr=1
        checkpoint 30            => evaluate 30
    """)
    _, actions = step(player.state, player._event(["score", "30", "general=0.13"]))
    decision = next(action.decision for action in actions if isinstance(action, RecordDecision))
    by_hand = math.log(1.13) - (math.log(1.16) - math.log(1.13)) * 0.49 / 0.15
    assert decision.projected == pytest.approx(math.expm1(by_hand), rel=1e-9)
    assert (decision.forgetting, decision.severity) == (0.13, "ACTION"), "alerts use the raw score"
    assert "+13.00% (projected to the end +3.73%): at or over action now, below it at the end" in decision.message


def test_one_boundary_under_a_rung_or_a_rise_says_nothing() -> None:
    play("""
        checkpoint 10            => evaluate 10
        score 10 general=0.30    => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.15    => ADJUST general=0.2 lr=1
        checkpoint 30            => evaluate 30
        score 30 general=0.16    => ADJUST general=0.3 lr=1
    """)


def test_a_fall_does_not_save_from_stop() -> None:
    play(
        """
        checkpoint 10                    => evaluate 10
        score 10 general=0.0             => CONTINUE
        checkpoint 20                    => evaluate 20
        score 20 general=0.25 low=0.19   => ADJUST general=0.2 lr=1
        checkpoint 30                    => evaluate 30
        score 30 general=0.20 low=0.20   => ROLL_BACK to 10 general=0.3 lr=1; prune 20; prune 30
    """,
        header="confirm=1",
    )


def test_under_lag_one_a_rung_begins_where_it_is_heard() -> None:
    """The fall from 20 to 30 was under the old mix; from 30 to 40, .1570 - .0392 x 2.769 = .0483 - below action."""
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=0.0     => CONTINUE
        checkpoint 20            => evaluate 20
        checkpoint 30            => evaluate 30
        score 20 general=0.18    => ADJUST general=0.2 lr=1
        score 30 general=0.17    => CONTINUE
        checkpoint 40            => evaluate 40
        score 40 general=0.125   => CONTINUE
        checkpoint 50            => evaluate 50; prune 20
        score 50 general=0.124   => ADJUST general=0.3 lr=1
    """,
        header="lag=1",
    )


@pytest.mark.parametrize("kind", list(ModelKind))
@pytest.mark.parametrize("progress", [0.0, 0.03, 0.4, 0.9])
def test_the_area_is_that_of_the_schedule_that_trains(kind: ModelKind, progress: float) -> None:
    trained = Schedule(kind=kind, total_steps=4000, warmup=0.05, floor=0.1, decay=0.2)
    by_steps = math.fsum(trained.factor(s) for s in range(round(4000 * progress), 4000)) / 4000
    here = rate_left(ScheduleSpec(kind=ScheduleKind(kind.value), warmup=0.05, floor=0.1, decay=0.2), progress)
    assert here == pytest.approx(by_steps, rel=2e-3)


def test_a_stage_that_hovers_under_action_goes_back_further_each_time() -> None:
    """9.9 % all along and 10 % at the end: first to the newest good checkpoint, as always; one that was gone back to is
    no target again, the next one lies at most half as far into the stage."""
    player = training("max_retries=4")
    for at in range(10, 100, 10):
        player.play(f"checkpoint {at}")
        player.play(f"score {at} general=0.099 target={1.0 + abs(at - 40) / 100}")
    play(
        """
        checkpoint 100                      => evaluate 100; prune 70
        score 100 general=0.10 report=0.05  => ROLL_BACK to 90 general=0.2 lr=1; prune 100
        ask 1 b                             => attempt 2 from 90 general=0.2 lr=1
        checkpoint 100                      => evaluate 100; prune 70
        score 100 general=0.10 report=0.05  => ROLL_BACK to 40 general=0.3 lr=1; prune 80; prune 90; prune 100
        ask 1 c                             => attempt 3 from 40 general=0.3 lr=1
        checkpoint 50                       => evaluate 50; prune 20
        score 50 general=0.21               => ROLL_BACK to 20 general=0.5 lr=1; prune 30; prune 40; prune 50
        ask 1 d                             => attempt 4 from 20 general=0.5 lr=1
        checkpoint 30                       => evaluate 30
        score 30 general=0.21               => ROLL_BACK to 10 general=0.5 lr=0.5; prune 20; prune 30
        ask 1 e                             => attempt 5 from 10 general=0.5 lr=0.5
    """,
        player=player,
    )
    assert player.state.stages[0].rollback_steps == (90, 40, 20, 10)


def test_a_rollback_takes_back_the_halvings_that_came_after_its_target() -> None:
    """Half of all tokens are replayed from the start on, which no attempt has tried: with the whole learning rate. When
    that fails too, it is halved."""
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
        score 60 general=0.20   => ROLL_BACK to 10 general=0.5 lr=1; prune 40; prune 50; prune 60
        ask 1 b                 => attempt 2 from 10 general=0.5 lr=1
        checkpoint 20           => evaluate 20
        score 20 general=0.20   => ROLL_BACK to start general=0.5 lr=0.5; prune 10; prune 20
    """)


def test_the_learning_rate_is_not_halved_while_a_score_falls() -> None:
    """With half of all tokens replayed a falling score recovers with the rate it has; one that rises does not."""
    play(
        """
        checkpoint 10            => evaluate 10
        score 10 general=0.19    => CONTINUE
        checkpoint 20            => evaluate 20
        score 20 general=0.185   => CONTINUE
        checkpoint 30            => evaluate 30
        score 30 general=0.183   => CONTINUE
        checkpoint 40            => evaluate 40; prune 10
        score 40 general=0.184   => ADJUST general=0.5 lr=0.5
    """,
        header="share=0.5",
    )
