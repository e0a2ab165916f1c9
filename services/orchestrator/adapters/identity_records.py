"""Tokens and the audit trail as rows."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.errors import AlreadyExists
from services.common.identity.principal import Role
from services.orchestrator.adapters.records import Records, upsert
from services.orchestrator.adapters.tables import api_tokens, audit_events, worker_tokens
from services.orchestrator.application.audit import LONGEST, AuditEvent, AuditFilter, AuditRecords
from services.orchestrator.application.identity import ApiToken, IdentityRecords, WorkerToken
from services.orchestrator.application.ports import Page


class SqlIdentity(Records, IdentityRecords, AuditRecords):
    """On the engine of the repository."""

    def api_tokens(self) -> tuple[ApiToken, ...]:
        with self._begin() as connection:
            rows = connection.execute(sa.select(api_tokens).order_by(api_tokens.c.number)).all()
        return tuple(_api_token(row) for row in rows)

    def add_api_token(self, token: ApiToken) -> None:
        values = {
            "name": token.name,
            "digest": token.digest,
            "roles": ",".join(token.roles),
            "created_by": token.created_by[:LONGEST],
            "created_s": token.created_s,
            "expires_s": token.expires_s,
            "projects": ",".join(token.projects),
        }
        try:
            with self._begin() as connection:
                connection.execute(api_tokens.insert().values(values))
        except exc.IntegrityError as error:
            with self._begin() as connection:
                query = sa.select(api_tokens.c.digest).where(api_tokens.c.name == token.name)
                stored = connection.execute(query).scalar_one_or_none()
            if stored != token.digest:  # else the first try had succeeded, and its reply was lost
                raise AlreadyExists(f"the token name {token.name} is taken", reason="TOKEN_NAME_TAKEN") from error

    def update_api_token(self, token: ApiToken) -> None:
        changed = {"last_used_s": token.last_used_s}
        if token.revoked_s is not None:
            changed["revoked_s"] = token.revoked_s
        with self._begin() as connection:
            connection.execute(api_tokens.update().where(api_tokens.c.name == token.name).values(changed))

    def worker_tokens(self, *, used_since_s: float) -> tuple[WorkerToken, ...]:
        query = sa.select(worker_tokens).where(
            worker_tokens.c.digest.is_not(None), worker_tokens.c.used_s >= used_since_s
        )
        return self._worker_tokens(query.where(worker_tokens.c.revoked_s.is_(None)))

    def codes_of(self, run_id: str, submission: int) -> tuple[WorkerToken, ...]:
        return self._worker_tokens(
            sa.select(worker_tokens).where(worker_tokens.c.run_id == run_id, worker_tokens.c.submission == submission)
        )

    def _worker_tokens(self, query: sa.Select[Any]) -> tuple[WorkerToken, ...]:
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return tuple(WorkerToken(**row._mapping) for row in rows)

    def put_worker_token(self, token: WorkerToken) -> None:
        with self._begin() as connection:
            upsert(connection, worker_tokens, dict(vars(token)), key="code_digest")

    def forget_worker_tokens(self, *, before_s: float) -> None:
        unused = worker_tokens.c.used_s.is_(None) | (worker_tokens.c.used_s < before_s)
        with self._begin() as connection:
            connection.execute(worker_tokens.delete().where(worker_tokens.c.code_expires_s < before_s, unused))

    def append_audit(self, event: AuditEvent) -> None:
        values = {
            name: value[:LONGEST] if isinstance(value, str) else value
            for name, value in vars(event).items()
            if name != "number"
        }
        with self._begin() as connection:
            connection.execute(audit_events.insert().values(values))

    def list_audit(self, wanted: AuditFilter, *, limit: int, below_number: int | None) -> Page[AuditEvent]:
        columns, query = audit_events.c, sa.select(audit_events).order_by(audit_events.c.number.desc())
        for name in ("subject", "resource", "action", "outcome"):
            if text := getattr(wanted, name):
                query = query.where(columns[name] == text)
        if wanted.since_s is not None:
            query = query.where(columns.time_s >= wanted.since_s)
        if wanted.until_s is not None:
            query = query.where(columns.time_s < wanted.until_s)
        if below_number is not None:
            query = query.where(audit_events.c.number < below_number)
        with self._begin() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        items = tuple(AuditEvent(**row._mapping) for row in rows[:limit])
        return Page(items=items, next_number=rows[limit - 1].number if len(rows) > limit else None)


def _api_token(row: Any) -> ApiToken:
    return ApiToken(
        name=row.name,
        digest=row.digest,
        roles=tuple(Role(role) for role in row.roles.split(",")),
        created_by=row.created_by,
        created_s=row.created_s,
        expires_s=row.expires_s,
        last_used_s=row.last_used_s,
        revoked_s=row.revoked_s,
        projects=tuple(row.projects.split(",")),
    )
