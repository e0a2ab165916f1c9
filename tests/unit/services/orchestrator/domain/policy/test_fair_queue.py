"""Whose turn it is: cases computed by hand, and properties of the policy on random installations."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.orchestrator.domain.policy.fair_queue import (
    HALF_LIFE_S,
    PATIENCE_S,
    Standing,
    WaitingRun,
    in_order,
    next_run,
    served_after,
)


def waits(name: str, project: str, slots: int = 1, **how: float) -> WaitingRun:
    return WaitingRun(run_id=name, project=project, slots=slots, **how)  # type: ignore[arg-type]


def chosen(*runs: WaitingRun, slots: int, now_s: float = 0.0, **standings: Standing) -> str | None:
    held = sum(standing.held for standing in standings.values())
    found = next_run(runs, standings, slots=slots, held=held, now_s=now_s)
    return None if found is None else found.run_id


def test_the_project_that_holds_the_fewest_slots_for_its_weight_goes_first() -> None:
    runs = waits("a1", "a", number=1), waits("b1", "b", number=2)
    # 2 slots of weight 1 against 3 of weight 2: 2.0 against 1.5 for each unit of weight.
    assert chosen(*runs, slots=8, a=Standing(held=2), b=Standing(held=3, weight=2.0)) == "b1"
    assert chosen(*runs, slots=8, a=Standing(held=1), b=Standing(held=3, weight=2.0)) == "a1"
    assert chosen(*runs, slots=8, a=Standing(held=1), b=Standing(held=2, weight=2.0)) == "a1", "even: who came first"


def test_of_equals_the_one_that_was_served_less_of_late_goes_first() -> None:
    runs = waits("a1", "a", number=1), waits("b1", "b", number=2)
    # One slot, so that both hold none whenever it is free: 3,600 against 1,800 slot-seconds.
    assert chosen(*runs, slots=1, a=Standing(served=3600.0), b=Standing(served=1800.0)) == "b1"
    # For three times the weight, 1,200 against 1,800.
    assert chosen(*runs, slots=1, a=Standing(served=3600.0, weight=3.0), b=Standing(served=1800.0)) == "a1"


def test_what_was_served_is_halved_every_hour_and_what_is_held_is_added() -> None:
    assert served_after(800.0, held=0, seconds=HALF_LIFE_S) == 400.0
    assert served_after(800.0, held=2, seconds=0.0) == 800.0
    assert served_after(0.0, held=2, seconds=10.0) == 20.0
    assert served_after(800.0, held=0, seconds=-5.0) == 800.0, "a clock that goes back serves nobody"


def test_a_project_that_does_not_fit_or_has_used_its_quota_stops_no_other() -> None:
    large, small = waits("a1", "a", 4, number=1), waits("b1", "b", 1, number=2)
    assert chosen(large, small, slots=4, c=Standing(held=2)) == "b1"
    quota = Standing(held=0, most_slots=0)
    assert chosen(waits("a1", "a", number=1), small, slots=4, a=quota) == "b1"
    assert chosen(waits("a1", "a", number=1), slots=4, a=quota) is None


def test_nobody_overtakes_within_a_project() -> None:
    large, small = waits("a1", "a", 4, number=1), waits("a2", "a", 1, number=2)
    assert chosen(large, small, slots=4, c=Standing(held=2)) is None


def test_slots_are_kept_for_a_large_run_that_has_waited_long_enough() -> None:
    large, small = waits("a1", "a", 4, queued_s=0.0, number=1), waits("b1", "b", 1, queued_s=0.0, number=2)
    others = {"c": Standing(held=2), "b": Standing(held=0)}
    assert chosen(large, small, slots=4, now_s=PATIENCE_S - 1, **others) == "b1"
    assert chosen(large, small, slots=4, now_s=PATIENCE_S, **others) is None
    assert chosen(large, small, slots=4, now_s=PATIENCE_S) == "a1"
    # It is not its project's turn: what it waits for is its own project's slots.
    assert chosen(large, small, slots=4, now_s=PATIENCE_S, a=Standing(held=2)) == "b1"


def test_a_run_that_wants_more_than_there_is_gets_all_once_nobody_holds_any() -> None:
    huge = waits("a1", "a", 9)
    assert chosen(huge, slots=4) == "a1"
    assert chosen(huge, slots=4, b=Standing(held=1)) is None
    # Its own group from before may still be ending.
    assert chosen(replace(huge, holds=9), slots=4, a=Standing(held=9)) == "a1"


def test_a_step_of_priority_is_worth_ten_minutes_of_waiting() -> None:
    low = waits("low", "a", priority=-1, queued_s=0.0, number=1)
    for came_s, first in ((599.0, "high"), (601.0, "low")):
        high = waits("high", "a", priority=0, queued_s=came_s, number=2)
        assert next(run.run_id for run in in_order([high, low], {})) == first
    assert [run.run_id for run in in_order([waits("x", "a", number=2), waits("y", "a", number=1)], {})] == ["y", "x"]


def test_places_take_turns_by_weight() -> None:
    """Weights 1 and 3: of eight slots of one each two and six."""
    runs = [waits(f"a{n}", "a", number=n) for n in range(8)] + [waits(f"b{n}", "b", number=10 + n) for n in range(8)]
    order = in_order(runs, {"a": Standing(), "b": Standing(weight=3.0)})
    assert [run.run_id for run in order[:8]] == ["a0", "b0", "b1", "b2", "a1", "b3", "b4", "b5"]
    assert sorted(run.run_id for run in order) == sorted(run.run_id for run in runs)


# --- properties, on a simulated installation


@dataclass(kw_only=True)
class Installation:
    """Slots, projects and runs of which each takes its time. `step` goes to the next end or arrival."""

    slots: int
    weights: Mapping[str, float]
    quotas: Mapping[str, int | None]
    durations_s: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, WaitingRun] = field(default_factory=dict)
    running: dict[str, tuple[WaitingRun, float]] = field(default_factory=dict)
    served: dict[str, float] = field(default_factory=dict)
    now_s: float = 0.0
    admitted_s: dict[str, float] = field(default_factory=dict)

    def held(self, project: str | None = None) -> int:
        return sum(run.slots for run, _ in self.running.values() if project in (None, run.project))

    def standings(self) -> dict[str, Standing]:
        return {
            name: Standing(
                held=self.held(name), served=self.served.get(name, 0.0), weight=weight, most_slots=self.quotas[name]
            )
            for name, weight in self.weights.items()
        }

    def come(self, run: WaitingRun, duration_s: float) -> None:
        self.waiting[run.run_id], self.durations_s[run.run_id] = run, duration_s

    def admit(self) -> None:
        while True:
            standings, held = self.standings(), self.held()
            run = next_run(self.waiting.values(), standings, slots=self.slots, held=held, now_s=self.now_s)
            self.check_work_conserving(run, standings, held)
            if run is None:
                return
            assert run.slots <= self.slots - held or not held, "more slots are given than there are"
            assert standings[run.project].allows(run.slots), "a quota is passed"
            del self.waiting[run.run_id]
            self.running[run.run_id] = (run, self.now_s + self.durations_s[run.run_id])
            self.admitted_s[run.run_id] = self.now_s

    def check_work_conserving(self, run: WaitingRun | None, standings: Mapping[str, Standing], held: int) -> None:
        """Nobody is let in only where no project's first run fits, or where slots are kept for one that waits long."""
        if run is not None:
            return
        firsts = [min((r for r in self.waiting.values() if r.project == name), key=lambda r: r.rank, default=None)
                  for name in self.weights]  # fmt: skip
        allowed = [r for r in firsts if r is not None and standings[r.project].allows(r.slots)]
        fits = [r for r in allowed if r.slots <= self.slots - held or not held]
        kept = [r for r in allowed if r not in fits and self.now_s - r.queued_s >= PATIENCE_S]
        assert not fits or kept, f"{fits} could run"

    def until(self, time_s: float) -> None:
        for name in self.weights:
            self.served[name] = served_after(
                self.served.get(name, 0.0), held=self.held(name), seconds=time_s - self.now_s
            )
        self.now_s = time_s
        for run_id in [name for name, (_, end_s) in self.running.items() if end_s <= time_s]:
            del self.running[run_id]

    def next_end_s(self) -> float:
        return min(end_s for _, end_s in self.running.values())


RUNS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 6),
        st.integers(-10, 10),
        st.floats(1.0, 5000.0),
        st.floats(0.0, 2000.0),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(slots=st.integers(1, 6), runs=RUNS, weights=st.tuples(*[st.floats(0.1, 10.0)] * 3), quota=st.integers(1, 6))
def test_every_run_comes_to_its_turn_and_no_slot_stays_idle_for_nothing(
    slots: int, runs: list[tuple[str, int, int, float, float]], weights: tuple[float, float, float], quota: int
) -> None:
    quotas = {"a": None, "b": None, "c": max(quota, *[run[1] for run in runs])}
    installation = Installation(slots=slots, weights=dict(zip("abc", weights, strict=True)), quotas=quotas)
    arrivals = sorted((run[4], number, run) for number, run in enumerate(runs))
    for came_s, number, (project, wanted, priority, duration_s, _) in arrivals:
        while installation.running and installation.next_end_s() <= came_s:
            installation.until(installation.next_end_s())
            installation.admit()
        installation.until(came_s)
        run = waits(str(number), project, wanted, priority=priority, queued_s=came_s, number=number)
        installation.come(run, duration_s)
        installation.admit()
    for _ in range(2 * len(runs) + 1):
        if not installation.running:
            break
        installation.until(installation.next_end_s())
        installation.admit()
    assert installation.waiting == {}, "runs that nobody lets in"


@settings(max_examples=40, deadline=None)
@given(
    wanted=st.integers(1, 4),
    weight=st.floats(0.2, 5.0),
    duration_s=st.floats(30.0, 900.0),
    priority=st.integers(-10, 10),
)
def test_a_flood_of_small_runs_starves_nobody(wanted: int, weight: float, duration_s: float, priority: int) -> None:
    """A project that always has more waiting, against one run of another that wants up to all slots."""
    installation = Installation(slots=4, weights={"flood": 1.0, "one": weight}, quotas={"flood": None, "one": None})
    for number in range(8):
        installation.come(waits(f"f{number}", "flood", number=number), duration_s + number)
    installation.admit()
    installation.come(waits("mine", "one", wanted, priority=priority, number=100), 60.0)
    installation.admit()
    number = 200
    while "mine" not in installation.admitted_s:
        assert installation.now_s < PATIENCE_S + 3 * (duration_s + 8), (
            "it waits longer than its patience and the ends of all"
        )
        installation.until(installation.next_end_s())
        number += 1
        installation.come(waits(f"f{number}", "flood", queued_s=installation.now_s, number=number), duration_s)
        installation.admit()


@pytest.mark.parametrize(("weight", "share"), [(1.0, 0.5), (3.0, 0.75)])
def test_over_time_projects_get_their_shares_of_a_single_slot(weight: float, share: float) -> None:
    installation = Installation(slots=1, weights={"a": weight, "b": 1.0}, quotas={"a": None, "b": None})
    for number in range(400):
        project = "a" if number % 2 else "b"
        installation.come(waits(f"{project}{number}", project, number=number), 60.0)
    installation.admit()
    got = {"a": 0, "b": 0}
    for _ in range(200):
        run, _ = next(iter(installation.running.values()))
        got[run.project] += 1
        installation.until(installation.next_end_s())
        installation.admit()
    assert got["a"] / 200 == pytest.approx(share, abs=0.03)
