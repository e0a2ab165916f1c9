"""The rows beside a run: checkpoints, decisions, uploads, garbage."""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from retain.values import CheckpointRef, Decision, Domain, Severity, StageKind, Verdict
from retain.values.faults import mismatch
from services.common.errors import Corrupt, InvalidInput, NotFound, Unavailable, Violation
from services.common.logging import get_logger
from services.orchestrator.adapters import codec
from services.orchestrator.adapters.tables import checkpoints, decisions, facts, garbage, shares, uploads
from services.orchestrator.application.ports import EVERY, CheckpointFilter, Page, Projects, Upload
from services.orchestrator.domain.policy.garbage import References, names_in
from services.orchestrator.domain.run.state import Checkpoint, CheckpointState

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def upsert(connection: sa.Connection, table: sa.Table, values: dict[str, Any], *, key: str) -> None:
    """Insert a row or overwrite the one with the same key (columns, comma-separated): a repeated write is harmless."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    keys = key.split(",")
    rest = {name: value for name, value in values.items() if name not in keys}
    statement = insert(table).values(values)
    if rest:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=rest)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    connection.execute(statement)


class Records:
    """Half of the repository; adapters/repository.py adds the runs."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._noting = threading.Lock()  # the database's threads share what is noted
        self._unreadable: dict[tuple[str, str], str] = {}

    def list_decisions(self, run_id: str, *, limit: int, after_number: int = 0) -> Page[Decision]:
        query = (
            sa.select(decisions.c.number, decisions.c.body)
            .where(decisions.c.run_id == run_id, decisions.c.number > after_number)
            .order_by(decisions.c.number)
            .limit(limit + 1)
        )
        with self._begin() as connection:
            rows = connection.execute(query).all()
        items = tuple(self._decision(run_id, row.number, row.body) for row in rows[:limit])
        return Page(items=items, next_number=rows[limit - 1].number if len(rows) > limit else None)

    def decision(self, run_id: str, number: int) -> Decision | None:
        query = sa.select(decisions.c.body).where(decisions.c.run_id == run_id, decisions.c.number == number)
        with self._begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else self._decision(run_id, number, row.body)

    def list_checkpoints(
        self,
        *,
        limit: int,
        wanted: CheckpointFilter = EVERY,
        below_number: int | None = None,
        projects: Projects = None,
    ) -> Page[Checkpoint]:
        conditions = [] if projects is None else [_within(projects)]
        if wanted.run_id:
            conditions.append(checkpoints.c.run_id == wanted.run_id)
        if wanted.stage == "imported":
            conditions.append(checkpoints.c.run_id == "")
        elif wanted.stage:  # an id is run/stage/attempt-N/step-N, and a stage is a kind or a kind/domain
            conditions.append(checkpoints.c.id.contains(f"/{wanted.stage}/", autoescape=True))
        if wanted.statuses:
            conditions.append(checkpoints.c.status.in_([status.value for status in wanted.statuses]))
        query = sa.select(checkpoints).where(*conditions).order_by(checkpoints.c.number.desc())
        if below_number is not None:
            query = query.where(checkpoints.c.number < below_number)
        with self._begin() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
            total = connection.execute(sa.select(sa.func.count()).select_from(checkpoints).where(*conditions)).scalar()
        items = tuple(self._checkpoint(row) for row in rows[:limit])
        more = rows[limit - 1].number if len(rows) > limit else None
        return Page(items=items, next_number=more, total=total)

    def find_checkpoint(self, key: str, *, projects: Projects = None) -> Checkpoint:
        """See the port. Raises NotFound, and InvalidInput for a digest's beginning that several have."""
        conditions = [checkpoints.c.id == key, checkpoints.c.uri == key.rstrip("/")]
        if _DIGEST.fullmatch(key):
            conditions.append(checkpoints.c.manifest_sha256.startswith(key))
        query = sa.select(checkpoints.c.body, checkpoints.c.id, checkpoints.c.project).where(sa.or_(*conditions))
        if projects is not None:
            query = query.where(_within(projects))
        with self._begin() as connection:
            rows = connection.execute(query.limit(3)).all()
        if not rows:
            raise NotFound(
                f"there is no checkpoint {key!r}; expected an id, an s3:// URI, or the first 8 or more digits of the "
                "manifest's SHA-256"
            )
        if len(rows) > 1:
            said = mismatch(f"{key!r}, which fits {', '.join(row.id for row in rows)}", "one checkpoint")
            raise InvalidInput([Violation(field="checkpoint_id", description=said)])
        return replace(codec.loads(Checkpoint, rows[0].body), project=rows[0].project)

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        with self._begin() as connection:
            self._put_checkpoint(connection, checkpoint)

    def put_upload(self, upload: Upload) -> None:
        values = {
            "folder": upload.folder,
            "file_name": upload.file_name,
            "sha256": upload.sha256,
            "bytes": upload.bytes,
            "asked_s": upload.asked_s,
            "project": upload.project,
        }
        with self._begin() as connection:
            upsert(connection, uploads, values, key="folder,file_name")

    def uploads(self, folder: str) -> tuple[Upload, ...]:
        query = sa.select(uploads).where(uploads.c.folder == folder).order_by(uploads.c.file_name)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return tuple(Upload(**row._mapping) for row in rows)

    def checkpoint_references(self, *, limit: int, after_number: int = 0) -> tuple[References, int | None]:
        query = sa.select(checkpoints).where(checkpoints.c.number > after_number).order_by(checkpoints.c.number)
        with self._begin() as connection:
            rows = connection.execute(query.limit(limit)).all()
        for row in rows:
            codec.loads(Checkpoint, row.body)  # a text that is cut off may have lost what it names
        found = References(
            steps=frozenset(row.uri for row in rows),
            named=frozenset().union(*(names_in(row.body) | names_in(row.uri) for row in rows)),
        )
        return found, rows[-1].number if rows else None

    def upload_references(self, *, asked_since_s: float) -> References:
        query = sa.select(uploads.c.folder).where(uploads.c.asked_s >= asked_since_s).distinct()
        with self._begin() as connection:
            return References(named=frozenset(row.folder for row in connection.execute(query)))

    def forget_uploads(self, folder: str) -> None:
        with self._begin() as connection:
            connection.execute(uploads.delete().where(uploads.c.folder == folder))

    def fact(self, name: str, value: str) -> str:
        query = sa.select(facts.c.value).where(facts.c.name == name)
        with self._begin() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            connection.execute(insert(facts).values(name=name, value=value).on_conflict_do_nothing())
            stored: str = connection.execute(query).scalar_one()
        return stored

    def garbage(self) -> tuple[str, ...]:
        with self._begin() as connection:
            return tuple(row.uri for row in connection.execute(sa.select(garbage.c.uri)))

    def forget_garbage(self, uri: str) -> None:
        with self._begin() as connection:
            connection.execute(garbage.delete().where(garbage.c.uri == uri))

    def _decision(self, run_id: str, number: int, body: str) -> Decision:
        """A decision; one that cannot be read is shown as that, so that it hides none of the others."""
        try:
            return codec.loads(Decision, body)
        except Corrupt as error:
            self._set_aside("decision", f"{run_id}/{number}", error)
            return Decision(
                run_id=run_id, number=number, stage="", attempt=0, boundary=0, step=0, verdict=Verdict.UNSPECIFIED,
                severity=Severity.UNSPECIFIED, message=error.message, actor="gate", lr_scale=1.0,
            )  # fmt: skip

    def _checkpoint(self, row: Any) -> Checkpoint:
        """A checkpoint for a list, as far as it can be read: what a row says beside its body stays true."""
        try:
            return replace(codec.loads(Checkpoint, row.body), project=row.project)
        except Corrupt as error:
            self._set_aside("checkpoint", row.id, error)
            ref = CheckpointRef(uri=row.uri, manifest_sha256=row.manifest_sha256, weights_digest="")
            return Checkpoint(
                id=row.id, run_id=row.run_id, stage_index=0, stage="", kind=StageKind.UNSPECIFIED,
                domain=Domain.UNSPECIFIED, attempt=0, boundary=0, ref=ref, parent="",
                status=_status_of(row.status), created_s=row.created_s, project=row.project,
            )  # fmt: skip

    def _set_aside(self, kind: str, name: str, error: Corrupt) -> None:
        """Remember what cannot be read, and say so once."""
        with self._noting:
            new = (kind, name) not in self._unreadable
            self._unreadable[(kind, name)] = error.message
        if new:
            get_logger().error("a stored record is set aside", kind=kind, record=name, error=error.message)

    def _set_right(self, kind: str, name: str) -> None:
        """A record was written anew or deleted."""
        with self._noting:
            self._unreadable.pop((kind, name), None)

    def _set_aside_counts(self) -> Mapping[str, int]:
        with self._noting:
            return Counter(kind for kind, _ in self._unreadable)

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        """A transaction; a server that went away is Unavailable, whether or not it had committed."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise Unavailable(f"the database does not answer: {error}", reason="DATABASE_UNAVAILABLE") from error

    def _put_decision(self, connection: sa.Connection, decision: Decision) -> None:
        row = {"run_id": decision.run_id, "number": decision.number, "body": codec.dumps(decision)}
        upsert(connection, decisions, row, key="run_id,number")

    def _put_checkpoint(self, connection: sa.Connection, checkpoint: Checkpoint) -> None:
        row = {
            "id": checkpoint.id,
            "run_id": checkpoint.run_id,
            "uri": checkpoint.ref.uri,
            "manifest_sha256": checkpoint.ref.manifest_sha256,
            "status": checkpoint.status.value,
            "created_s": checkpoint.created_s,
            "project": checkpoint.project,
            "bytes": checkpoint.bytes,
            "body": codec.dumps(checkpoint),
        }
        upsert(connection, checkpoints, row, key="id")


def _within(projects: frozenset[str]) -> sa.ColumnElement[bool]:
    """Checkpoints of these projects, and those that are shared with one of them."""
    shared = sa.select(shares.c.checkpoint_id).where(shares.c.project.in_(projects))
    return sa.or_(checkpoints.c.project.in_(projects), checkpoints.c.id.in_(shared))


def _status_of(name: str) -> CheckpointState:
    """The status that a row names; void, which nothing resumes from, for one that nobody knows here."""
    return CheckpointState(name) if name in CheckpointState.__members__ else CheckpointState.VOID
