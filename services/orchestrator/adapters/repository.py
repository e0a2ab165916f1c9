"""`Repository` on a relational database through SQLAlchemy: runs. Their records are in adapters/records.py."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.errors import AlreadyExists, NotFound, Stale
from services.orchestrator.adapters import codec
from services.orchestrator.adapters.records import Records, upsert
from services.orchestrator.adapters.tables import checkpoints, decisions, garbage, runs
from services.orchestrator.application.ports import NewRun, Overview, Page, Repository, StoredRequest, Waiting
from services.orchestrator.domain.decision import Decision
from services.orchestrator.domain.due import needs_attention
from services.orchestrator.domain.run_state import Checkpoint, RunState, RunStatus

_rows = sa.select(runs.c.id, runs.c.version, runs.c.body, runs.c.number)
KEPT_STATES = 512  # decoded states kept at hand; a page of a list is up to 500


class SqlRepository(Records, Repository):
    """Runs as rows: the core's state as JSON, and beside it the columns that are searched."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self._states: dict[tuple[str, int], RunState] = {}

    def create(self, run: NewRun) -> RunState:
        state = run.state
        row = self._columns(state) | {
            "id": state.id,
            "request_id": run.request_id,
            "request_digest": run.request_digest,
            "base_uri": run.base_uri,
        }
        try:
            with self._begin() as connection:
                connection.execute(runs.insert().values(row))
        except exc.IntegrityError as error:
            with self._begin() as connection:
                found = connection.execute(sa.select(runs.c.id).where(runs.c.id == state.id)).first()
            if found is None:
                raise AlreadyExists(f"the request id {run.request_id} is taken") from error
        return state

    def request(self, request_id: str) -> StoredRequest | None:
        query = sa.select(runs.c.id, runs.c.request_digest).where(runs.c.request_id == request_id)
        with self._begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else StoredRequest(run_id=row[0], request_digest=row[1])

    def get(self, run_id: str) -> RunState:
        query = _rows.where(runs.c.id == run_id)
        with self._begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"there is no run {run_id!r}")
        return self._state(row)

    def save(
        self,
        state: RunState,
        *,
        expected_sequence: int,
        decisions: Sequence[Decision] = (),
        checkpoints: Sequence[Checkpoint] = (),
    ) -> None:
        update = runs.update().where(runs.c.id == state.id, runs.c.version == expected_sequence)
        with self._begin() as connection:
            if connection.execute(update.values(self._columns(state))).rowcount != 1:
                raise Stale(f"run {state.id} is not at sequence {expected_sequence} any more")
            for decision in decisions:
                self._put_decision(connection, decision)
            for checkpoint in checkpoints:
                self._put_checkpoint(connection, checkpoint)
        self._keep(state)

    def delete(self, run_id: str, *, garbage_uris: Sequence[str]) -> None:
        with self._begin() as connection:
            for table in (decisions, checkpoints):
                connection.execute(table.delete().where(table.c.run_id == run_id))
            connection.execute(runs.delete().where(runs.c.id == run_id))
            for uri in garbage_uris:
                upsert(connection, garbage, {"uri": uri}, key="uri")

    def list_runs(
        self, *, limit: int, below_number: int | None = None, statuses: Sequence[RunStatus] = ()
    ) -> Page[RunState]:
        query = _rows.order_by(runs.c.number.desc())
        if below_number is not None:
            query = query.where(runs.c.number < below_number)
        if statuses:
            query = query.where(runs.c.status.in_([status.value for status in statuses]))
        with self._begin() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        more = rows[limit - 1].number if len(rows) > limit else None
        return Page(items=tuple(self._state(row) for row in rows[:limit]), next_number=more)

    def overview(self) -> Overview:
        counting = sa.select(runs.c.status, sa.func.count()).group_by(runs.c.status)
        attention = _rows.where(runs.c.attention.is_(True)).order_by(runs.c.number)
        pending = sa.select(runs.c.id, runs.c.queue_number).where(runs.c.status == RunStatus.PENDING.value)
        with self._begin() as connection:
            counts = {row[0]: row[1] for row in connection.execute(counting)}
            rows = connection.execute(attention).all()
            waiting = connection.execute(pending.order_by(runs.c.queue_number)).all()
        return Overview(
            counts={status: counts.get(status.value, 0) for status in RunStatus},
            attention=tuple(self._state(row) for row in rows),
            waiting=tuple(Waiting(run_id=row.id, queue_number=row.queue_number) for row in waiting),
        )

    def pending(self) -> tuple[RunState, ...]:
        query = _rows.where(runs.c.status == RunStatus.PENDING.value).order_by(runs.c.queue_number)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return tuple(self._state(row) for row in rows)

    def runs_based_on(self, uri_prefix: str) -> tuple[str, ...]:
        query = sa.select(runs.c.id).where(runs.c.base_uri.startswith(uri_prefix, autoescape=True))
        with self._begin() as connection:
            return tuple(row[0] for row in connection.execute(query))

    def _columns(self, state: RunState) -> dict[str, Any]:
        return {
            "version": state.sequence,
            "status": state.status.value,
            "queue_number": state.queue_number,
            "attention": needs_attention(state),
            "body": codec.dumps(state),
        }

    def _state(self, row: Any) -> RunState:
        """The state of a row; decoded once, since a version of a run never changes."""
        known = self._states.get((row.id, row.version))
        return known if known is not None else self._keep(codec.loads(RunState, row.body))

    def _keep(self, state: RunState) -> RunState:
        while len(self._states) >= KEPT_STATES:
            self._states.pop(next(iter(self._states)), None)
        self._states[(state.id, state.sequence)] = state
        return state
