"""What a caller sees: the own projects, and nothing without a caller. Quotas, and the queue by project."""

import inspect
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from retain.values import ComputeSpec
from services.common.errors import AlreadyExists, InvalidInput, NotFound, QuotaExceeded
from services.common.identity import principal
from services.common.identity.principal import Kind, Principal, Role, set_current_principal
from services.orchestrator.application import checkpoint_service, runs
from services.orchestrator.application.logs import service as logs
from services.orchestrator.application.ports import Upload
from services.orchestrator.application.projects.project import Project
from services.orchestrator.application.projects.scope import ScopedRunStore, visible_projects
from services.orchestrator.application.queue import Queue
from services.orchestrator.application.sources import SourcePolicy, owner_of, upload_folder
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.policy.fair_queue import PATIENCE_S, PRIORITY_STEP_S
from services.orchestrator.domain.run import state as run_state
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.domain.spec.defaults import fill
from tests.unit.services.orchestrator.offline import HandClock, Offline
from tests.unit.services.orchestrator.specs import spec


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    made = Offline(tmp_path, monkeypatch, slots=8)
    yield made
    await made.close()


def act_as(*projects: str, role: Role = Role.OPERATOR) -> None:
    set_current_principal(
        Principal(subject="somebody", kind=Kind.TOKEN, roles=frozenset({role}), projects=frozenset(projects))
    )


def test_the_default_project_has_one_name_inside_and_outside_of_the_core() -> None:
    assert principal.DEFAULT_PROJECT == run_state.DEFAULT_PROJECT == "default"


def test_use_cases_of_people_have_no_other_store_than_the_scoped_one() -> None:
    for use_case in (runs.RunService, checkpoint_service.CheckpointService, logs.LogService):
        parameters = inspect.signature(use_case).parameters
        assert parameters["run_store"].annotation is ScopedRunStore, use_case
        assert not any("Repository" in str(one.annotation) for one in parameters.values()), use_case


async def test_without_a_caller_nothing_is_there(offline: Offline) -> None:
    run = await offline.app.runs.create(spec(), "", digest="d")
    set_current_principal(None)
    assert visible_projects() == frozenset()
    with pytest.raises(NotFound):
        await offline.app.runs.get(run.id)
    assert (await offline.app.runs.page(limit=10, below_number=None, statuses=())).items == ()
    with pytest.raises(InvalidInput, match="this caller has no project"):
        await offline.app.runs.create(spec(), "", digest="d")


async def test_a_run_that_cannot_be_read_is_hidden_from_other_projects_too(offline: Offline) -> None:
    await offline.app.projects.create(Project(name="a"))
    run = await offline.app.runs.create(spec(), "", digest="d", project="a")
    offline.spoil(run.id)
    act_as("b")
    for call in (offline.app.runs.get(run.id), offline.app.runs.delete(run.id, "")):
        with pytest.raises(NotFound, match=f"there is no run '{run.id}'"):
            await call
    act_as("a")
    unreadable = await offline.app.runs.get(run.id)
    assert unreadable.project == "a"  # type: ignore[union-attr]  # both kinds have one


async def test_quotas_count_runs_bytes_and_slots(offline: Offline) -> None:
    projects = offline.app.projects
    await projects.create(Project(name="a", most_runs=1, most_slots=2, most_bytes=100))
    with pytest.raises(QuotaExceeded, match=r"project a uses 0 of its quota of 2 worker slots; got 4 more") as caught:
        await offline.app.runs.create(spec(compute=ComputeSpec(workers=4)), "", digest="d", project="a")
    assert caught.value.metadata == {"project": "a", "quota": "slots", "limit": "2", "used": "0", "asked": "4"}
    run = await offline.app.runs.create(spec(), "", digest="d", project="a")
    with pytest.raises(QuotaExceeded, match="uses 1 of its quota of 1 runs that have not ended; got 1 more"):
        await offline.app.runs.create(spec(), "", digest="d", project="a")
    await offline.app.runs.cancel(run.id, "")
    offline.repository.put_upload(Upload(folder="a.f", file_name="x", sha256="s", bytes=60, project="a"))
    await projects.check_bytes("a", 40)
    with pytest.raises(QuotaExceeded, match="uses 60 of its quota of 100 bytes in the store; got 41 more"):
        await projects.check_bytes("a", 41)
    await projects.check_bytes("default", 10**15)
    offline.repository.put_upload(Upload(folder="a.f", file_name="y", sha256="s", bytes=40, project="a"))
    for refused in (offline.app.runs.create(spec(), "", digest="d", project="a"), offline.app.runs.retry(run.id, "")):
        with pytest.raises(QuotaExceeded, match="quota of 100 bytes"):
            await refused
    await projects.update("a", limits={"bytes": None, "runs": 1, "slots": None})
    assert (await offline.app.runs.retry(run.id, "")).status is RunState.PENDING
    assert (await projects.use("a")).bytes == 100


async def test_projects_are_checked_by_field_and_kept(offline: Offline) -> None:
    projects = offline.app.projects
    for bad, field in (
        (Project(name="Has Capitals"), "name"),
        (Project(name="x" * 25), "name"),
        (Project(name="a", weight=0.0), "weight"),
        (Project(name="a", weight=float("nan")), "weight"),
        (Project(name="a", most_runs=-1), "quotas.runs"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await projects.create(bad)
        assert [fault.field for fault in caught.value.violations] == [field]
    made = await projects.create(Project(name="a", weight=2.0, most_slots=3))
    with pytest.raises(AlreadyExists, match="there is a project a"):
        await projects.create(Project(name="a"))
    await projects.load()
    assert projects.get("a") == made
    assert [one.name for one in projects.listed()] == ["a", "default"]
    act_as("b")
    assert projects.listed() == []
    with pytest.raises(NotFound):
        projects.get("a")


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("uploads/abc/data.jsonl", "default"),
        ("uploads/vision.abc/data.jsonl", "vision"),
        ("uploads/vision.abc", "vision"),
        ("uploads", ""),
        ("projects/vision/text/a.jsonl", "vision"),
        ("projects", ""),
        ("corpora/a.jsonl", None),
    ],
)
def test_whose_part_of_the_bucket_a_key_lies_in(key: str, owner: str | None) -> None:
    assert owner_of(key) == owner


def test_what_is_nobodys_is_for_the_default_project_or_where_the_operator_names_it() -> None:
    policy = SourcePolicy(store_uri="s3://b")
    assert policy.fault_of("s3://b/corpora/a.jsonl") is None
    assert "projects/vision/..." in str(policy.fault_of("s3://b/corpora/a.jsonl", "vision"))
    named = replace(policy, patterns=("s3://b/corpora/", "s3://b/uploads/"))
    assert named.fault_of("s3://b/corpora/a.jsonl", "vision") is None
    assert named.fault_of(f"s3://b/uploads/{upload_folder('vision', 'f')}/x", "vision") is None
    assert named.fault_of("s3://b/uploads/f/x", "vision") is not None, "what others sent stays theirs"
    assert named.fault_of("s3://b/uploads/vision.f/x") is not None


def waiting(name: str, number: int, project: str = "default", *, workers: int = 1, **how: float) -> PipelineRun:
    filled = fill(spec(compute=ComputeSpec(workers=workers)))
    made = new_run(name, filled, store_uri="s3://b", base=None, queue_number=number, now_s=1e9, project=project)
    return replace(made, **how)  # type: ignore[arg-type]


def started(run: PipelineRun) -> PipelineRun:
    return replace(run, status=RunState.RUNNING, queue_number=0)


def test_the_queue_takes_turns_between_projects() -> None:
    clock = HandClock()
    queue = Queue(2, clock)
    queue.set_projects([Project(name="a"), Project(name="b")])
    runs_ = {name: waiting(name, number, name[0]) for number, name in enumerate(("a1", "a2", "a3", "b1"), start=1)}
    queue.load(runs_.values())  # type: ignore[arg-type]  # as stored
    assert [queue.position(name) for name in ("a1", "b1", "a2", "a3")] == [1, 2, 3, 4]
    assert queue.head() == "a1"
    queue.changed(runs_["a1"], started(runs_["a1"]), ())  # type: ignore[arg-type]
    assert queue.head() == "b1", "a has a slot, b has none"
    queue.changed(runs_["b1"], started(runs_["b1"]), ())  # type: ignore[arg-type]
    assert queue.head() is None
    assert (queue.held_by("a"), queue.waiting_of("a")) == (1, 2)
    clock.at_s += 100.0
    done = replace(started(runs_["b1"]), status=RunState.SUCCEEDED)
    queue.changed(started(runs_["b1"]), done, ())  # type: ignore[arg-type]
    assert queue.head() == "a2", "b has nobody who waits"


def test_a_quota_of_slots_holds_back_its_own_project_alone_and_says_so() -> None:
    queue = Queue(4, HandClock())
    queue.set_projects([Project(name="a", most_slots=1), Project(name="b")])
    at_work, next_one, other = started(waiting("a1", 1, "a")), waiting("a2", 2, "a"), waiting("b1", 3, "b")
    queue.load([at_work, next_one, other])  # type: ignore[list-item]
    assert queue.head() == "b1"
    assert queue.held_back("a2") == "project a holds 1 of its quota of 1 worker slots; this run wants 1 more"
    assert queue.held_back("b1") == queue.held_back("nobody") == ""
    queue.set_projects([Project(name="a", most_slots=2), Project(name="b")])
    assert queue.held_back("a2") == ""


def test_the_forecast_says_what_is_ahead() -> None:
    clock = HandClock()
    queue = Queue(8, clock)
    queue.set_projects([Project(name="a"), Project(name="b")])
    now_s = clock.now_s()
    queue.load([
        started(waiting("x", 1, "a", workers=4)),
        waiting("a1", 2, "a", workers=2, queued_s=now_s - 10),
        waiting("a2", 3, "a", workers=3, queued_s=now_s - 5),
    ])  # type: ignore[list-item]  # fmt: skip
    mine = queue.forecast("a", slots=1, priority=0)
    assert (mine.position, mine.slots_ahead, mine.free) == (3, 5, 4)
    assert queue.forecast("a", slots=1, priority=1).position == 1, "ten minutes are more than the ten seconds"
    assert queue.forecast("b", slots=1, priority=0).position == 1, "b holds nothing"
    assert PRIORITY_STEP_S == PATIENCE_S == 600.0


def test_a_run_whose_old_group_is_still_ending_does_not_wait_for_its_own_slots() -> None:
    queue = Queue(2, HandClock())
    run = waiting("a", 1, workers=2, jobs=(run_state.Job(submission=1),))  # type: ignore[arg-type]
    queue.load([run])  # type: ignore[list-item]
    assert queue.head() == "a"
