"""`import retain`: light, complete, and clear where something stands in its way."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import retain

ROOT = Path(__file__).resolve().parents[3]
GENERATED = ROOT / "protos/gen"


def python(script: str, cwd: Path, *roots: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script as a notebook in a folder does: the folder is first on the path. Of this project there is only what
    lies below the roots, as after an installation from the wheel or in an image."""
    prelude = (
        "import sys\nsys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"sys.path[:0] = {[str(place) for place in (cwd, *roots)]!r}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + script], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_the_generated_code_comes_without_the_client(tmp_path: Path) -> None:
    done = python("import retain.types.v1.spec_pb2, sys; print(*sys.modules)", tmp_path, ROOT, GENERATED)
    loaded = done.stdout.split()
    assert "retain.types.v1.spec_pb2" in loaded
    assert {name for name in loaded if name.partition(".")[0] in {"ui", "grpc", "rich"}} == set()


def test_every_public_name_is_there() -> None:
    for name in retain.__all__:
        assert getattr(retain, name) is not None
        assert name in dir(retain)
    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        retain.conect  # noqa: B018
    assert retain.connect.__doc__
    assert issubclass(retain.BadInput, retain.ClientError)


def test_public_methods_say_what_they_do() -> None:
    public = [value for name, value in vars(retain.Session).items() if callable(value) and not name.startswith("_")]
    assert len(public) > 20
    assert [method.__name__ for method in public if not (method.__doc__ or "").strip().endswith(".")] == []
    unsaid = [m.__name__ for m in public if set(m.__annotations__) != {*_arguments(m), "return"}]
    assert unsaid == [], "annotations are missing"


def _arguments(method) -> list[str]:
    code = method.__code__
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x08)
    return [name for name in code.co_varnames[:count] if name != "self"]


@pytest.mark.parametrize("name", ["ui.py", "ui/__init__.py"])
def test_somebody_s_own_ui_that_hides_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    done = python("import retain\nretain.connect", tmp_path, ROOT, GENERATED)
    assert done.returncode == 1
    assert f"ImportError: retain.connect: {tmp_path / name} hides Retain's own package `ui`" in done.stderr


def test_an_error_within_the_client_is_not_mistaken_for_an_absent_one(tmp_path: Path) -> None:
    (tmp_path / "grpc_status.py").write_text("raise ModuleNotFoundError('No module named x', name='x')")
    done = python("import retain\nretain.connect", tmp_path, ROOT, GENERATED)
    assert done.stderr.strip().endswith("ModuleNotFoundError: No module named x")


def test_an_image_without_the_client_says_so(tmp_path: Path) -> None:
    """The orchestrator's image has the generated code and no `ui`."""
    done = python("import retain\nretain.connect", tmp_path, GENERATED)
    assert "ImportError: retain.connect: the client is not part of this installation" in done.stderr


def test_the_guide_of_the_python_interface_names_only_what_exists() -> None:
    text = (ROOT / "ui/learn/python.md").read_text()
    assert set(re.findall(r"\bretain\.(\w+)", text)) <= set(retain.__all__)
    used = set(re.findall(r"\bsession\.(\w+)", text))
    assert len(used) > 15
    assert [name for name in used if not hasattr(retain.Session, name)] == []
