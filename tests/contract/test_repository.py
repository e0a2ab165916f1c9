"""One suite for the orchestrator's repository, on SQLite and on a real PostgreSQL server."""

import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from retain.values import CheckpointRef, Decision, Domain, Severity, StageKind, Verdict
from services.common.errors import (
    AlreadyExists,
    Corrupt,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Stale,
    Unavailable,
)
from services.orchestrator.adapters.database import connect, executor
from services.orchestrator.adapters.persistence.projects import SqlProjects
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.application.ports import (
    CheckpointFilter,
    NewRun,
    RunUnreadable,
    UnreadableRun,
    Upload,
    Waiting,
)
from services.orchestrator.application.projects.project import Project
from services.orchestrator.domain.metrics.points import Point
from services.orchestrator.domain.run.commands import RecordCheckpoint, RecordDecision, RecordPoint
from services.orchestrator.domain.run.state import Checkpoint, CheckpointState, Job, PipelineRun, RunState
from services.orchestrator.domain.step import Step
from tests.contract.postgres import fresh_database, server
from tests.scenarios.scenario_runner import run


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'retain.db'}"
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"), "suite")
    engine = connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def repository(engine: sa.Engine) -> SqlRepository:
    return SqlRepository(engine)


def state(number: int, **changes: object) -> PipelineRun:
    return replace(run(), id=f"run-{number}", queue_number=number, sequence=1, **changes)  # type: ignore[arg-type]


def new(number: int, request_id: str | None = None, **changes: object) -> NewRun:
    return NewRun(state=state(number, **changes), request_id=request_id, request_digest="d")


def checkpoint(run_id: str, step: int) -> Checkpoint:
    name = f"{run_id}/pretrain/attempt-1/step-{step:09d}"
    ref = CheckpointRef(uri=f"s3://retain/runs/{name}", manifest_sha256=f"{step:08x}" + "a" * 56, weights_digest="w")
    return Checkpoint(
        id=name, run_id=run_id, stage_index=0, stage="pretrain", kind=StageKind.PRETRAIN, domain=Domain.UNSPECIFIED,
        attempt=1, boundary=step, ref=ref, parent="",
    )  # fmt: skip


def decision(run_id: str, number: int) -> Decision:
    return Decision(
        run_id=run_id, number=number, stage="pretrain", attempt=1, boundary=number, step=number,
        verdict=Verdict.ADJUST, severity=Severity.ACTION, shares={"general": 0.2}, message="über 10 %",
    )  # fmt: skip


def made(run: PipelineRun, *, decisions: Sequence[Decision] = (), checkpoints: Sequence[Checkpoint] = ()) -> Step:
    """What an event makes of a run, as far as the database holds it."""
    rows = (RecordDecision(decision=d) for d in decisions), (RecordCheckpoint(checkpoint=c) for c in checkpoints)
    return Step(run=run, records=(*rows[0], *rows[1]))


def test_what_is_saved_is_read_back_also_by_another_process(repository: SqlRepository, engine: sa.Engine) -> None:
    repository.create(new(1))
    after = replace(state(1), sequence=2, status=RunState.RUNNING, jobs=(Job(submission=1),))
    both = made(after, decisions=[decision("run-1", 1)], checkpoints=[checkpoint("run-1", 10)])
    assert repository.save(both, expected_sequence=1) == after
    other = SqlRepository(engine)
    assert other.get("run-1") == after
    assert other.list_decisions("run-1", limit=9).items == (decision("run-1", 1),)
    assert other.list_checkpoints(limit=9).items == (checkpoint("run-1", 10),)
    with pytest.raises(NotFound):
        other.get("run-2")


def test_of_two_writers_with_one_sequence_one_wins_and_leaves_no_half_of_the_other(repository: SqlRepository) -> None:
    repository.create(new(1))
    repository.save(made(replace(state(1), sequence=2, message="first")), expected_sequence=1)
    with pytest.raises(Stale):
        repository.save(
            made(replace(state(1), sequence=2, message="second"), decisions=[decision("run-1", 1)]),
            expected_sequence=1,
        )
    assert repository.get("run-1").message == "first"
    assert repository.list_decisions("run-1", limit=9).items == ()


def test_a_request_id_is_taken_once(repository: SqlRepository) -> None:
    repository.create(new(1, "req"))
    assert repository.create(new(1, "req")) == state(1), "the same run again: its reply was lost"
    with pytest.raises(AlreadyExists):
        repository.create(new(2, "req"))
    stored = repository.request("req")
    assert stored is not None
    assert (stored.run_id, stored.request_digest) == ("run-1", "d")
    assert repository.request("other") is None
    repository.create(new(3))
    repository.create(new(4))


def test_lists_are_newest_first_and_continue_where_they_ended(repository: SqlRepository) -> None:
    for number in range(1, 8):
        repository.create(new(number, status=RunState.FAILED if number % 2 else RunState.PENDING))
    first = repository.list_runs(limit=3)
    assert [s.id for s in first.items] == ["run-7", "run-6", "run-5"]
    second = repository.list_runs(limit=3, below_number=first.next_number)
    last = repository.list_runs(limit=3, below_number=second.next_number)
    assert [s.id for s in (*second.items, *last.items)] == ["run-4", "run-3", "run-2", "run-1"]
    assert last.next_number is None
    failed = repository.list_runs(limit=10, statuses=[RunState.FAILED])
    assert [s.id for s in failed.items] == ["run-7", "run-5", "run-3", "run-1"]
    assert [s.id for s in repository.pending()] == ["run-2", "run-4", "run-6"]
    counts = repository.overview().counts
    assert (counts[RunState.FAILED], counts[RunState.PENDING], counts[RunState.SUCCEEDED]) == (4, 3, 0)


def test_runs_are_found_by_words_of_their_id_name_and_labels(repository: SqlRepository) -> None:
    named = {
        1: ("Code model", {"owner": "Ada", "sweep": "lr"}),
        2: ("100% of it", {"owner": "adam"}),
        3: ("under_score", {"note": "a b  c"}),
        4: ("code/underXscore", {}),
        5: ("ÄPFEL", {"o'k": "x\\y"}),
    }
    for number, (name, labels) in named.items():
        made = state(number)
        named_so = replace(made, spec=replace(made.spec, name=name, labels=labels))
        repository.create(replace(new(number), state=named_so))

    def found(words: str, **how: Any) -> list[int]:
        return [int(run.id.removeprefix("run-")) for run in repository.list_runs(limit=9, words=words, **how).items]

    assert found("") == found("run-") == [5, 4, 3, 2, 1]
    assert found("CODE") == [4, 1]
    assert found("code model") == found("model lr") == [1]
    assert (found("owner=ada"), found("OWNER=ADA"), found("ada")) == ([1], [1], [2, 1])
    assert (found("%"), found("_"), found("0% of"), found("under_score")) == ([2], [3], [2], [3])
    assert (found("äpfel"), found("o'k"), found("x\\y"), found("';--"), found("/")) == ([5], [5], [5], [], [4])
    assert found("a b c") == [3]
    first = repository.list_runs(limit=1, words="code")
    assert found("code", below_number=first.next_number) == [1]
    assert found("code", statuses=[RunState.FAILED]) == []
    assert found("code", projects=frozenset({"others"})) == []
    now = repository.get("run-4")
    labelled = replace(now, sequence=now.sequence + 1, spec=replace(now.spec, labels={"owner": "ada"}))
    repository.save(Step(run=labelled), expected_sequence=now.sequence)
    assert found("owner=ada") == [4, 1], "as it is called now"
    repository.delete("run-1", expected_sequence=1, base_prefix="s3://retain/runs/run-1/", garbage_uris=[])
    assert found("owner=ada") == [4]


def test_the_loop_finds_what_needs_attention(repository: SqlRepository) -> None:
    repository.create(new(1))
    repository.create(new(2, status=RunState.RUNNING))
    repository.create(new(3, status=RunState.CANCELLED, jobs=(Job(submission=1, stop_after_s=1.0),)))
    overview = repository.overview()
    assert {s.id for s in overview.attention} == {"run-2", "run-3"}
    assert overview.waiting == (Waiting(run_id="run-1", queue_number=1),)


def test_decisions_come_in_pages_oldest_first(repository: SqlRepository) -> None:
    repository.create(new(1))
    repository.save(
        made(replace(state(1), sequence=2), decisions=[decision("run-1", n) for n in (1, 2, 3)]), expected_sequence=1
    )
    page = repository.list_decisions("run-1", limit=2)
    assert ([d.number for d in page.items], page.next_number) == ([1, 2], 2)
    rest = repository.list_decisions("run-1", limit=2, after_number=2)
    assert ([d.number for d in rest.items], rest.next_number) == ([3], None)
    assert repository.decision("run-1", 2) == decision("run-1", 2)
    assert repository.decision("run-1", 9) is None


def test_figures_are_kept_with_their_run_and_go_with_it(repository: SqlRepository) -> None:
    def report(attempt: int, step: int, loss: float) -> RecordPoint:
        values = {"train_loss_nats": loss, "share/general": 0.1}
        at = Point(attempt=attempt, step=step, tokens=step * 2**40, time_s=float(step), values=values)
        return RecordPoint(stage_index=0, bucket=step // 10, point=at)

    repository.create(new(1))
    repository.create(new(2))
    measured = Point(attempt=1, step=9, tokens=9, time_s=9.5, values={"perplexity/general": math.inf})
    records = (
        report(1, 1, 3.0), report(1, 2, 5.0), report(1, 3, 4.0), report(1, 4, 2.0), report(1, 11, 2.5),
        RecordPoint(stage_index=0, bucket=0, point=measured, of_boundary=True),
        replace(report(1, 1, 9.0), stage_index=1),
    )  # fmt: skip
    first = Step(run=replace(state(1), sequence=2), records=records)
    repository.save(first, expected_sequence=1)
    found = repository.list_points("run-1")
    assert [(index, p.step) for index, p in found] == [(0, 2), (0, 4), (0, 9), (0, 11), (1, 1)], "the extremes stay"
    assert [p for _, p in found][1] == records[3].point
    assert found[2][1].values == {"perplexity/general": math.inf}
    again = Step(run=replace(state(1), sequence=3), records=(report(2, 5, 3.5),))
    repository.save(again, expected_sequence=2)
    assert [(p.attempt, p.step) for index, p in repository.list_points("run-1") if index == 0] == [
        (2, 5), (1, 9), (1, 11),
    ]  # fmt: skip
    with pytest.raises(Stale):
        repository.save(Step(run=replace(state(1), sequence=3), records=(report(1, 50, 1.0),)), expected_sequence=1)
    assert len(repository.list_points("run-1")) == 4, "all of a step or nothing"
    repository.delete("run-1", expected_sequence=3, base_prefix="s3://retain/runs/run-1/", garbage_uris=[])
    assert repository.list_points("run-1") == ()


def test_a_checkpoint_is_found_by_id_uri_or_the_first_digits_of_its_manifest(repository: SqlRepository) -> None:
    one, two = checkpoint("run-1", 0x12345678), checkpoint("run-1", 0x12345679)
    for c in (one, two, one):
        repository.put_checkpoint(c)
    assert repository.find_checkpoint(one.id) == one
    assert repository.find_checkpoint(two.ref.uri + "/") == two
    assert repository.find_checkpoint("12345678") == one
    repository.put_checkpoint(replace(one, status=CheckpointState.PRUNED))
    assert repository.find_checkpoint("12345678").status is CheckpointState.PRUNED
    with pytest.raises(NotFound):
        repository.find_checkpoint("1234567")
    repository.put_checkpoint(replace(two, id="copy", ref=replace(two.ref, uri="s3://x/y")))
    with pytest.raises(InvalidInput, match="copy"):
        repository.find_checkpoint("12345679")
    page = repository.list_checkpoints(wanted=CheckpointFilter(run_id="run-1"), limit=2)
    assert [c.id for c in page.items] == ["copy", two.id]


def test_checkpoints_are_chosen_by_stage_and_state_and_counted(repository: SqlRepository) -> None:
    base, coded = checkpoint("run-1", 1), checkpoint("run-1", 2)
    coded = replace(coded, id=coded.id.replace("pretrain", "midtrain/code"), status=CheckpointState.ACCEPTED)
    maths = replace(checkpoint("run-2", 3), id="run-2/midtrain/math/attempt-1/step-000000003")
    brought = replace(checkpoint("", 4), id="imported/abc", run_id="", status=CheckpointState.ACCEPTED)
    for one in (base, coded, maths, brought):
        repository.put_checkpoint(one)

    def found(limit: int = 9, **fields: Any) -> tuple[list[str], int | None]:
        page = repository.list_checkpoints(limit=limit, wanted=CheckpointFilter(**fields))
        return [one.id for one in page.items], page.total

    assert found() == ([brought.id, maths.id, coded.id, base.id], 4)
    assert found(stage="midtrain") == ([maths.id, coded.id], 2)
    assert found(stage="midtrain", limit=1) == ([maths.id], 2)
    assert found(stage="midtrain/code") == ([coded.id], 1)
    assert found(stage="imported") == ([brought.id], 1)
    assert found(stage="train") == ([], 0)
    assert found(statuses=(CheckpointState.ACCEPTED,)) == ([brought.id, coded.id], 2)
    assert found(run_id="run-1", statuses=(CheckpointState.LIVE,)) == ([base.id], 1)


def delete(repository: SqlRepository, run_id: str, sequence: int = 1, uris: tuple[str, ...] = ()) -> None:
    repository.delete(run_id, expected_sequence=sequence, base_prefix=f"s3://retain/runs/{run_id}/", garbage_uris=uris)


def test_a_deleted_run_leaves_nothing_but_garbage_to_collect(repository: SqlRepository) -> None:
    repository.create(new(1, "req"))
    both = made(replace(state(1), sequence=2), decisions=[decision("run-1", 1)], checkpoints=[checkpoint("run-1", 1)])
    repository.save(both, expected_sequence=1)
    with pytest.raises(Stale):
        delete(repository, "run-1", sequence=1)
    for _ in range(2):
        delete(repository, "run-1", sequence=2, uris=("s3://retain/runs/run-1",))
    assert repository.garbage() == ("s3://retain/runs/run-1",)
    assert repository.list_checkpoints(limit=9).items == ()
    assert repository.list_decisions("run-1", limit=9).items == ()
    assert repository.request("req") is None
    repository.forget_garbage("s3://retain/runs/run-1")
    assert repository.garbage() == ()


def parent(repository: SqlRepository, name: str = "run-1") -> str:
    """A run with an accepted checkpoint; the checkpoint's URI."""
    repository.create(new(1) if name == "run-1" else replace(new(1), state=replace(state(1), id=name)))
    made = replace(checkpoint(name, 1), status=CheckpointState.ACCEPTED)
    repository.put_checkpoint(made)
    return made.ref.uri


@pytest.mark.parametrize("status", [s for s in RunState if s is not RunState.SUCCEEDED])
def test_a_run_stays_while_one_that_may_continue_builds_on_it(repository: SqlRepository, status: RunState) -> None:
    base = parent(repository)
    repository.create(replace(new(2, status=status), base_uri=base))
    with pytest.raises(FailedPrecondition, match=f"run run-2 .{status}. builds on") as caught:
        delete(repository, "run-1")
    assert caught.value.reason == "CHECKPOINT_IN_USE"
    assert repository.get("run-1").id == "run-1"
    repository.save(made(replace(state(2, status=RunState.SUCCEEDED), sequence=2)), expected_sequence=1)
    delete(repository, "run-1")
    with pytest.raises(NotFound):
        repository.get("run-1")


def test_a_name_that_looks_like_a_pattern_is_a_name(repository: SqlRepository) -> None:
    """An underscore is no wildcard."""
    base = parent(repository, "a_b")
    repository.create(replace(new(2), base_uri=base))
    parent(repository, "axb")
    delete(repository, "axb")
    with pytest.raises(FailedPrecondition):
        delete(repository, "a_b")


def test_a_run_whose_base_is_gone_or_was_never_accepted_is_not_made(repository: SqlRepository) -> None:
    base = parent(repository)
    delete(repository, "run-1")
    with pytest.raises(FailedPrecondition, match="got gone"):
        repository.create(replace(new(2), base_uri=base))
    repository.put_checkpoint(replace(checkpoint("run-3", 1), status=CheckpointState.VOID))
    with pytest.raises(FailedPrecondition, match="got VOID"):
        repository.create(replace(new(2), base_uri=checkpoint("run-3", 1).ref.uri))


def test_of_a_creation_and_a_deletion_at_the_same_time_one_is_refused(repository: SqlRepository) -> None:
    """Whoever comes first: there is never a run whose base was deleted."""
    outcomes = set()
    for number in range(30):
        name = f"parent-{number}"
        base = parent(repository, name)
        together = threading.Barrier(2)
        child = replace(new(2), state=replace(state(2), id=f"child-{number}"), base_uri=base)

        def make(child: NewRun = child, together: threading.Barrier = together) -> str:
            together.wait()
            try:
                repository.create(child)
            except FailedPrecondition as error:
                return error.reason
            return "made"

        def take(name: str = name, together: threading.Barrier = together) -> str:
            together.wait()
            try:
                delete(repository, name)
            except FailedPrecondition as error:
                return error.reason
            return "deleted"

        with ThreadPoolExecutor(2) as pool:
            made, deleted = pool.submit(make), pool.submit(take)
            outcomes.add((made.result(timeout=30), deleted.result(timeout=30)))
    assert outcomes <= {("made", "CHECKPOINT_IN_USE"), ("CHECKPOINT_GONE", "deleted")}


def spoil(engine: sa.Engine, table: str, name: str, body: str) -> None:
    key = "run_id" if table == "decisions" else "id"
    with engine.begin() as connection:
        done = connection.execute(
            sa.text(f"UPDATE {table} SET body = :body WHERE {key} = :name"), {"body": body, "name": name}
        )
        assert done.rowcount == 1


@pytest.mark.parametrize(
    ("body", "reason"), [("{", "BAD_BODY"), ('{"version": 99}', "WRITTEN_BY_A_NEWER_VERSION"), ("[]", "BAD_DOCUMENT")]
)
def test_a_record_that_cannot_be_read_is_set_aside_and_hides_no_other(
    repository: SqlRepository, engine: sa.Engine, body: str, reason: str
) -> None:
    for number in (1, 2, 3):
        repository.create(new(number, status=RunState.RUNNING))
    repository.create(new(4))
    repository.create(new(5))
    both = made(
        replace(state(2), sequence=2, status=RunState.RUNNING),
        decisions=[decision("run-2", 1)],
        checkpoints=[checkpoint("run-2", 1), checkpoint("run-2", 2)],
    )
    repository.save(both, expected_sequence=1)
    for table, name in (
        ("runs", "run-2"), ("runs", "run-4"), ("decisions", "run-2"), ("checkpoints", checkpoint("run-2", 1).id),
    ):  # fmt: skip
        spoil(engine, table, name, body)
    other = SqlRepository(engine)
    overview = other.overview()
    assert [s.id for s in overview.attention] == ["run-1", "run-3"]
    assert [w.run_id for w in overview.waiting] == ["run-4", "run-5"]
    assert [s.id for s in other.pending()] == ["run-5"]
    items = other.list_runs(limit=9).items
    assert [s.id for s in items] == [f"run-{n}" for n in (5, 4, 3, 2, 1)]
    bad = items[3]
    assert isinstance(bad, UnreadableRun)
    assert (bad.sequence, bad.status, bad.reason) == (2, RunState.RUNNING, reason)
    with pytest.raises(RunUnreadable, match="run-2 is set aside") as caught:
        other.get("run-2")
    assert (caught.value.code, caught.value.run) == ("DATA_LOSS", bad)
    (shown,) = other.list_decisions("run-2", limit=9).items
    assert (shown.number, shown.verdict) == (1, Verdict.UNSPECIFIED)
    assert "cannot be read" in shown.message
    rows = other.list_checkpoints(limit=9).items
    assert [row.ref.uri for row in rows] == [checkpoint("run-2", n).ref.uri for n in (2, 1)]
    with pytest.raises(Corrupt):
        other.find_checkpoint(checkpoint("run-2", 1).id)
    assert dict(other.overview().unreadable) == {"run": 2, "decision": 1, "checkpoint": 1}
    other.delete("run-4", expected_sequence=1, base_prefix="s3://retain/runs/run-4/", garbage_uris=[])
    assert other.overview().unreadable["run"] == 1


def test_runs_that_build_on_a_checkpoint(repository: SqlRepository) -> None:
    base = parent(repository, "a_b")
    repository.create(replace(new(2), base_uri=base))
    assert repository.building_on(base) == ("run-2",)
    assert repository.building_on(base[:-1]) == (), "another step, not the same with more digits"


def test_uploads_are_remembered_by_folder(repository: SqlRepository) -> None:
    big = Upload(folder="f", file_name="model.safetensors", sha256="a" * 64, bytes=14_000_000_000)
    for upload in (big, replace(big, file_name="config.json"), replace(big, sha256="b" * 64)):
        repository.put_upload(upload)
    assert [(u.file_name, u.sha256[0], u.bytes) for u in repository.uploads("f")] == [
        ("config.json", "a", big.bytes),
        ("model.safetensors", "b", big.bytes),
    ]


def test_writers_at_the_same_time_lose_no_update(repository: SqlRepository, engine: sa.Engine) -> None:
    repository.create(new(1))

    def grow(_: int) -> None:
        while True:
            now = repository.get("run-1")
            try:
                grown = made(replace(now, sequence=now.sequence + 1, restarts=now.restarts + 1))
                repository.save(grown, expected_sequence=now.sequence)
            except Stale:
                continue
            return

    threads: ThreadPoolExecutor = executor(engine)
    list(threads.map(grow, range(20)))
    threads.shutdown()
    assert repository.get("run-1").restarts == 20


def test_migrations_run_again_on_a_database_that_is_up_to_date(engine: sa.Engine) -> None:
    again = connect(engine.url.render_as_string(hide_password=False))
    assert SqlRepository(again).pending() == ()
    again.dispose()


def test_a_database_that_does_not_answer_is_unavailable_and_another_scheme_is_refused() -> None:
    with pytest.raises(Unavailable):
        connect("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(InvalidInput, match="sqlite"):
        connect("mysql://x/y")
    with pytest.raises(InvalidInput):
        connect("no url")


def test_the_tables_are_what_the_migrations_make(engine: sa.Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from services.orchestrator.adapters.tables import metadata

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_each_project_sees_its_own_and_what_is_shared_with_it(repository: SqlRepository, engine: sa.Engine) -> None:
    projects = SqlProjects(engine)
    projects.add_project(Project(name="a", most_bytes=10**12))
    projects.add_project(Project(name="a", most_bytes=10**12))  # its reply was lost
    with pytest.raises(AlreadyExists):
        projects.add_project(Project(name="a"))
    projects.update_project(Project(name="a", weight=2.0))
    assert projects.projects() == (Project(name="a", weight=2.0), Project(name="default"))
    for number, name in ((1, "a"), (2, "b"), (3, "a")):
        repository.create(new(number, "same" if number < 3 else None, project=name))
        # Whatever the core says of a checkpoint, it belongs to the project of its run.
        made_here = replace(checkpoint(f"run-{number}", 10 * number), bytes=number)
        repository.save(made(state(number, project=name), checkpoints=[made_here]), expected_sequence=1)
    a, b, c = frozenset({"a"}), frozenset({"b"}), frozenset({"c"})
    assert [run.id for run in repository.list_runs(limit=9, projects=a).items] == ["run-3", "run-1"]
    assert [run.id for run in repository.list_runs(limit=9, projects=a | b).items] == ["run-3", "run-2", "run-1"]
    assert repository.list_runs(limit=9, projects=frozenset()).items == ()
    first = repository.list_runs(limit=1, projects=a)
    rest = repository.list_runs(limit=1, projects=a, below_number=first.next_number)
    assert ([run.id for run in rest.items], rest.next_number) == (["run-1"], None)
    assert repository.request("same", project="a") != repository.request("same", project="b")
    of_b = repository.list_checkpoints(limit=9, projects=b).items[0]
    assert (of_b.project, of_b.run_id) == ("b", "run-2")
    for key in (of_b.id, of_b.ref.uri, of_b.ref.manifest_sha256[:8]):
        assert repository.find_checkpoint(key, projects=b).id == of_b.id
        with pytest.raises(NotFound):
            repository.find_checkpoint(key, projects=a)
    for _ in range(2):
        projects.share(of_b.id, "c")
    projects.share(of_b.id, "a")
    assert projects.shared_with([of_b.id, "nobody"]) == {of_b.id: ("a", "c")}
    assert repository.find_checkpoint(of_b.id, projects=c).project == "b"
    assert [one.run_id for one in repository.list_checkpoints(limit=9, projects=a).items] == ["run-3", "run-2", "run-1"]
    for _ in range(2):
        projects.unshare(of_b.id, "a")
    with pytest.raises(NotFound):
        repository.find_checkpoint(of_b.id, projects=a)
    repository.put_upload(Upload(folder="a.f", file_name="x", sha256="s", bytes=2**40, project="a"))
    assert (projects.active_runs("a"), projects.active_runs("b"), projects.active_runs("c")) == (2, 1, 0)
    assert (projects.stored_bytes("a"), projects.stored_bytes("b")) == (1 + 3 + 2**40, 2)
    repository.delete("run-2", expected_sequence=1, base_prefix="s3://retain/runs/run-2/", garbage_uris=[])
    assert projects.shared_with([of_b.id]) == {}
