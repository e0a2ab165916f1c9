"""Pauses and deadlines are lengths that the reconcile loop counts with a clock that does not go back."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from services.orchestrator.application.queue import Queue
from services.orchestrator.application.reconciler import Reconciler, Timing
from services.orchestrator.domain.handlers.completion import LEAVE_AFTER_STOP_S, dismiss
from services.orchestrator.domain.run.backoff import pause_s
from services.orchestrator.domain.run.commands import Evaluate, StopJob, name_of
from services.orchestrator.domain.run.state import PipelineRun
from tests.scenarios.scenario_runner import ScenarioRunner, training


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 100.0, 1_000_000.0

    def now_s(self) -> float:
        return self.wall

    def monotonic_s(self) -> float:
        return self.monotonic


class Hands:
    """Notes what it is told to carry out."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str | int]] = []

    async def carry_out(self, state: PipelineRun, effect: Any) -> None:
        self.done.append(name_of(effect))


def loop_of(clock: Clock) -> tuple[Reconciler, Hands]:
    hands = Hands()
    run_store: Any = SimpleNamespace(clock=clock)
    hand: Any = hands
    watchdog: Any = None
    return Reconciler(run_store, Queue(4), hand, watchdog, Timing()), hands


def passes(reconciler: Reconciler, runner: ScenarioRunner) -> None:
    async def once() -> None:
        reconciler._carry_out(runner.state)
        await asyncio.gather(*reconciler._tasks.values())

    asyncio.run(once())


def test_a_failed_evaluation_is_asked_again_only_after_its_pause() -> None:
    clock, runner = Clock(), training()
    reconciler, hands = loop_of(clock)
    runner.apply("checkpoint 10")
    passes(reconciler, runner)
    asked = [name for name in hands.done if name[0] == Evaluate.__name__]
    for pause in (1.0, 5.0, 25.0):
        runner.apply("unmeasured 10")
        hands.done.clear()
        passes(reconciler, runner)
        clock.monotonic += pause - 0.1
        passes(reconciler, runner)
        assert not [name for name in hands.done if name[0] == Evaluate.__name__]
        clock.monotonic += 0.2
        passes(reconciler, runner)
        asked += [name for name in hands.done if name[0] == Evaluate.__name__]
    assert len(asked) == len(set(asked)) == 4, "every try has a name of its own"


def test_a_wall_clock_that_is_put_back_a_day_keeps_no_hung_job() -> None:
    """A group that may take 20 s to leave is stopped after 20 s, whatever the wall clock says meanwhile."""
    clock, runner = Clock(), training()
    reconciler, hands = loop_of(clock)
    state = runner.state
    runner.apply("fail DATA_CORRUPT")
    runner.state = state_with_jobs(runner.state, state)
    passes(reconciler, runner)
    assert not hands.done
    clock.wall -= 86_400.0
    clock.monotonic += 20.0
    passes(reconciler, runner)
    assert hands.done == [(StopJob.__name__, 1)]


def state_with_jobs(after: PipelineRun, before: PipelineRun) -> PipelineRun:
    """The ended run with the job that the runner has stopped at once."""
    return dismiss(replace(after, jobs=before.jobs), LEAVE_AFTER_STOP_S)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.0), (1, 1.0), (2, 5.0), (3, 25.0), (4, 125.0), (5, 125.0), (10_000, 125.0)]
)
def test_pauses_grow_fivefold_and_are_bounded(failures: int, seconds: float) -> None:
    assert pause_s(failures) == seconds
