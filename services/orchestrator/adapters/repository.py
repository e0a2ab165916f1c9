"""`Repository` on a relational database through SQLAlchemy: runs. Their records are in adapters/records.py."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.util import LRUCache

from retain.values.faults import mismatch
from services.common.errors import AlreadyExists, Corrupt, FailedPrecondition, NotFound, Stale
from services.orchestrator.adapters import codec
from services.orchestrator.adapters.persistence import run_search
from services.orchestrator.adapters.persistence.run_metrics import MetricRecords
from services.orchestrator.adapters.records import upsert
from services.orchestrator.adapters.tables import (
    checkpoints,
    decisions,
    garbage,
    metric_points,
    run_texts,
    runs,
    shares,
)
from services.orchestrator.application.ports import (
    NewRun,
    Overview,
    Page,
    Projects,
    Repository,
    RunUnreadable,
    StoredRequest,
    StoredRun,
    UnreadableRun,
    Waiting,
)
from services.orchestrator.domain.due import needs_attention
from services.orchestrator.domain.policy.garbage import References, names_in
from services.orchestrator.domain.run.commands import RecordDecision, RecordPoint
from services.orchestrator.domain.run.references import references_of
from services.orchestrator.domain.run.state import DEFAULT_PROJECT, CheckpointState, PipelineRun, RunState
from services.orchestrator.domain.step import Step

_keys = sa.select(
    runs.c.id, runs.c.version, runs.c.status, runs.c.number, runs.c.project
)  # without bodies, which are large
_rows = _keys.add_columns(runs.c.body)
IDS_AT_ONCE = 200  # in one query
KEPT_STATES = 512  # decoded states kept at hand; a page of a list is up to 500


class SqlRepository(MetricRecords, Repository):
    """Runs as rows: the core's state as JSON, and beside it the columns that are searched."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self._states: LRUCache[tuple[str, int], StoredRun] = LRUCache(KEPT_STATES)  # shared by the database's threads

    def create(self, run: NewRun) -> StoredRun:
        state = run.state
        row = self._columns(state) | {
            "id": state.id,
            "project": state.project,
            "request_id": _request_key(run.request_id, state.project),
            "request_digest": run.request_digest,
            "base_uri": run.base_uri,
        }
        try:
            with self._begin() as connection:
                if run.base_uri is not None:
                    self._hold_base(connection, run.base_uri)
                connection.execute(runs.insert().values(row))
                run_search.keep_text(connection, state)
        except exc.IntegrityError as error:
            with self._begin() as connection:
                found = connection.execute(sa.select(runs.c.id).where(runs.c.id == state.id)).first()
            if found is None:
                raise AlreadyExists(f"the request id {run.request_id} is taken") from error
        return StoredRun(state)

    def request(self, request_id: str, *, project: str = DEFAULT_PROJECT) -> StoredRequest | None:
        query = sa.select(runs.c.id, runs.c.request_digest).where(
            runs.c.request_id == _request_key(request_id, project), runs.c.project == project
        )
        with self._begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else StoredRequest(run_id=row[0], request_digest=row[1])

    def get(self, run_id: str) -> StoredRun:
        with self._begin() as connection:
            found = self._fetch(connection, _keys.where(runs.c.id == run_id))
        if not found:
            raise NotFound(f"there is no run {run_id!r}")
        (state, _) = found[0]
        if isinstance(state, UnreadableRun):
            raise RunUnreadable(state)
        return state

    def save(self, step: Step, *, expected_sequence: int) -> StoredRun:
        state = step.run
        update = runs.update().where(runs.c.id == state.id, runs.c.version == expected_sequence)
        with self._begin() as connection:
            if connection.execute(update.values(self._columns(state))).rowcount != 1:
                raise Stale(f"run {state.id} is not at sequence {expected_sequence} any more")
            before = self._states.get((state.id, expected_sequence))
            if before is None or run_search.text_of(before) != run_search.text_of(state):
                run_search.keep_text(connection, state)
            for record in step.records:
                if isinstance(record, RecordDecision):
                    self._put_decision(connection, record.decision)
                elif isinstance(record, RecordPoint):
                    self._put_point(connection, state.id, record)
                else:
                    self._put_checkpoint(connection, replace(record.checkpoint, project=state.project))
        stored = self._keep(state)
        self._set_right("run", state.id)
        return stored

    def delete(self, run_id: str, *, expected_sequence: int, base_prefix: str, garbage_uris: Sequence[str]) -> None:
        with self._begin() as connection:
            found = connection.execute(sa.select(runs.c.version).where(runs.c.id == run_id).with_for_update()).first()
            if found is None:
                return  # deleted before, and its reply was lost
            if found.version != expected_sequence:
                raise Stale(f"run {run_id} is not at sequence {expected_sequence} any more")
            # First the rows that a new run holds while it is inserted, then a look for such runs: one of the two waits.
            connection.execute(
                sa.select(checkpoints.c.id).where(checkpoints.c.run_id == run_id).with_for_update()
            ).all()
            self._refuse_while_built_on(connection, run_id, base_prefix)
            of_run = sa.select(checkpoints.c.id).where(checkpoints.c.run_id == run_id)
            connection.execute(shares.delete().where(shares.c.checkpoint_id.in_(of_run)))
            for table in (decisions, checkpoints, metric_points, run_texts):
                connection.execute(table.delete().where(table.c.run_id == run_id))
            connection.execute(runs.delete().where(runs.c.id == run_id))
            for uri in garbage_uris:
                upsert(connection, garbage, {"uri": uri}, key="uri")
        self._set_right("run", run_id)

    def building_on(self, uri: str) -> tuple[str, ...]:
        query = sa.select(runs.c.id).where(runs.c.base_uri == uri, runs.c.status != RunState.SUCCEEDED.value)
        with self._begin() as connection:
            return tuple(row.id for row in connection.execute(query.order_by(runs.c.number)))

    def list_runs(
        self,
        *,
        limit: int,
        below_number: int | None = None,
        statuses: Sequence[RunState] = (),
        projects: Projects = None,
        words: str = "",
    ) -> Page[StoredRun | UnreadableRun]:
        query = _keys.order_by(runs.c.number.desc())
        if projects is not None:
            query = query.where(runs.c.project.in_(projects))
        if below_number is not None:
            query = query.where(runs.c.number < below_number)
        if statuses:
            query = query.where(runs.c.status.in_([status.value for status in statuses]))
        if words:
            query = query.where(run_search.having(words))
        with self._begin() as connection:
            found = self._fetch(connection, query.limit(limit + 1))
        more = found[limit - 1][1] if len(found) > limit else None
        return Page(items=tuple(state for state, _ in found[:limit]), next_number=more)

    def overview(self) -> Overview:
        counting = sa.select(runs.c.status, sa.func.count()).group_by(runs.c.status)
        attention = _keys.where(runs.c.attention.is_(True)).order_by(runs.c.number)
        pending = sa.select(runs.c.id, runs.c.queue_number).where(runs.c.status == RunState.PENDING.value)
        with self._begin() as connection:
            counts = {row[0]: row[1] for row in connection.execute(counting)}
            found = self._fetch(connection, attention)
            waiting = connection.execute(pending.order_by(runs.c.queue_number)).all()
        return Overview(
            counts={status: counts.get(status.value, 0) for status in RunState},
            attention=_readable(found),
            waiting=tuple(Waiting(run_id=row.id, queue_number=row.queue_number) for row in waiting),
            unreadable=self._set_aside_counts(),
        )

    def pending(self) -> tuple[StoredRun, ...]:
        query = _keys.where(runs.c.status == RunState.PENDING.value).order_by(runs.c.queue_number)
        with self._begin() as connection:
            return _readable(self._fetch(connection, query))

    def _columns(self, state: PipelineRun) -> dict[str, Any]:
        return {
            "version": state.sequence,
            "status": state.status.value,
            "queue_number": state.queue_number,
            "attention": needs_attention(state),
            "body": codec.dumps(state),
        }

    def run_references(
        self, *, limit: int, after_number: int = 0, only_at_work: bool = False
    ) -> tuple[References, int | None]:
        query = _rows.where(runs.c.number > after_number).order_by(runs.c.number)
        if only_at_work:
            query = query.where(runs.c.attention.is_(True))
        with self._begin() as connection:
            rows = connection.execute(query.limit(limit)).all()
        found = References(named=frozenset().union(*(names_in(row.body) for row in rows)))
        for row in rows:
            state = self._state(row)
            if isinstance(state, UnreadableRun):
                raise RunUnreadable(state)
            found = found.merged(references_of(state))
        return found, rows[-1].number if rows else None

    def _hold_base(self, connection: sa.Connection, uri: str) -> None:
        """Keep a base from being deleted until the run that names it is committed."""
        query = sa.select(checkpoints.c.status).where(checkpoints.c.uri == uri).with_for_update(read=True)
        found = [row.status for row in connection.execute(query)]
        if CheckpointState.ACCEPTED.value not in found:
            got = found[0] if found else "gone"
            raise FailedPrecondition(
                f"the checkpoint {uri}: {mismatch(got, 'an accepted or imported one as a base')}",
                reason="CHECKPOINT_GONE",
            )

    def _refuse_while_built_on(self, connection: sa.Connection, run_id: str, prefix: str) -> None:
        query = sa.select(runs.c.id, runs.c.status).where(
            runs.c.base_uri.startswith(prefix, autoescape=True), runs.c.status != RunState.SUCCEEDED.value
        )
        child = connection.execute(query.limit(1)).first()
        if child is not None:
            raise FailedPrecondition(
                f"run {child.id} ({child.status}) builds on a checkpoint of {run_id} and may still continue or be "
                "retried; its success or deletion unlocks this",
                reason="CHECKPOINT_IN_USE",
                metadata={"run_id": child.id},
            )

    def _fetch(self, connection: sa.Connection, query: sa.Select[Any]) -> list[tuple[StoredRun | UnreadableRun, int]]:
        """States of the rows of a query of keys, with their numbers; bodies are read only of what is not at hand."""
        keys = connection.execute(query).all()
        states: dict[str, StoredRun | UnreadableRun] = {}
        for key in keys:
            known = self._states.get((key.id, key.version))
            if known is not None:
                states[key.id] = known
        missing = [key.id for key in keys if key.id not in states]
        for start in range(0, len(missing), IDS_AT_ONCE):
            chosen = _rows.where(runs.c.id.in_(missing[start : start + IDS_AT_ONCE]))
            states.update({row.id: self._state(row) for row in connection.execute(chosen)})
        return [(states[key.id], key.number) for key in keys if key.id in states]  # one may be deleted in between

    def _state(self, row: Any) -> StoredRun | UnreadableRun:
        """The state of a row; decoded once, since a version of a run never changes."""
        known = self._states.get((row.id, row.version))
        if known is not None:
            return known
        try:
            return self._keep(codec.loads(PipelineRun, row.body))
        except Corrupt as error:
            self._set_aside("run", row.id, error)
            return UnreadableRun(
                id=row.id,
                sequence=row.version,
                status=RunState(row.status),
                reason=error.reason,
                why=error.message,
                project=row.project,
            )

    def _keep(self, state: PipelineRun) -> StoredRun:
        stored = self._states[(state.id, state.sequence)] = StoredRun(state)
        return stored


def _request_key(request_id: str | None, project: str) -> str | None:
    """A request id in the column in which each is unique: two projects may use the same one."""
    if request_id is None or project == DEFAULT_PROJECT:
        return request_id
    return f"{project}:{hashlib.sha256(request_id.encode()).hexdigest()}"


def _readable(found: Iterable[tuple[StoredRun | UnreadableRun, int]]) -> tuple[StoredRun, ...]:
    return tuple(state for state, _ in found if isinstance(state, PipelineRun))
