"""Whose turn it is: worker slots shared fairly between projects. Plain numbers in and out.

Between projects: weighted max-min fairness. The project that holds the fewest slots for its weight goes first; of those
that hold the same, the one that was served least of late (slot-seconds for its weight, halved every hour); of those,
the one whose first run came first. A project whose first run does not fit, or whose quota is used up, stops no other.

Within a project: first come, first served, and nobody overtakes. A step of priority is worth ten minutes of waiting, so
a run of low priority is overtaken by those of the next ten minutes and by no others.

A large run that has waited for ten minutes has the slots that become free kept for it when its project's turn comes:
small runs of others cannot starve it. Until then no slot stays idle that some project's first run could use.

Demers, Keshav, Shenker, "Analysis and simulation of a fair queueing algorithm", SIGCOMM 1989; the halving is that of
Slurm's fair-share priority.
"""

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PRIORITY_STEP_S = 600.0
PATIENCE_S = 600.0
HALF_LIFE_S = 3600.0
LARGEST_PRIORITY = 10


@dataclass(frozen=True, kw_only=True)
class WaitingRun:
    """A run that waits since `queued_s` (Unix seconds) for so many slots; `number` rises with arrival. `holds`: slots
    that a worker group of it which is still ending has not given back."""

    run_id: str
    project: str
    slots: int
    priority: int = 0
    queued_s: float = 0.0
    number: int = 0
    holds: int = 0

    @property
    def more(self) -> int:
        """Slots that it wants beside those that it holds."""
        return self.slots - self.holds

    @property
    def rank(self) -> tuple[float, int, str]:
        """Its place among those of its project, the least first: when it came, moved by its priority."""
        return (self.queued_s - PRIORITY_STEP_S * self.priority, self.number, self.run_id)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a project stands: slots that it holds, slot-seconds that it was served of late, its weight (> 0), and the
    most slots that it may hold (None: as many as there are)."""

    held: int = 0
    served: float = 0.0
    weight: float = 1.0
    most_slots: int | None = None

    def allows(self, slots: int) -> bool:
        """Whether so many more are within its quota."""
        return self.most_slots is None or self.held + slots <= self.most_slots


Standings = Mapping[str, Standing]


def next_run(
    waiting: Iterable[WaitingRun], standings: Standings, *, slots: int, held: int, now_s: float
) -> WaitingRun | None:
    """The run that gets its slots now; None while nobody's fit, or while they are kept for one that waits too long. Of
    `slots` in all so many are `held`. A run that wants more than there are gets all of them when nobody else has any.
    """
    heads = first_of_each(waiting).values()
    for run in sorted(heads, key=lambda run: _turn(run, standings.get(run.project, Standing()))):
        if not standings.get(run.project, Standing()).allows(run.more):
            continue
        if run.more <= slots - held or held == run.holds:
            return run
        if now_s - run.queued_s >= PATIENCE_S:
            return None
    return None


def in_order(waiting: Iterable[WaitingRun], standings: Standings) -> list[WaitingRun]:
    """All that wait as they would be served if each got its slots at once and nobody gave any back: the places that
    people are told."""
    queues: dict[str, list[WaitingRun]] = {}
    for run in sorted(waiting, key=lambda run: run.rank, reverse=True):
        queues.setdefault(run.project, []).append(run)
    held = {project: standings.get(project, Standing()).held for project in queues}

    def entry(project: str) -> tuple[tuple[float, float, tuple[float, int, str]], str]:
        standing = standings.get(project, Standing())
        first = queues[project][-1]
        return (held[project] / standing.weight, standing.served / standing.weight, first.rank), project

    turns = [entry(project) for project in queues]
    heapq.heapify(turns)
    found = []
    while turns:
        _, project = heapq.heappop(turns)
        run = queues[project].pop()
        found.append(run)
        held[project] += run.slots
        if queues[project]:
            heapq.heappush(turns, entry(project))
    return found


def served_after(served: float, *, held: int, seconds: float) -> float:
    """Slot-seconds that count so much later: what was served is halved every HALF_LIFE_S, what is held is added."""
    return served * math.exp2(-max(0.0, seconds) / HALF_LIFE_S) + held * max(0.0, seconds)


def first_of_each(waiting: Iterable[WaitingRun]) -> dict[str, WaitingRun]:
    """The run of each project whose turn comes first."""
    first: dict[str, WaitingRun] = {}
    for run in waiting:
        known = first.get(run.project)
        if known is None or run.rank < known.rank:
            first[run.project] = run
    return first


def _turn(run: WaitingRun, standing: Standing) -> tuple[float, float, tuple[float, int, str]]:
    return standing.held / standing.weight, standing.served / standing.weight, run.rank
