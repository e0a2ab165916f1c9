"""The wheel, where nothing else is installed: the command starts, and the client runs a pipeline on an orchestrator."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import retain
from deploy.wheel import build, install
from tests.identity import ADMIN

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, sys
import retain

spec = '''
name: light
model: {preset: nano}
tokenizer: {train: {vocab_size: 4096}}
stages:
- {kind: PRETRAIN, data: {general: "sample://docs"}, duration: {steps: 20}, batch: {sequences: 8}}
- {kind: MIDTRAIN, domain: CODE, data: {domain: "sample://code", general_share: 0.2}, duration: {steps: 20},
   batch: {sequences: 8}}
evaluation: {every: {steps: 10}}
'''
with retain.connect() as session:
    planned = session.validate(spec)
    run = session.submit(spec, request_id="once")
    again = session.submit(spec, request_id="once")
    updates = list(session.follow(run))
    found = session.inspect(run)
    try:
        session.history_frame(run)
    except retain.MissingExtra as error:
        said = error.message
print(json.dumps({
    "stages": [stage.name for stage in planned.stages],
    "ids": [run.id, again.id, found.run.id],
    "state": updates[-1].run.state,
    "numbers": [decision.number for update in updates for decision in update.decisions],
    "decisions": [decision.number for decision in found.decisions],
    "measured": sorted({result.set.name for record in found.history for result in record.results}),
    "checkpoints": len(found.checkpoints),
    "said": said,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


@dataclass(frozen=True, kw_only=True)
class Bare:
    """An environment with the wheel and what it requires; `wheel` is the file."""

    folder: Path
    wheel: Path

    def run(self, *command: str, cwd: Path, server: tuple[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, without Retain's and Python's settings of this process."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("RETAIN_", "PYTHON"))}
        if server:
            environ |= {"RETAIN_SERVER": server[0], "RETAIN_EVALUATOR": server[1], "RETAIN_TOKEN": ADMIN}
        program = [str(self.folder / "bin" / command[0]), *command[1:]]
        return subprocess.run(
            program,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**environ, "COLUMNS": "200"},
            timeout=120,
        )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    folder = tmp_path_factory.mktemp("bare")
    wheel = build(folder / "dist")
    install(wheel, folder / "venv")
    return Bare(folder=folder / "venv", wheel=wheel)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str]]:
    """A real orchestrator with a real database, its workers and its evaluator simulated: their addresses."""
    command = [sys.executable, "-m", "tests.fakes.platform", "0", "0", "--no-demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        words = process.stdout.readline().split()
        try:
            yield words[1], words[3]
        finally:
            process.terminate()


def test_the_wheel_holds_what_is_read_at_run_time_and_nothing_that_is_not_ours(bare: Bare) -> None:
    names = zipfile.ZipFile(bare.wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "deploy", "model", "retain", "services", "ui", f"retain-{retain.__version__}.dist-info",
    }  # fmt: skip
    assert {
        "retain/__init__.py",
        "retain/py.typed",
        "retain/types/v1/spec_pb2.pyi",
        "ui/learn/python.md",
        "ui/templates/three-stage.yaml",
        "ui/panel/.streamlit/config.toml",
        "deploy/monitoring/generated/prometheus/rules.yaml",
    } <= set(names)
    assert [name for name in names if "__pycache__" in name or name.endswith(".proto")] == []


def test_the_command_starts(bare: Bare, tmp_path: Path) -> None:
    assert bare.run("retain", "--version", cwd=tmp_path).stdout == f"retain {retain.__version__}\n"
    assert "Train language models" in bare.run("retain", "--help", cwd=tmp_path).stdout
    for verb in ("init", "schema", "learn", "env", "validate", "run", "export", "eval"):
        done = bare.run("retain", verb, "--help", cwd=tmp_path)
        assert (done.returncode, f"retain {verb}" in done.stdout) == (0, True), done.stderr
    versions = json.loads(bare.run("retain", "env", "--json", cwd=tmp_path).stdout)["packages"]
    assert (versions["retain"], versions["torch"], versions["ray"]) == (retain.__version__, "absent", "absent")
    assert "three-stage" in bare.run("retain", "init", "--list", cwd=tmp_path).stdout
    assert "session.follow" in bare.run("retain", "learn", "python", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        (("retain", "up"), "server,train,panel"),
        (("retain", "eval", "m", "--data", "f"), "train"),
        (("python", "-m", "ui.panel"), "panel"),
    ],
    ids=["up", "eval", "panel"],
)
def test_what_needs_an_extra_says_which(bare: Bare, tmp_path: Path, command: tuple[str, ...], extras: str) -> None:
    done = bare.run(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert f"pip install 'retain[{extras}]'" in done.stderr
    assert (done.stderr.count("\n"), "Traceback" in done.stderr) == (1, False)


def test_the_client_runs_a_pipeline_with_nothing_heavy_loaded(
    bare: Bare, server: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "notebook.py").write_text(SCRIPT)
    done = bare.run("python", "notebook.py", cwd=tmp_path, server=server)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stages"] == ["pretrain", "midtrain/code"]
    assert len(set(found["ids"])) == 1
    assert found["state"] == "SUCCEEDED"
    assert found["numbers"] == found["decisions"] == list(range(1, len(found["decisions"]) + 1))
    assert len(found["decisions"]) >= 4  # two boundaries a stage
    kinds = ["code", "conversation", "encyclopaedic", "narrative"]
    assert found["measured"] == ["code", *(f"gauge-{kind}" for kind in kinds), "general"]
    assert found["checkpoints"] >= 4
    assert "pip install 'retain[notebook]'" in found["said"]
    assert {"torch", "ray", "numpy", "pyarrow", "pandas", "services", "model"} & set(found["modules"]) == set()


def test_the_command_talks_to_the_server(bare: Bare, server: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("some text\n" * 400)
    made = bare.run("retain", "init", "minimal", "-o", "my.yaml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = bare.run("retain", "validate", "my.yaml", "--json", cwd=tmp_path, server=server)
    assert (done.returncode, json.loads(done.stdout)["stages"][0]["name"]) == (0, "pretrain"), done.stderr
    local = ("my.yaml", "--set", "stages.0.data.general=own.txt")
    done = bare.run("retain", "validate", *local, "--json", cwd=tmp_path, server=server)
    assert (done.returncode, "pip install 'retain[data]'" in done.stderr) == (1, True)
    done = bare.run("retain", "run", *local, "-d", "--json", cwd=tmp_path, server=server)
    assert (done.returncode, "pip install 'retain[data]'" in done.stderr) == (0, True)
    run_id = json.loads(done.stdout)["run_id"]
    assert json.loads(bare.run("retain", "show", run_id, "--json", cwd=tmp_path, server=server).stdout)["id"] == run_id
    assert bare.run("retain", "cancel", run_id, cwd=tmp_path, server=server).returncode == 0


def test_a_package_named_ui_beside_the_notebook_is_named(bare: Bare, tmp_path: Path) -> None:
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui" / "__init__.py").write_text("")
    done = bare.run("python", "-c", "import retain\nretain.connect", cwd=tmp_path)
    assert "hides Retain's own package `ui`" in done.stderr
    assert bare.run("retain", "--version", cwd=tmp_path).returncode == 0
