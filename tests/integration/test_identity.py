"""Identity end to end: a real orchestrator, real calls with tokens of its own, the command and the panel."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as control_grpc
from retain.values import ProjectQuotas
from services.common.errors import Refused, Unauthenticated, Unavailable
from services.common.identity.principal import Role
from services.evaluator.adapters.callers import AskOrchestrator
from services.orchestrator.application.audit import AuditFilter
from services.orchestrator.application.ports import JobRequest, JobState, JobView
from services.worker.joining import join
from services.worker.orchestrator_client import ControlClient
from tests.fakes.launcher import FakeLauncher
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.platform import Platform, demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.identity import ADMIN, bearer, channel
from tests.integration.orchestrator.harness import orchestrator, status_of
from ui.cli import app
from ui.client import Address
from ui.client.client import RetainClient
from ui.client.errors import BadInput, RefusedByServer

pytestmark = pytest.mark.integration
PANEL = Path(__file__).resolve().parents[2] / "ui" / "panel"
MINIMAL = str(PANEL.parent / "templates" / "minimal.yaml")


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real orchestrator in a thread of its own; the environment names it, with the admin's token."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    async def made() -> Platform:
        platform = Platform(f"sqlite:///{tmp_path / 'retain.db'}")
        await platform.start()
        return platform

    platform = wait(made())
    address = f"127.0.0.1:{platform.port}"
    monkeypatch.setenv("RETAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RETAIN_SERVER", address)
    monkeypatch.setenv("RETAIN_EVALUATOR", address)
    monkeypatch.setenv("RETAIN_TOKEN", ADMIN)
    monkeypatch.setenv("COLUMNS", "250")
    yield address
    st.cache_resource.clear()
    wait(platform.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def retain(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(RefusedByServer) as caught:
        call()
    return caught.value.reason


def test_a_named_token_from_its_making_to_its_end(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, secret, said = retain("tokens", "create", "ci", "--role", "viewer", "--lifetime", "12h")
    assert (code, secret.count("\n")) == (0, 1)
    assert "ci (viewer) is good until" in said
    secret = secret.strip()
    with RetainClient(Address(orchestrator=address, token=secret)) as viewer:
        assert viewer.list_runs() == []
        assert refused(lambda: viewer.create_run({"name": "x"})) == "ROLE_REFUSED"
        assert refused(lambda: viewer.collect_garbage(dry_run=True)) == "ROLE_REFUSED"
        assert refused(viewer.identity.tokens) == "ROLE_REFUSED"
        assert refused(viewer.identity.audit) == "ROLE_REFUSED"
        monkeypatch.setenv("RETAIN_TOKEN", secret)
        assert retain("whoami")[:2] == (0, "ci (token): viewer; projects: default\n")
        monkeypatch.setenv("RETAIN_TOKEN", ADMIN)
        listed = json.loads(retain("tokens", "list", "--json")[1])
        assert [(t["name"], t["roles"], t["created_by"]) for t in listed] == [("ci", ["viewer"], "admin")]
        assert listed[0]["last_used_time_s"]
        assert secret not in json.dumps(listed)
        assert retain("tokens", "revoke", "ci")[0] == 0
        assert refused(viewer.list_runs) == "TOKEN_REVOKED"
    events = json.loads(retain("audit", "--json")[1])
    assert [(e["subject"], e["action"], e["resource"], e["outcome"]) for e in events] == [
        ("admin", "RevokeToken", "ci", "OK"),
        ("admin", "CreateToken", "ci", "OK"),
    ]
    assert all(e["peer"].startswith("ipv4:127.0.0.1:") for e in events)
    made = json.loads(retain("audit", "--action", "CreateToken", "--outcome", "OK", "--since", "1h", "--json")[1])
    assert [e["action"] for e in made] == ["CreateToken"]
    assert json.loads(retain("audit", "--until", "2026-01-01T00:00Z", "--json")[1]) == []
    code, _, said = retain("audit", "--action", "MakeToken")
    assert (code, "expected ApprovePipelineRun, " in said, "RevokeToken" in said) == (2, True, True)
    assert "expected OK, CANCELLED" in retain("audit", "--outcome", "FINE")[2]
    code, _, said = retain("audit", "--since", "1h", "--until", "2h")
    assert (code, "end_time" in said) == (2, True)
    assert retain("audit", "--since", "yesterday")[0] == 2
    assert retain("tokens", "revoke", "nobody")[0] == 2
    assert retain("tokens", "create", "ci")[0] == 2


def document(*words: str) -> Any:
    """What a verb prints with --json, among the log lines of the server in this process."""
    return json.loads(next(line for line in retain(*words, "--json")[1].splitlines() if line[:1] in ("{", "[")))


def test_projects_by_the_command(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown, _ = retain("projects", "create", "vision", "--slots", "2", "--bytes", "5k", "--weight", "3", "--json")
    made = json.loads(shown)
    assert (code, made["name"], made["weight"]) == (0, "vision", 3.0)
    assert made["quotas"] == {"runs": None, "slots": 2, "bytes": 5000}
    code, shown, _ = retain("projects", "update", "vision", "--runs", "1", "--slots", "none", "--json")
    assert (code, json.loads(shown)["quotas"]) == (0, {"runs": 1, "slots": None, "bytes": 5000})
    code, _, said = retain("projects", "create", "Vision!")
    assert (code, "1 to 24 lower-case letters" in said) == (2, True)
    code, _, said = retain("projects", "update", "vision", "--bytes", "much")
    assert (code, "expected a size such as 500G" in said) == (2, True)
    assert retain("tokens", "create", "x", "--role", "viewer", "--project", "nowhere")[0] == 2
    assert retain("tokens", "create", "x", "--role", "admin", "--project", "vision")[0] == 2
    code, secret, _ = retain("tokens", "create", "ada", "--role", "operator", "--project", "vision")
    monkeypatch.setenv("RETAIN_TOKEN", secret.strip())
    assert retain("whoami")[1] == "ada (token): operator; projects: vision\n"
    assert [one["name"] for one in json.loads(retain("projects", "list", "--json")[1])] == ["vision"]
    assert "vision" in retain("projects", "show", "vision")[1]
    assert retain("projects", "show", "default")[0] == 2
    assert retain("projects", "create", "mine")[0] == 4
    code, shown, said = retain("validate", MINIMAL, "--priority", "2")
    assert code == 0, said
    assert "Project vision: nothing is ahead of it in the queue" in shown
    assert "Quota of project vision: 0 of 1 runs, 1 more asked" in shown
    run_id = document("run", MINIMAL, "-d")["run_id"]
    assert document("show", run_id)["project"] == "vision"
    assert [run["id"] for run in document("list", "--project", "vision")] == [run_id]
    code, _, said = retain("run", MINIMAL, "-d")
    assert (code, "uses 1 of its quota of 1 runs that have not ended; got 1 more" in said) == (1, True)
    monkeypatch.setenv("RETAIN_TOKEN", ADMIN)
    assert document("list", "--project", "default") == []
    acts = [event["action"] for event in document("audit", "--resource", "vision")]
    assert acts == ["UpdateProject", "CreateProject"]


def test_without_a_token_the_command_says_what_is_needed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETAIN_TOKEN")
    code, _, said = retain("list")
    assert code == 4
    assert "a token is needed" in said


def test_the_token_of_a_local_stack_goes_to_that_stack_alone(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETAIN_TOKEN")
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text(ADMIN)
    assert retain("list")[0] == 4, "an address on loopback is not yet this user's stack"
    (home / "stack.json").write_text(json.dumps({"orchestrator": address}))
    assert retain("list")[0] == 0
    monkeypatch.delenv("RETAIN_SERVER")
    assert retain("list")[0] == 0
    monkeypatch.setenv("RETAIN_SERVER", "far.example:7070")
    assert Address.from_env().token is None
    monkeypatch.setenv("RETAIN_TOKEN_FILE", str(home / "token"))
    assert Address.from_env().token == ADMIN
    with pytest.raises(BadInput, match=r"a token would travel to far\.example:7070 in plain text"):
        RetainClient(Address.from_env())
    monkeypatch.setenv("RETAIN_ALLOW_PLAIN_TEXT", "1")
    RetainClient(Address.from_env()).close()
    assert ADMIN not in repr(Address.from_env())


async def test_a_run_ends_well_and_everything_that_changed_it_is_in_the_trail(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        run_id = (await client.create(demo_spec("ours"))).id
        await client.until(run_id, lambda run: run.status.stages[0].step > 0)
        stub = client.runs
        await stub.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id))
        code, _ = await status_of(stub.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id="no-such-run")))
        assert code is grpc.StatusCode.NOT_FOUND
        auditor = client.platform.orchestrator.auditor
        page = await auditor.page(AuditFilter(), limit=10)
        told = [(e.action, e.resource, e.outcome, e.before) for e in page.items]
        assert told == [
            ("CancelPipelineRun", "no-such-run", "NOT_FOUND", ""),
            ("CancelPipelineRun", run_id, "OK", "RUNNING"),
            ("CreatePipelineRun", run_id, "OK", ""),
        ]
        assert page.items[1].after == "CANCELLED"


async def test_a_worker_of_one_run_is_none_of_another(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        first, second = (await client.create(demo_spec("a"))).id, (await client.create(demo_spec("b"))).id
        for run_id in (first, second):
            await client.until(run_id, lambda run: run.status.stages[0].step > 0)
        worker = client.platform.launcher.workers[f"retain-{first}-1"]
        stages: Any = control_grpc.StageControlServiceStub(client.channel)
        request = control_pb.EndStageRequest(
            run_id=second, submission=1, attempt=1, outcome=control_pb.END_OUTCOME_FAILED
        )
        code, said = await status_of(stages.EndStage(request, metadata=bearer(worker.token)))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "a worker's token is good for its own run and submission alone" in said
        for run_id in (first, second):
            await client.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id))


async def test_the_client_of_a_real_worker_joins_and_gets_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As services/worker/main.py does it, on the real orchestrator."""

    class Asked(FakeLauncher):
        def submit(self, request: JobRequest) -> None:
            asked.append(request)

        def status(self, job: str) -> JobView:
            return JobView(state=JobState.RUNNING)

    asked: list[JobRequest] = []
    simulated, store = SimulatedTraining(), FakeObjectStore()
    launcher = Asked(lambda: "", simulated, store)
    async with orchestrator(tmp_path, launcher=launcher, simulated=simulated, store=store) as client:
        run_id = (await client.create(demo_spec("real"))).id
        await client.until(run_id, lambda _: bool(asked))
        monkeypatch.setenv("RETAIN_SERVER", f"127.0.0.1:{client.platform.port}")
        token = await asyncio.to_thread(join, run_id, 1, code=asked[0].join_code)
        control = ControlClient.from_env(run_id=run_id, submission=1, token=token)
        assert (await asyncio.to_thread(control.begin_attempt)).WhichOneof("work") == "prepare"
        control.close()
        thief = ControlClient.from_env(run_id=run_id, submission=1, token=asked[0].join_code)
        with pytest.raises(Refused):
            await asyncio.to_thread(thief.begin_attempt)
        thief.close()


async def test_who_reads_a_code_and_redeems_it_too_ends_the_group_and_not_the_run(tmp_path: Path) -> None:
    """The second to come may be the thief or the job: the group ends, and another one continues."""
    async with orchestrator(tmp_path) as client:
        run_id = (await client.create(demo_spec("a"))).id
        await client.until(run_id, lambda run: run.status.stages[0].step > 0)
        worker = client.platform.launcher.workers[f"retain-{run_id}-1"]
        with pytest.raises(Unauthenticated, match="was redeemed before"):
            identity = client.platform.orchestrator.identity
            await identity.join(run_id, 1, worker.join_code, "t" * 43, peer="ipv4:10.0.0.9:1")
        submissions = client.platform.launcher.submissions
        await client.until(run_id, lambda run: run.status.stages[0].attempt == 2 and len(submissions) == 2)
        assert submissions == [f"retain-{run_id}-1", f"retain-{run_id}-2"]
        await client.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id))


def test_the_evaluator_asks_the_orchestrator_whose_a_token_is(address: str) -> None:
    with RetainClient(Address.from_env()) as admin:
        _, secret = admin.identity.create_token("reader", roles=("viewer",))
        with channel(address, token="") as line:
            callers = AskOrchestrator(line, kept_s=0.5)
            found = asyncio.run(callers.authenticate(secret))
            assert found is not None
            assert (found.subject, found.roles) == ("reader", {Role.VIEWER})
            admin.identity.revoke_token("reader")
            time.sleep(0.6)
            for token, reason in ((secret, "TOKEN_REVOKED"), ("x" * 43, "TOKEN_UNKNOWN")):
                for _ in range(2):
                    with pytest.raises(Unauthenticated) as caught:
                        asyncio.run(callers.authenticate(token))
                    assert caught.value.reason == reason
    with channel("127.0.0.1:1", token="") as nowhere, pytest.raises(Unavailable):
        asyncio.run(AskOrchestrator(nowhere).authenticate("x" * 43))


# --- the panel


def opened() -> AppTest:
    at = AppTest.from_file(str(PANEL / "app.py"), default_timeout=60)
    at.run()
    assert not at.exception
    return at


def test_the_panel_asks_for_a_token_and_has_none_of_its_own(address: str) -> None:
    at = opened()
    assert [title.value for title in at.title] == ["Log in"]
    at.text_input[0].set_value("nearly-a-token-0123456789-0123456789")
    at.button[0].click().run()
    assert [title.value for title in at.title] == ["Log in"]
    assert "the token is not known here" in at.error[0].value
    at.text_input[0].set_value(ADMIN)
    at.button[0].click().run()
    assert not at.exception
    assert "Log in" not in [title.value for title in at.title]
    assert "Log in" in [title.value for title in opened().title], "another session is another person"


def test_an_expired_session_asks_again_and_keeps_what_was_typed(address: str) -> None:
    with RetainClient(Address.from_env()) as admin:
        _, secret = admin.identity.create_token("person", roles=("operator",))
        at = AppTest.from_file(str(PANEL / "app.py"), default_timeout=60)
        at.session_state["retain_token"] = secret
        at.run()
        at.switch_page("app_pages/new_run.py").run()
        typed = "name: typed-by-hand\n"
        at.text_area[0].set_value(typed).run()
        admin.identity.revoke_token("person")
        at.button(key="validate").click().run()
        assert any("was revoked" in error.value for error in at.error)
        at.text_input[0].set_value(ADMIN)
        next(button for button in at.button if button.label == "Log in").click().run()
        assert not at.exception
        assert at.text_area[0].value == typed


def test_the_panel_shows_projects_and_submits_to_the_chosen_one(address: str) -> None:
    with RetainClient(Address.from_env()) as admin:
        admin.projects.create("vision", quotas=ProjectQuotas())
        _, secret = admin.identity.create_token("person", roles=("operator",), projects=("default", "vision"))
        at = AppTest.from_file(str(PANEL / "app.py"), default_timeout=60)
        at.session_state["retain_token"] = secret
        at.run()
        assert at.selectbox(key="shown_project").options == ["All projects", "default", "vision"]
        at.switch_page("app_pages/new_run.py").run()
        at.text_area[0].set_value(Path(MINIMAL).read_text()).run()
        at.selectbox(key="new_run_project").set_value("vision").run()
        at.button(key="validate").click().run()
        assert not at.exception
        assert any("Project vision" in caption.value for caption in at.caption)
        at.button(key="start").click().run()
        assert [run.project for run in admin.list_runs()] == ["vision"]
