"""Every setting reaches its use; what workers find in their environment is one list; blanks in folders do no harm."""

import ast
import inspect
import os
import shlex
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from retain.values import ComputeSpec
from services.common.errors import Refused
from services.common.worker_environment import OF_TOOLS, OURS, passed_on
from services.evaluator import main as evaluator_main
from services.evaluator.adapters import settings as evaluator_settings
from services.orchestrator import main as orchestrator_main
from services.orchestrator.adapters import settings as orchestrator_settings
from services.orchestrator.adapters.ray_jobs import RayJobs
from services.orchestrator.application.ports import JobRequest
from services.orchestrator.application.reconciler import Timing
from services.orchestrator.domain.run.state import RunState
from services.orchestrator.domain.run.tries import MAX_RESTARTS
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec


def attributes(module: ModuleType, holder: str) -> set[str]:
    """Names that are read of a variable anywhere in a module."""
    return {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == holder
    }


@pytest.mark.parametrize(
    ("main", "settings"),
    [(orchestrator_main, orchestrator_settings), (evaluator_main, evaluator_settings)],
    ids=["orchestrator", "evaluator"],
)
def test_every_setting_is_used_where_the_service_is_put_together(main: ModuleType, settings: ModuleType) -> None:
    used = attributes(main, "settings")
    names = set(settings.Settings.model_fields)
    properties = {name for name, value in vars(settings.Settings).items() if isinstance(value, property)}
    assert used & properties == properties, "every property is asked for"
    through = attributes(settings, "self")
    assert names - used - through == set(), "settings that nobody reads"
    assert used - names - properties == set()


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch, timing=Timing(max_restarts=1))
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def test_the_number_of_restarts_holds_for_groups_that_are_refused_too(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: JobRequest) -> None:
        raise Refused("Ray refused to submit: 403", reason="RAY_REFUSED")

    monkeypatch.setattr(offline.jobs, "submit", refuse)
    state = await offline.app.runs.create(spec(), "", digest="d")
    for _ in range(6):
        await offline.passed()
        offline.clock.at_s += 200.0
    state = await offline.app.run_store.get(state.id)
    assert (state.status, state.reason, state.submission) == (RunState.FAILED, "JOB_KEEPS_FAILING", 2)
    assert Timing().max_restarts == orchestrator_settings.Settings().max_job_restarts == MAX_RESTARTS


def test_workers_get_what_users_bring_along_and_not_what_is_meant_for_the_service() -> None:
    wanted = {f"{prefix}X" for prefix in OF_TOOLS} | OURS
    environ = dict.fromkeys(wanted, "1") | {"PATH": "p", "RETAIN_BIND": "b", "RETAIN_STACK_MEMBER": "m"}
    assert set(passed_on(environ)) == wanted


def test_nothing_that_its_name_calls_secret_is_passed_on() -> None:
    words = ("TOKEN", "API_KEY", "SECRET", "PASSWORD", "TRACKING_PASSWORD", "CREDENTIALS", "TOKEN_PATH")
    secret = {f"{prefix}{word}" for prefix in (*OF_TOOLS, "RETAIN_", "AWS_") for word in words}
    more = {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "RETAIN_DATABASE_URL", "RETAIN_JOIN_CODE", "RAY_AUTH_TOKEN"}
    assert passed_on(dict.fromkeys(secret | more, "secret")) == {}


@pytest.mark.parametrize("word", ["MONKEY", "TOKENIZERS_PARALLELISM"])
def test_a_word_that_only_looks_like_one_is(word: str) -> None:
    assert passed_on({f"HF_{word}": "1"}) == {f"HF_{word}": "1"}


def test_a_group_passes_on_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from services.worker.group_settings import GroupSettings
    from services.worker.ray_group import worker_env

    monkeypatch.setattr(
        os, "environ", {"WANDB_PROJECT": "p", "MLFLOW_TRACKING_URI": "u", "RETAIN_BIND": "b", "HOME": "h"}
    )
    env = worker_env(GroupSettings(run_id="r", submission=1, cpus_per_worker=3.5))
    assert env == {"WANDB_PROJECT": "p", "MLFLOW_TRACKING_URI": "u", "OMP_NUM_THREADS": "3"}


def test_a_checkout_in_a_folder_with_blanks_and_quotes_starts_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job server hands the entrypoint to a shell. The Python of this checkout only says what it was called with."""
    python = tmp_path / "My Projects" / "it's (mine) & $HOME" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    jobs, bodies = RayJobs("http://127.0.0.1:1", env={}, python=str(python)), []

    def call(method: str, path: str, body: Any = None) -> tuple[int, str]:
        bodies.append(body)
        return 200, "{}"

    monkeypatch.setattr(jobs, "_call", call)
    jobs.submit(JobRequest(run_id="r1", submission=3, compute=ComputeSpec(workers=2, cpus_per_worker=0.5)))
    entrypoint = bodies[0]["entrypoint"]
    done = subprocess.run(entrypoint, shell=True, capture_output=True, check=True, text=True)
    assert done.stdout.split("\n")[:6] == ["-m", "services.worker.main", "--run", "r1", "--submission", "3"]
    assert shlex.split(entrypoint)[0] == str(python)
