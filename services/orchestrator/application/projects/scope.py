"""What the principal of the call under way may see: the store of runs as the use cases of people have it.

A use case gets a `ScopedRunStore` in place of a `RunStore`, and has no other way to the database: every query is
filtered by the projects of the principal, whose call it is. What belongs to others is not there: NotFound, as for what
never was. Without a principal nothing is there at all.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from retain.values import Decision
from retain.values.faults import mismatch
from services.common.errors import FailedPrecondition, InvalidInput, NotFound, Violation
from services.common.identity.principal import DEFAULT_PROJECT, current_principal
from services.orchestrator.application.ports import (
    EVERY,
    CheckpointFilter,
    NewRun,
    Page,
    Projects,
    Repository,
    RunUnreadable,
    StoredRequest,
    StoredRun,
    UnreadableRun,
    Upload,
)
from services.orchestrator.application.run_store import Clock, RunStore
from services.orchestrator.domain.metrics.points import Point
from services.orchestrator.domain.run.events import Event
from services.orchestrator.domain.run.state import Checkpoint, RunState

T = TypeVar("T")


def visible_projects() -> Projects:
    """The projects whose things the caller may see; None for all, nothing outside of calls."""
    caller = current_principal()
    return frozenset() if caller is None else caller.visible_projects


def chosen_project(name: str) -> str:
    """The project of something new: the one that was named, else the caller's only one, else `default`.

    Raises NotFound for one that the caller may not use, InvalidInput when none was named and none goes without saying.
    """
    projects = visible_projects()
    if name:
        if projects is not None and name not in projects:
            raise no_project(name)
        return name
    if projects is None or DEFAULT_PROJECT in projects:
        return DEFAULT_PROJECT
    if len(projects) == 1:
        return next(iter(projects))
    said = mismatch("none", f"one of {', '.join(sorted(projects)) or 'none: this caller has no project'}")
    raise InvalidInput([Violation(field="project", description=said)])


def no_project(name: str) -> NotFound:
    """What somebody is told who names a project that is not there, or not for them."""
    return NotFound(
        f"there is no project {name[:100]!r}; `retain projects list` shows them", reason="PROJECT_NOT_FOUND"
    )


class ScopedRepository:
    """The part of the Repository that people's use cases need, for some projects. Each method as there."""

    def __init__(self, repository: Repository, projects: Projects) -> None:
        self._all, self._projects = repository, projects

    def _sees(self, project: str) -> bool:
        return self._projects is None or project in self._projects

    def check(self, run_id: str, project: str) -> None:
        """Raises NotFound, in the words for a run that never was."""
        if not self._sees(project):
            raise NotFound(f"there is no run {run_id!r}")

    def create(self, run: NewRun) -> StoredRun:
        self._check_project(run.state.project)
        return self._all.create(run)

    def request(self, request_id: str, *, project: str) -> StoredRequest | None:
        self._check_project(project)
        return self._all.request(request_id, project=project)

    def get(self, run_id: str) -> StoredRun:
        try:
            found = self._all.get(run_id)
        except RunUnreadable as error:
            self.check(run_id, error.run.project)
            raise
        self.check(run_id, found.project)
        return found

    def delete(self, run_id: str, *, expected_sequence: int, base_prefix: str, garbage_uris: Sequence[str]) -> None:
        """As there. A FailedPrecondition does not name a run of another project. Raises NotFound."""
        owner = self._project_of(run_id)
        if owner is not None:  # else it is deleted already, and the reply was lost
            self.check(run_id, owner)
        try:
            self._all.delete(
                run_id, expected_sequence=expected_sequence, base_prefix=base_prefix, garbage_uris=garbage_uris
            )
        except FailedPrecondition as error:
            child = error.metadata.get("run_id", "")
            if child and not self._is_known(child):
                said = f"a run of another project builds on a checkpoint of {run_id}; its end unlocks this"
                raise FailedPrecondition(said, reason=error.reason) from error
            raise

    def building_on(self, uri: str) -> tuple[str, ...]:
        found = self._all.building_on(uri)
        return tuple(run_id if self._is_known(run_id) else "of another project" for run_id in found)

    def list_runs(
        self,
        *,
        limit: int,
        below_number: int | None = None,
        statuses: Sequence[RunState] = (),
        project: str = "",
        words: str = "",
    ) -> Page[StoredRun | UnreadableRun]:
        projects = self._of(project)
        return self._all.list_runs(
            limit=limit, below_number=below_number, statuses=statuses, projects=projects, words=words
        )

    def list_decisions(self, run_id: str, *, limit: int, after_number: int = 0) -> Page[Decision]:
        self.get(run_id)
        return self._all.list_decisions(run_id, limit=limit, after_number=after_number)

    def list_points(self, run_id: str) -> tuple[tuple[int, Point], ...]:
        self.get(run_id)
        return self._all.list_points(run_id)

    def list_checkpoints(
        self, *, limit: int, wanted: CheckpointFilter = EVERY, below_number: int | None = None, project: str = ""
    ) -> Page[Checkpoint]:
        return self._all.list_checkpoints(
            wanted=wanted, limit=limit, below_number=below_number, projects=self._of(project)
        )

    def find_checkpoint(self, key: str) -> Checkpoint:
        return self._all.find_checkpoint(key, projects=self._projects)

    def find_own_checkpoint(self, key: str) -> Checkpoint:
        """As find_checkpoint; one that is shared with the caller is looked at and built on, and not changed. Raises
        NotFound, InvalidInput, FailedPrecondition."""
        found = self.find_checkpoint(key)
        if not self._sees(found.project):
            raise FailedPrecondition(
                f"{found.id} belongs to the project {found.project}, which shares it: its own people may change it",
                reason="SHARED_CHECKPOINT",
            )
        return found

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        self._check_project(checkpoint.project)
        self._all.put_checkpoint(checkpoint)

    def put_upload(self, upload: Upload) -> None:
        self._check_project(upload.project)
        self._all.put_upload(upload)

    def uploads(self, folder: str) -> tuple[Upload, ...]:
        return tuple(upload for upload in self._all.uploads(folder) if self._sees(upload.project))

    def _project_of(self, run_id: str) -> str | None:
        """The project of a run, also of one that cannot be read; None when there is none."""
        try:
            return self._all.get(run_id).project
        except RunUnreadable as error:
            return error.run.project
        except NotFound:
            return None

    def _is_known(self, run_id: str) -> bool:
        project = self._project_of(run_id)
        return project is not None and self._sees(project)

    def _of(self, project: str) -> Projects:
        if not project:
            return self._projects
        self._check_project(project)
        return frozenset({project})

    def _check_project(self, project: str) -> None:
        if not self._sees(project):
            raise no_project(project)


class ScopedRunStore:
    """A RunStore as the caller of the moment may use it."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    @property
    def repository(self) -> ScopedRepository:
        """The database, for the call under way."""
        return ScopedRepository(self._store.repository, visible_projects())

    @property
    def clock(self) -> Clock:
        """See RunStore."""
        return self._store.clock

    @property
    def choosing(self) -> asyncio.Lock:
        """See RunStore."""
        return self._store.choosing

    async def read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """See RunStore."""
        return await self._store.read(function, *args, **kwargs)

    async def get(self, run_id: str) -> StoredRun:
        """See RunStore."""
        return await self.read(self.repository.get, run_id)

    async def apply(self, run_id: str, event: Event, *, etag: str = "") -> StoredRun:
        """See RunStore. A run never changes its project, so it is looked at once, before."""
        await self.get(run_id)
        return await self._store.apply(run_id, event, etag=etag)

    async def wait_for_change(self, run_id: str, sequence: int, timeout_s: float) -> StoredRun:
        """See RunStore."""
        state = await self._store.wait_for_change(run_id, sequence, timeout_s)
        self.repository.check(run_id, state.project)
        return state

    def created(self, state: StoredRun) -> None:
        """See RunStore."""
        self._store.created(state)

    def deleted(self, run_id: str) -> None:
        """See RunStore."""
        self._store.deleted(run_id)
