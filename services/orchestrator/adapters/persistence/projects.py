"""Projects and what is shared between them as rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.errors import AlreadyExists
from services.orchestrator.adapters.records import Records, upsert
from services.orchestrator.adapters.tables import checkpoints, projects, runs, shares, uploads
from services.orchestrator.application.projects.project import Project, ProjectRecords
from services.orchestrator.domain.run.state import CheckpointState, RunState

IDS_AT_ONCE = 200  # in one query


class SqlProjects(Records, ProjectRecords):
    """On the engine of the repository."""

    def projects(self) -> tuple[Project, ...]:
        with self._begin() as connection:
            rows = connection.execute(sa.select(projects).order_by(projects.c.name)).all()
        return tuple(Project(**row._mapping) for row in rows)

    def add_project(self, project: Project) -> None:
        try:
            with self._begin() as connection:
                connection.execute(projects.insert().values(**vars(project)))
        except exc.IntegrityError as error:
            with self._begin() as connection:
                row = connection.execute(sa.select(projects).where(projects.c.name == project.name)).one()
            if Project(**row._mapping) != project:  # else the first try had succeeded, and its reply was lost
                raise AlreadyExists(f"there is a project {project.name}", reason="PROJECT_EXISTS") from error

    def update_project(self, project: Project) -> None:
        changed = {name: value for name, value in vars(project).items() if name not in ("name", "created_s")}
        with self._begin() as connection:
            connection.execute(projects.update().where(projects.c.name == project.name).values(changed))

    def active_runs(self, project: str) -> int:
        ended = [status.value for status in RunState if status.ended]
        query = sa.select(sa.func.count()).where(runs.c.project == project, runs.c.status.not_in(ended))
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def stored_bytes(self, project: str) -> int:
        # An imported checkpoint has no run: its files are uploads, and counted there.
        trained = sa.select(sa.func.sum(checkpoints.c.bytes)).where(
            checkpoints.c.project == project,
            checkpoints.c.run_id != "",
            checkpoints.c.status != CheckpointState.PRUNED.value,
        )
        sent = sa.select(sa.func.sum(uploads.c.bytes)).where(uploads.c.project == project)
        with self._begin() as connection:
            return sum(int(connection.execute(query).scalar_one() or 0) for query in (trained, sent))

    def share(self, checkpoint_id: str, project: str) -> None:
        with self._begin() as connection:
            row = {"checkpoint_id": checkpoint_id, "project": project}
            upsert(connection, shares, row, key="checkpoint_id,project")

    def unshare(self, checkpoint_id: str, project: str) -> None:
        with self._begin() as connection:
            condition = (shares.c.checkpoint_id == checkpoint_id, shares.c.project == project)
            connection.execute(shares.delete().where(*condition))

    def shared_with(self, checkpoint_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        with self._begin() as connection:
            for start in range(0, len(checkpoint_ids), IDS_AT_ONCE):
                chosen = shares.c.checkpoint_id.in_(checkpoint_ids[start : start + IDS_AT_ONCE])
                for row in connection.execute(sa.select(shares).where(chosen).order_by(shares.c.project)):
                    found[row.checkpoint_id] += (row.project,)
        return found
