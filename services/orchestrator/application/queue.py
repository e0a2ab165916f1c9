"""Admission: runs wait until it is their turn (domain/policy/fair_queue.py) and their workers fit. Ray is never the
queue. Who was served of late is forgotten with the process: after a restart all projects are even."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.orchestrator.application.ports import Overview, StoredRun
from services.orchestrator.application.projects.project import Project
from services.orchestrator.application.run_store import Clock, News, Observer, SystemClock
from services.orchestrator.domain.policy.fair_queue import Standing, WaitingRun, in_order, next_run, served_after
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.domain.spec.plan import slots_of


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Where a run would stand: its place from 1, the slots that those before it want, and those that nobody holds."""

    position: int
    slots_ahead: int
    free: int


class Queue(Observer):
    """Who waits, and who holds worker slots. Kept up by every change, and put right from the database in every pass.

    A run holds its slots while it is RUNNING, and longer while a job of it may still live.
    """

    def __init__(self, slots: int, clock: Clock | None = None) -> None:
        self.slots = slots
        self._clock = clock or SystemClock()
        self._waiting: dict[str, WaitingRun] = {}
        self._lines: dict[str, list[WaitingRun]] = {}  # of each project those that wait, in their order
        self._holds: dict[str, tuple[str, int]] = {}  # run -> (project, slots)
        self._projects: dict[str, Standing] = {}  # held: as of the last change
        self._served_at_s = self._clock.monotonic_s()
        self._order: dict[str, int] | None = None  # run -> place; None: to be made anew
        self._last_number = 0

    def set_projects(self, projects: Iterable[Project]) -> None:
        """Weights and quotas from now on."""
        self._keep_served()
        for project in projects:
            known = self._projects.get(project.name, Standing())
            changed = replace(known, weight=project.weight, most_slots=project.most_slots)
            self._projects[project.name] = changed
        self._order = None

    def load(self, runs: Iterable[StoredRun]) -> None:
        """Take over the runs that wait or are at work."""
        for state in runs:
            self.changed(None, state, ())

    def next_number(self) -> int:
        """A new place at the end of the queue."""
        self._last_number += 1
        return self._last_number

    def position(self, run_id: str) -> int:
        """Place in the queue, from 1; 0 for a run that does not wait."""
        return self._places().get(run_id, 0) if run_id in self._waiting else 0

    def head(self) -> str | None:
        """The run that gets its workers now, if there is one."""
        self._keep_served()
        firsts = [line[0] for line in self._lines.values()]
        chosen = next_run(
            firsts, self._projects, slots=self.slots, held=self.slots - self._free, now_s=self._clock.now_s()
        )
        return chosen.run_id if chosen is not None else None

    def waiting(self, limit: int) -> tuple[str, ...]:
        """The first runs of the queue."""
        return tuple(list(self._places())[:limit])

    def held_by(self, project: str) -> int:
        """Slots that the runs of a project hold."""
        return sum(slots for owner, slots in self._holds.values() if owner == project)

    def waiting_of(self, project: str) -> int:
        """How many runs of a project wait."""
        return len(self._lines.get(project, ()))

    def held_back(self, run_id: str) -> str:
        """Why a run waits although there may be room: its project's quota of slots. Empty: it waits for its turn."""
        run = self._waiting.get(run_id)
        if run is None:
            return ""
        standing = self._projects.get(run.project, Standing())
        if standing.allows(run.more):
            return ""
        return (
            f"project {run.project} holds {standing.held} of its quota of {standing.most_slots} worker slots; "
            f"this run wants {run.slots} more"
        )

    def forecast(self, project: str, *, slots: int, priority: int) -> Forecast:
        """Where a run would stand that came now."""
        new = WaitingRun(
            run_id="", project=project, slots=slots, priority=priority, queued_s=self._clock.now_s(),
            number=self._last_number + 1,
        )  # fmt: skip
        order = in_order([*self._waiting.values(), new], self._projects)
        ahead = order[: order.index(new)]
        return Forecast(position=len(ahead) + 1, slots_ahead=sum(run.slots for run in ahead), free=max(0, self._free))

    def forget(self, run_id: str) -> None:
        """A run was deleted."""
        self._set_waiting(run_id, None)
        self._set_held(run_id, None)

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        """Keep up with a change of a run."""
        slots = slots_of(after.spec.compute)
        self._last_number = max(self._last_number, after.queue_number)
        holds = after.status is RunState.RUNNING or after.jobs
        self._set_held(after.id, (after.project, slots) if holds else None)
        waits = WaitingRun(
            run_id=after.id,
            project=after.project,
            slots=slots,
            priority=after.priority,
            queued_s=after.queued_s,
            number=after.queue_number,
            holds=slots if holds else 0,
        )
        self._set_waiting(after.id, waits if after.status is RunState.PENDING else None)

    def looked(self, overview: Overview, news: News) -> None:
        """Forget whom the database does not know as waiting or at work, and take over who is at work there."""
        waiting = {w.run_id: w.queue_number for w in overview.waiting}
        gone = [r for r, run in self._waiting.items() if waiting.get(r) != run.number and r not in news.runs]
        for run_id in gone:
            self._set_waiting(run_id, None)
        at_work = {state.id for state in overview.attention} | news.runs
        for run_id in self._holds.keys() - at_work:
            self._set_held(run_id, None)
        for state in overview.attention:
            if state.id not in news.runs:
                self.changed(None, state, ())

    @property
    def waiting_and_held(self) -> tuple[int, int]:
        """How many runs wait, and the slots that are held."""
        return len(self._waiting), self.slots - self._free

    def unknown(self, overview: Overview) -> tuple[str, ...]:
        """Runs that wait by the database and not here: nobody was told of them."""
        return tuple(w.run_id for w in overview.waiting if w.run_id not in self._waiting)

    @property
    def _free(self) -> int:
        return self.slots - sum(slots for _, slots in self._holds.values())

    def _places(self) -> dict[str, int]:
        if self._order is None:
            order = in_order(self._waiting.values(), self._projects)
            self._order = {run.run_id: place for place, run in enumerate(order, start=1)}
        return self._order

    def _set_waiting(self, run_id: str, run: WaitingRun | None) -> None:
        before = self._waiting.get(run_id)
        if before == run:
            return
        self._order = None
        if before is not None:
            del self._waiting[run_id]
            line = self._lines[before.project]
            del line[bisect_left(line, before.rank, key=_rank)]
            if not line:
                del self._lines[before.project]
        if run is not None:
            self._waiting[run_id] = run
            insort(self._lines.setdefault(run.project, []), run, key=_rank)

    def _set_held(self, run_id: str, held: tuple[str, int] | None) -> None:
        before = self._holds.get(run_id)
        if before == held:
            return
        self._keep_served()
        self._order = None
        if held is None:
            del self._holds[run_id]
        else:
            self._holds[run_id] = held
        for project in {one[0] for one in (before, held) if one is not None}:
            standing = self._projects.get(project, Standing())
            self._projects[project] = replace(standing, held=self.held_by(project))

    def _keep_served(self) -> None:
        """What each project was served, up to now."""
        now_s = self._clock.monotonic_s()
        seconds, self._served_at_s = now_s - self._served_at_s, now_s
        for name, one in self._projects.items():
            self._projects[name] = replace(one, served=served_after(one.served, held=one.held, seconds=seconds))


def _rank(run: WaitingRun) -> tuple[float, int, str]:
    return run.rank
