"""Tokens of people, programs and worker groups, on a real database: made, used, ended, known again after a restart."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.common.errors import AlreadyExists, InvalidInput, NotFound, Unauthenticated, Unavailable
from services.common.identity.principal import Kind, Role
from services.common.identity.tokens import new_token
from services.orchestrator.application.audit import AuditEvent, AuditFilter
from services.orchestrator.application.identity import JOIN_CODE_S, WORKER_IDLE_S, IdentityService
from tests.unit.services.orchestrator.offline import Offline

PEER = "ipv4:10.0.0.9:1234"


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.identity.load()
    yield offline
    await offline.app.identity.close()
    await offline.close()


async def restarted(offline: Offline) -> IdentityService:
    """What another process finds in the database."""
    await offline.app.identity.close()
    other = IdentityService(offline.app.run_store, offline.app.identity._records, offline.app.auditor)
    await other.load()
    return other


async def made(offline: Offline, name: str = "ci", roles: tuple[str, ...] = ("operator",), lifetime_s: int = 0) -> str:
    _, secret = await offline.app.identity.create_token(name, roles, lifetime_s=lifetime_s, created_by="admin")
    return secret


async def reason(identity: IdentityService, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await identity.authenticate(token)
    assert token not in caught.value.message
    return caught.value.reason


async def test_nothing_is_known_before_it_was_read(offline: Offline) -> None:
    fresh = IdentityService(offline.app.run_store, offline.app.identity._records, offline.app.auditor)
    with pytest.raises(Unavailable):
        await fresh.authenticate("any")


async def test_a_token_lets_its_holder_in_and_its_secret_is_stored_nowhere(offline: Offline) -> None:
    secret = await made(offline, roles=("operator", "viewer"))
    found = await offline.app.identity.authenticate(secret)
    assert found is not None
    assert (found.subject, found.kind, found.roles) == ("ci", Kind.TOKEN, {Role.OPERATOR, Role.VIEWER})
    assert await offline.app.identity.authenticate(secret + "x") is None
    other = await restarted(offline)
    assert await other.authenticate(secret) == found
    assert [t.name for t in other.tokens()] == ["ci"]
    tables = sa.inspect(offline.database).get_table_names()
    with offline.database.begin() as connection:
        for table in tables:
            rows = connection.execute(sa.text(f"SELECT * FROM {table}")).all()
            assert secret.removeprefix("retain_") not in str(rows)


async def test_an_expired_and_a_revoked_token_are_told_apart_and_both_stay_out(offline: Offline) -> None:
    short, other = await made(offline, "short", lifetime_s=60), await made(offline, "other")
    offline.clock.at_s += 59
    assert await offline.app.identity.authenticate(short)
    offline.clock.at_s += 1
    assert await reason(offline.app.identity, short) == "TOKEN_EXPIRED"
    await offline.app.identity.revoke_token("other")
    assert await reason(offline.app.identity, other) == "TOKEN_REVOKED"
    assert await offline.app.identity.revoke_token("other") == await offline.app.identity.revoke_token("other")
    again = await restarted(offline)
    assert (await reason(again, short), await reason(again, other)) == ("TOKEN_EXPIRED", "TOKEN_REVOKED")
    with pytest.raises(NotFound, match="no token 'third'"):
        await offline.app.identity.revoke_token("third")


async def test_the_last_use_is_kept_to_a_minute(offline: Offline) -> None:
    secret = await made(offline)
    assert offline.app.identity.tokens()[0].last_used_s is None
    await offline.app.identity.authenticate(secret)
    first_s = offline.clock.now_s()
    offline.clock.at_s += 30
    await offline.app.identity.authenticate(secret)
    assert (await restarted(offline)).tokens()[0].last_used_s == first_s


async def test_a_name_is_given_once_also_after_its_end(offline: Offline) -> None:
    await made(offline)
    await offline.app.identity.revoke_token("ci")
    with pytest.raises(AlreadyExists, match="expected a new name"):
        await made(offline)


@pytest.mark.parametrize(
    ("name", "roles", "lifetime_s", "said"),
    [
        ("", ("viewer",), 0, "name: got ''"),
        ("Über", ("viewer",), 0, "name: got"),
        ("a\n", ("viewer",), 0, "name: got"),
        ("a" * 64, ("viewer",), 0, "name: got"),
        ("a", (), 0, "roles: got none"),
        ("a", ("viewer", "root"), 0, r"roles\[1\]: got 'root'; expected admin, operator, viewer"),
        ("a", ("worker",), 0, r"roles\[0\]: got 'worker'"),
        ("a", ("service",), 0, r"roles\[0\]: got 'service'"),
        ("a", ("viewer",), -1, "lifetime_seconds: got -1"),
        ("a", ("viewer",), 2**62, "lifetime_seconds: got 4611686018427387904"),
    ],
)
async def test_what_is_wrong_with_a_token_is_said_by_field(
    offline: Offline, name: str, roles: tuple[str, ...], lifetime_s: int, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        await made(offline, name, roles, lifetime_s)


async def test_a_code_becomes_the_token_of_its_run_and_submission(offline: Offline) -> None:
    identity, token = offline.app.identity, new_token()
    code = await identity.issue_code("a", 2)
    assert await identity.authenticate(code) is None
    await identity.join("a", 2, code, token, peer=PEER)
    await identity.join("a", 2, code, token, peer=PEER)  # its reply was lost
    found = await identity.authenticate(token)
    assert found is not None
    assert (found.kind, found.roles, found.run_id, found.submission) == (Kind.WORKER, {Role.WORKER}, "a", 2)
    assert await (await restarted(offline)).authenticate(token) == found


async def test_a_second_redemption_fences_the_first_and_is_audited(offline: Offline) -> None:
    identity, token, thief = offline.app.identity, new_token(), new_token()
    code = await identity.issue_code("a", 2)
    await identity.join("a", 2, code, token, peer=PEER)
    with pytest.raises(Unauthenticated, match="was redeemed before") as caught:
        await identity.join("a", 2, code, thief, peer=PEER)
    assert caught.value.reason == "JOIN_CODE_REDEEMED"
    assert await identity.authenticate(thief) is None
    assert await reason(identity, token) == "TOKEN_REVOKED"
    assert await (await restarted(offline)).authenticate(token) is None
    with pytest.raises(Unauthenticated):
        await identity.join("a", 2, code, token, peer=PEER)
    page = await offline.app.auditor.page(AuditFilter(resource="a"), limit=10)
    assert [(e.action, e.peer, e.before, e.after) for e in page.items][-1] == ("JoinRun", PEER, "joined", "fenced")


async def test_a_submission_that_was_repeated_has_codes_of_which_one_is_redeemed(offline: Offline) -> None:
    """The reply of the job server was lost: which of the codes the job has, nobody knows."""
    identity, token = offline.app.identity, new_token()
    first, second = await identity.issue_code("a", 1), await identity.issue_code("a", 1)
    await identity.join("a", 1, first, token, peer=PEER)
    assert await identity.authenticate(token)
    with pytest.raises(Unauthenticated, match="was redeemed before"):
        await identity.join("a", 1, second, new_token(), peer=PEER)
    assert await reason(identity, token) == "TOKEN_REVOKED"


@pytest.mark.parametrize(("run_id", "submission"), [("b", 2), ("a", 1), ("a", 3)])
async def test_a_code_of_another_run_or_submission_is_refused(offline: Offline, run_id: str, submission: int) -> None:
    code = await offline.app.identity.issue_code("a", 2)
    with pytest.raises(Unauthenticated) as caught:
        await offline.app.identity.join(run_id, submission, code, new_token(), peer=PEER)
    assert (caught.value.reason, code in caught.value.message) == ("JOIN_CODE_UNKNOWN", False)


async def test_a_code_is_good_for_minutes(offline: Offline) -> None:
    code = await offline.app.identity.issue_code("a", 2)
    offline.clock.at_s += JOIN_CODE_S
    with pytest.raises(Unauthenticated, match="has expired: it is good for 300 s"):
        await offline.app.identity.join("a", 2, code, new_token(), peer=PEER)


@pytest.mark.parametrize("token", ["", "x" * 31, "x" * 9000, "é" * 40, "x" * 40 + "\n"])
async def test_a_weak_token_of_a_worker_is_refused(offline: Offline, token: str) -> None:
    code = await offline.app.identity.issue_code("a", 2)
    with pytest.raises(InvalidInput, match="token: got"):
        await offline.app.identity.join("a", 2, code, token, peer=PEER)


async def test_a_workers_token_is_good_an_hour_from_its_last_use(offline: Offline) -> None:
    """A stage that trains for days reports all the time; a group that is gone leaves nothing of use behind."""
    identity, token = offline.app.identity, new_token()
    await identity.join("a", 2, await identity.issue_code("a", 2), token, peer=PEER)
    for _ in range(5):
        offline.clock.at_s += WORKER_IDLE_S - 1
        assert await identity.authenticate(token)
    assert await (await restarted(offline)).authenticate(token)
    offline.clock.at_s += WORKER_IDLE_S
    assert await reason(identity, token) == "TOKEN_EXPIRED"
    await identity.issue_code("a", 3)
    offline.clock.at_s += WORKER_IDLE_S
    await identity.issue_code("a", 4)
    assert await identity.authenticate(token) is None, "it is forgotten in the end"


async def test_the_audit_trail_is_listed_newest_first_and_by_who_and_what(offline: Offline) -> None:
    for number in range(5):
        await offline.app.auditor.record(
            AuditEvent(
                time_s=float(number),
                subject=f"user{number % 2}",
                kind="user",
                peer=PEER,
                action="CancelPipelineRun",
                resource=f"run{number}" + "x" * 300,
                outcome="OK",
            )
        )
    first = await offline.app.auditor.page(AuditFilter(subject="user0"), limit=2)
    assert [event.time_s for event in first.items] == [4.0, 2.0]
    rest = await offline.app.auditor.page(AuditFilter(subject="user0"), limit=2, below_number=first.next_number)
    assert ([event.time_s for event in rest.items], rest.next_number) == ([0.0], None)
    assert len(first.items[0].resource) == 255


@pytest.mark.parametrize(
    ("wanted", "times"),
    [
        (AuditFilter(), [4.0, 3.0, 2.0, 1.0, 0.0]),
        (AuditFilter(action="RetryPipelineRun"), [3.0, 1.0]),
        (AuditFilter(outcome="NOT_FOUND"), [4.0]),
        (AuditFilter(since_s=1.0, until_s=3.0), [2.0, 1.0]),
        (AuditFilter(until_s=1.0), [0.0]),
        (AuditFilter(resource="run", action="CancelPipelineRun", since_s=1.0, outcome="OK"), [2.0]),
        (AuditFilter(resource="run", subject="nobody"), []),
    ],
)
async def test_the_audit_trail_is_looked_up_by_call_outcome_and_time(
    offline: Offline, wanted: AuditFilter, times: list[float]
) -> None:
    for number in range(5):
        await offline.app.auditor.record(
            AuditEvent(
                time_s=float(number),
                subject="ada",
                kind="user",
                peer=PEER,
                action="RetryPipelineRun" if number % 2 else "CancelPipelineRun",
                resource="run",
                outcome="NOT_FOUND" if number == 4 else "OK",
            )
        )
    page = await offline.app.auditor.page(wanted, limit=10)
    assert [event.time_s for event in page.items] == times
