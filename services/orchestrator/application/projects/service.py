"""Projects: made, changed and looked at; their quotas; checkpoints that one shares with another.

The orchestrator that leads keeps all of them in memory; what changes is in the database first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retain.values.faults import mismatch
from services.common.errors import AlreadyExists, InvalidInput, QuotaExceeded, Violation
from services.common.identity.principal import DEFAULT_PROJECT
from services.orchestrator.application.projects.project import NAME, NAME_TOLD, Project, ProjectRecords
from services.orchestrator.application.projects.scope import ScopedRunStore, no_project, visible_projects
from services.orchestrator.application.queue import Queue
from services.orchestrator.application.run_store import RunStore
from services.orchestrator.domain.policy.quota import QuotaState, states, told
from services.orchestrator.domain.run.state import Checkpoint

MOST_PROJECTS = 1000
LARGEST = 2**53  # of a limit
LEAST_WEIGHT, LARGEST_WEIGHT = 0.001, 1000.0


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a project uses: runs that have not ended, slots that are held, bytes in the store, runs that wait."""

    runs: int
    slots: int
    bytes: int
    waiting: int


class ProjectService:
    """The use cases of ProjectService, and what others ask about quotas. Before `load` there is `default` alone."""

    def __init__(self, run_store: RunStore, records: ProjectRecords, queue: Queue) -> None:
        self._run_store, self._records, self._queue = run_store, records, queue
        self._scoped = ScopedRunStore(run_store)
        self._projects: dict[str, Project] = {DEFAULT_PROJECT: Project(name=DEFAULT_PROJECT)}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read all projects. Raises Unavailable."""
        self._projects = {project.name: project for project in await self._run_store.read(self._records.projects)}
        self._queue.set_projects(self._projects.values())

    # --- projects

    def listed(self) -> list[Project]:
        """Those that the caller may use, by name."""
        visible = visible_projects()
        return [one for name, one in sorted(self._projects.items()) if visible is None or name in visible]

    def get(self, name: str) -> Project:
        """One that the caller may use. Raises NotFound."""
        visible = visible_projects()
        if name not in self._projects or (visible is not None and name not in visible):
            raise no_project(name)
        return self._projects[name]

    async def create(self, project: Project) -> Project:
        """A new project. Raises InvalidInput or AlreadyExists."""
        _check(project)
        project = replace(project, created_s=self._run_store.clock.now_s())
        async with self._changing:
            if project.name in self._projects:
                raise AlreadyExists(f"there is a project {project.name}", reason="PROJECT_EXISTS")
            if len(self._projects) >= MOST_PROJECTS:
                said = f"there are {len(self._projects):,} projects; expected up to {MOST_PROJECTS:,}"
                raise InvalidInput([Violation(field="name", description=said)])
            await self._run_store.read(self._records.add_project, project)
            self._take(project)
        return project

    async def update(
        self, name: str, *, weight: float | None = None, limits: Mapping[str, int | None] | None = None
    ) -> Project:
        """Change what was given. Raises InvalidInput or NotFound."""
        async with self._changing:
            project = self.get(name)
            if weight is not None:
                project = replace(project, weight=weight)
            if limits is not None:
                runs, slots, size = (limits.get(quota) for quota in ("runs", "slots", "bytes"))
                project = replace(project, most_runs=runs, most_slots=slots, most_bytes=size)
            _check(project)
            await self._run_store.read(self._records.update_project, project)
            self._take(project)
        return project

    def _take(self, project: Project) -> None:
        self._projects[project.name] = project
        self._queue.set_projects(self._projects.values())

    async def use(self, name: str) -> Use:
        """What a project uses now."""
        return Use(
            runs=await self._run_store.read(self._records.active_runs, name),
            slots=self._queue.held_by(name),
            bytes=await self._run_store.read(self._records.stored_bytes, name),
            waiting=self._queue.waiting_of(name),
        )

    def check_known(self, names: Sequence[str], field: str) -> None:
        """Raises InvalidInput for projects that are not there."""
        faults = [
            Violation(field=f"{field}[{number}]", description=mismatch(repr(name[:100]), "the name of a project"))
            for number, name in enumerate(names)
            if name not in self._projects
        ]
        if faults:
            raise InvalidInput(faults)

    # --- quotas

    async def quotas(self, name: str, *, runs: int = 0, slots: int = 0, size: int = 0) -> list[QuotaState]:
        """The quotas of a project that has some, with what is asked for on top. Raises NotFound."""
        project = self.get(name)
        if not any(limit is not None for limit in project.limits.values()):
            return []
        use = await self.use(name)
        asked = {"runs": runs, "slots": slots, "bytes": size}
        return states(project.limits, {"runs": use.runs, "slots": use.slots, "bytes": use.bytes}, asked)

    async def check_run(self, name: str, *, slots: int) -> None:
        """Whether one more run, which wants so many slots, may come in. Slots that others of the project hold are
        waited for; more than the quota has are refused. The caller holds `choosing`: two do not pass for one.

        Raises NotFound, QuotaExceeded.
        """
        for quota in await self.quotas(name, runs=1, slots=slots, size=0):
            if quota.quota == "slots":
                quota = replace(quota, used=0)
            over = quota.used >= quota.limit if quota.quota == "bytes" else quota.exceeded
            if over:
                raise quota_exceeded(name, quota)

    async def check_bytes(self, name: str, size: int) -> None:
        """Whether so many bytes more may be sent. Raises NotFound, QuotaExceeded."""
        for quota in await self.quotas(name, size=size):
            if quota.quota == "bytes" and quota.exceeded:
                raise quota_exceeded(name, quota)

    # --- shared checkpoints

    async def share(self, key: str, project: str, *, on: bool) -> Checkpoint:
        """Share one of the caller's checkpoints with a project, or stop that. Raises NotFound, FailedPrecondition,
        InvalidInput."""
        repository = self._scoped.repository
        checkpoint = await self._scoped.read(repository.find_own_checkpoint, key)
        self.check_known([project], "project")
        if project == checkpoint.project:
            said = mismatch(f"{project!r}, whose checkpoint it is", "another project")
            raise InvalidInput([Violation(field="project", description=said)])
        await self._run_store.read(self._records.share if on else self._records.unshare, checkpoint.id, project)
        return checkpoint

    async def shared_with(self, checkpoints: Sequence[Checkpoint]) -> Mapping[str, tuple[str, ...]]:
        """Of checkpoints that the caller sees: with which projects each is shared. Of those of others the caller is
        told of the own projects alone."""
        visible = visible_projects()
        found = await self._run_store.read(self._records.shared_with, [one.id for one in checkpoints])
        if visible is None:
            return found
        return {
            one.id: tuple(p for p in found.get(one.id, ()) if one.project in visible or p in visible)
            for one in checkpoints
        }


def quota_exceeded(project: str, quota: QuotaState) -> QuotaExceeded:
    """The refusal that names quota, use and what was asked."""
    numbers = {"limit": quota.limit, "used": quota.used, "asked": quota.asked}
    metadata = {"project": project, "quota": quota.quota, **{name: str(number) for name, number in numbers.items()}}
    return QuotaExceeded(told(project, quota), metadata=metadata)


def _check(project: Project) -> None:
    faults = []
    if not NAME.fullmatch(project.name):
        faults.append(Violation(field="name", description=mismatch(repr(project.name[:100]), NAME_TOLD)))
    if not LEAST_WEIGHT <= project.weight <= LARGEST_WEIGHT:
        said = mismatch(project.weight, f"{LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}")
        faults.append(Violation(field="weight", description=said))
    faults += [
        Violation(field=f"quotas.{quota}", description=mismatch(limit, f"0 to {LARGEST}, or none for no limit"))
        for quota, limit in project.limits.items()
        if limit is not None and not 0 <= limit <= LARGEST
    ]
    if faults:
        raise InvalidInput(faults)
