"""Whose tokens are good: API tokens of people and programs, and the tokens of worker groups.

The orchestrator that leads keeps all of them in memory, as digests, so that a call costs a look-up and no query. What
changes is in the database first.

A worker group gets a code with its job, good once and for minutes, and redeems it with a token of its own making. From
then on that token is good for its run and submission, an hour from its last use: a stage may last for days, and a group
that is restarted within the hour continues with it. A second redemption, with another token, means that somebody else
read the code: nobody knows which of the two is the job, so the token is revoked, the group ends, and the run continues
with a new submission.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from retain.values.faults import mismatch
from services.common.errors import (
    AlreadyExists,
    InvalidInput,
    NotFound,
    RetainError,
    Unauthenticated,
    Unavailable,
    Violation,
)
from services.common.identity.principal import DEFAULT_PROJECT, GRANTABLE, Kind, Principal, Role
from services.common.identity.tokens import LONGEST_TOKEN, SHORTEST_TOKEN, Authenticator, digest_of, new_token
from services.common.logging import get_logger
from services.orchestrator.application.audit import AuditEvent, Auditor
from services.orchestrator.application.run_store import RunStore

JOIN_CODE_S = 300.0
WORKER_IDLE_S = 3600.0
KEPT_S = 2 * WORKER_IDLE_S  # so that a token that was good is told to have expired
WORKER_SAVED_EVERY_S = 300.0  # how far the stored time of the last use may lag behind
TOKEN_SAVED_EVERY_S = 60.0
DEFAULT_LIFETIME_S, LONGEST_LIFETIME_S = 90 * 86_400, 366 * 86_400
MOST_TOKENS = 10_000  # all are in memory
MOST_PROJECTS = 100  # of one token
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ApiToken:
    """A token of a person or a program. Times are Unix seconds; the secret itself is kept nowhere."""

    name: str
    digest: str
    roles: tuple[Role, ...]
    created_by: str
    created_s: float
    expires_s: float
    last_used_s: float | None = None
    revoked_s: float | None = None
    projects: tuple[str, ...] = (DEFAULT_PROJECT,)


@dataclass(frozen=True, kw_only=True)
class WorkerToken:
    """A code that a job was started with and, once it was redeemed, the token of its group."""

    code_digest: str
    run_id: str
    submission: int
    code_expires_s: float
    digest: str | None = None
    used_s: float | None = None
    revoked_s: float | None = None


class IdentityRecords(Protocol):
    """Where tokens are kept. All methods block, may be repeated, and raise Unavailable."""

    def api_tokens(self) -> tuple[ApiToken, ...]:
        """All that were ever made, oldest first."""
        ...

    def add_api_token(self, token: ApiToken) -> None:
        """Raises AlreadyExists when the name is taken by another."""
        ...

    def update_api_token(self, token: ApiToken) -> None:
        """Its last use and its end."""
        ...

    def worker_tokens(self, *, used_since_s: float) -> tuple[WorkerToken, ...]:
        """Those that were redeemed and used since then, and are not revoked."""
        ...

    def codes_of(self, run_id: str, submission: int) -> tuple[WorkerToken, ...]:
        """Every code of a submission, redeemed or not."""
        ...

    def put_worker_token(self, token: WorkerToken) -> None:
        """Add or replace by the code's digest."""
        ...

    def forget_worker_tokens(self, *, before_s: float) -> None:
        """Remove what expired and was last used before then."""
        ...


class IdentityService(Authenticator):
    """Makes, checks and ends tokens. Nothing is known before `load`."""

    def __init__(
        self, run_store: RunStore, records: IdentityRecords, auditor: Auditor, *, join_code_s: float = JOIN_CODE_S
    ) -> None:
        self._run_store, self._records, self._auditor = run_store, records, auditor
        self._api: dict[str, ApiToken] = {}
        self._workers: dict[str, WorkerToken] = {}
        self._join_code_s = join_code_s
        self._loaded = False
        self._changing = asyncio.Lock()
        self._saving: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Read all tokens. Raises Unavailable."""
        now_s = self._run_store.clock.now_s()
        await self._run_store.read(self._records.forget_worker_tokens, before_s=now_s - KEPT_S)
        tokens = await self._run_store.read(self._records.api_tokens)
        workers = await self._run_store.read(self._records.worker_tokens, used_since_s=now_s - KEPT_S)
        self._api = {token.digest: token for token in tokens}
        self._workers = {token.digest: token for token in workers if token.digest}
        self._loaded = True

    async def authenticate(self, token: str) -> Principal | None:
        """See Authenticator. A token that ended is told apart from one that never was: its holder knows what to do.
        Raises Unauthenticated, and Unavailable before `load`."""
        if not self._loaded:
            raise Unavailable("this orchestrator waits: another one leads, or it is still starting", reason="STANDBY")
        digest = digest_of(token)
        if (api := self._api.get(digest)) is not None:
            return self._of_api_token(api)
        if (worker := self._workers.get(digest)) is not None:
            return self._of_worker(worker)
        return None

    def _of_api_token(self, token: ApiToken) -> Principal:
        now_s = self._run_store.clock.now_s()
        if token.revoked_s is not None:
            raise Unauthenticated(f"the token {token.name} was revoked", reason="TOKEN_REVOKED")
        if now_s >= token.expires_s:
            raise Unauthenticated(f"the token {token.name} has expired", reason="TOKEN_EXPIRED")
        if now_s - (token.last_used_s or 0.0) >= TOKEN_SAVED_EVERY_S:
            used = replace(token, last_used_s=now_s)
            self._api[token.digest] = used
            self._save(lambda: self._records.update_api_token(used))
        return Principal(
            subject=token.name, kind=Kind.TOKEN, roles=frozenset(token.roles), projects=frozenset(token.projects)
        )

    def _of_worker(self, token: WorkerToken) -> Principal:
        now_s = self._run_store.clock.now_s()
        used_s = token.used_s or 0.0
        if token.revoked_s is not None:
            raise Unauthenticated("the token of this worker group was revoked", reason="TOKEN_REVOKED")
        if now_s - used_s >= WORKER_IDLE_S:
            raise Unauthenticated("the token of this worker group was not used for an hour", reason="TOKEN_EXPIRED")
        if now_s - used_s >= WORKER_SAVED_EVERY_S:
            used = replace(token, used_s=now_s)
            self._workers[str(token.digest)] = used
            self._save(lambda: self._records.put_worker_token(used))
        return Principal(
            subject=f"worker of {token.run_id}, submission {token.submission}",
            kind=Kind.WORKER,
            roles=frozenset({Role.WORKER}),
            projects=frozenset(),
            run_id=token.run_id,
            submission=token.submission,
        )

    def _save(self, write: Callable[[], None]) -> None:
        """Write the time of a use beside the call; one that is lost is written with a later use."""

        async def saved() -> None:
            try:
                await self._run_store.read(write)
            except RetainError as error:
                log.warning("the last use of a token was not written", reason=error.reason, message=error.message)

        task = asyncio.get_running_loop().create_task(saved())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._saving, return_exceptions=True)

    # --- API tokens

    async def create_token(
        self, name: str, roles: tuple[str, ...], *, lifetime_s: int, created_by: str, projects: tuple[str, ...] = ()
    ) -> tuple[ApiToken, str]:
        """A new token and its secret, which is kept nowhere. Raises InvalidInput or AlreadyExists."""
        _check_token(name, roles, lifetime_s, projects)
        secret, now_s = f"retain_{new_token()}", self._run_store.clock.now_s()
        token = ApiToken(
            name=name,
            digest=digest_of(secret),
            roles=tuple(sorted({Role(role) for role in roles})),
            created_by=created_by,
            created_s=now_s,
            expires_s=now_s + (lifetime_s or DEFAULT_LIFETIME_S),
            projects=tuple(sorted(set(projects))) or (DEFAULT_PROJECT,),
        )
        async with self._changing:
            if any(known.name == name for known in self._api.values()):
                raise AlreadyExists(
                    f"there is or was a token {name}; expected a new name, so that the audit trail stays unambiguous",
                    reason="TOKEN_NAME_TAKEN",
                )
            if len(self._api) >= MOST_TOKENS:
                said = mismatch(f"{len(self._api):,} tokens", f"up to {MOST_TOKENS:,}")
                raise InvalidInput([Violation(field="name", description=said)])
            await self._run_store.read(self._records.add_api_token, token)
            self._api[token.digest] = token
        return token, secret

    def tokens(self) -> list[ApiToken]:
        """All of them, oldest first."""
        return sorted(self._api.values(), key=lambda token: (token.created_s, token.name))

    async def revoke_token(self, name: str) -> ApiToken:
        """From the return on nobody is let in with it. Raises NotFound."""
        async with self._changing:
            found = next((token for token in self._api.values() if token.name == name), None)
            if found is None:
                raise NotFound(f"there is no token {name[:100]!r}; `retain tokens list` shows them")
            if found.revoked_s is not None:
                return found
            revoked = replace(found, revoked_s=self._run_store.clock.now_s())
            # Refused from here on, also when the write is lost and made again by the caller.
            self._api[found.digest] = revoked
            try:
                await self._run_store.read(self._records.update_api_token, revoked)
            except RetainError:
                self._api[found.digest] = found
                raise
        return revoked

    # --- workers

    async def issue_code(self, run_id: str, submission: int) -> str:
        """A code for a job that is about to be started. A submission that is repeated gets another code: whichever
        reached the job server is good."""
        code, now_s = secrets.token_urlsafe(32), self._run_store.clock.now_s()
        self._workers = {key: held for key, held in self._workers.items() if now_s - (held.used_s or 0.0) < KEPT_S}
        token = WorkerToken(
            code_digest=digest_of(code),
            run_id=run_id,
            submission=submission,
            code_expires_s=now_s + self._join_code_s,
        )
        await self._run_store.read(self._records.put_worker_token, token)
        return code

    async def join(self, run_id: str, submission: int, code: str, token: str, *, peer: str) -> None:
        """Redeem a code. The same again changes nothing. Raises InvalidInput or Unauthenticated."""
        if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isascii() or not token.isprintable():
            said = mismatch(f"{len(token)} characters", f"{SHORTEST_TOKEN} to {LONGEST_TOKEN}, all of them ASCII")
            raise InvalidInput([Violation(field="token", description=said)])
        digest, now_s = digest_of(token), self._run_store.clock.now_s()
        async with self._changing:
            codes = await self._run_store.read(self._records.codes_of, run_id, submission)
            found = next((known for known in codes if known.code_digest == digest_of(code)), None)
            if found is None:
                raise Unauthenticated("this join code is none of this run and submission", reason="JOIN_CODE_UNKNOWN")
            redeemed = [known for known in codes if known.digest is not None]
            if any(known.digest == digest and known.revoked_s is None for known in redeemed):
                return
            if redeemed:
                await self._fence(redeemed, peer=peer)
            if now_s >= found.code_expires_s:
                raise Unauthenticated(
                    f"this join code has expired: it is good for {self._join_code_s:g} s from the job's submission",
                    reason="JOIN_CODE_EXPIRED",
                )
            joined = replace(found, digest=digest, used_s=now_s)
            await self._run_store.read(self._records.put_worker_token, joined)
            self._workers[digest] = joined

    async def _fence(self, redeemed: list[WorkerToken], *, peer: str) -> None:
        """Somebody else joined already: end both. Raises Unauthenticated."""
        now_s = self._run_store.clock.now_s()
        for token in redeemed:
            revoked = replace(token, revoked_s=token.revoked_s or now_s)
            self._workers[str(token.digest)] = revoked
            await self._run_store.read(self._records.put_worker_token, revoked)
        first = redeemed[0]
        await self._auditor.record(
            AuditEvent(
                time_s=now_s,
                subject=f"worker of {first.run_id}, submission {first.submission}",
                kind=Kind.WORKER.value,
                peer=peer,
                action="JoinRun",
                resource=first.run_id,
                outcome="UNAUTHENTICATED",
                before="joined",
                after="fenced",
            )
        )
        raise Unauthenticated(
            f"the join code of submission {first.submission} of run {first.run_id} was redeemed before; its token is "
            "revoked, and the run continues with a new worker group",
            reason="JOIN_CODE_REDEEMED",
        )


def _check_token(name: str, roles: tuple[str, ...], lifetime_s: int, projects: tuple[str, ...]) -> None:
    faults = []
    if not _NAME.fullmatch(name):
        said = mismatch(repr(name[:100]), "1 to 63 lower-case letters, digits and hyphens inside")
        faults.append(Violation(field="name", description=said))
    known = ", ".join(sorted(GRANTABLE))
    if not roles:
        faults.append(Violation(field="roles", description=mismatch("none", f"at least one of {known}")))
    faults += [
        Violation(field=f"roles[{number}]", description=mismatch(repr(role[:100]), known))
        for number, role in enumerate(roles[:20])
        if role not in GRANTABLE
    ]
    if not 0 <= lifetime_s <= LONGEST_LIFETIME_S:
        said = mismatch(lifetime_s, f"0 (90 days) to {LONGEST_LIFETIME_S} (366 days)")
        faults.append(Violation(field="lifetime_seconds", description=said))
    if projects and Role.ADMIN in roles:
        said = mismatch(f"{', '.join(projects)[:100]} with the role admin, which may use all", "none")
        faults.append(Violation(field="projects", description=said))
    if len(projects) > MOST_PROJECTS:
        said = mismatch(f"{len(projects)} projects", f"up to {MOST_PROJECTS}")
        faults.append(Violation(field="projects", description=said))
    if faults:
        raise InvalidInput(faults)
