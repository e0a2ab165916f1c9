"""The unit tests lie where their sources lie: `tests/unit/a/b` tests `a/b`."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = Path("tests", "unit")


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules that a file imports, and names in them; a path in a text, such as "deploy/docker", counts as a module.
    The sources of the package `retain` lie in `protos/retain`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+(/\w+)+", node.value):
            found.add(node.value.replace("/", "."))
    return frozenset(found | {f"protos.{name}" for name in found if name.split(".")[0] == "retain"})


def reached(path: Path) -> set[str]:
    """Modules that a test reaches: by its own imports, and by those of the helpers and fixtures that it uses."""
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = {path, path.with_name("conftest.py")}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        if file.is_file():
            named = imports(file)
            found |= named
            waiting |= {ROOT / f"{name.replace('.', '/')}.py" for name in named if name.startswith("tests.")} - seen
    return found


def misplaced(path: Path, modules: Iterable[str], root: Path = ROOT) -> str | None:
    """Why a test (its path below the root) does not lie where its source lies; None where it does.

    modules: those that it reaches. A test belongs to the deepest folder that holds all of them that are below its
    own folder's source.
    """
    package = list(path.parts[len(UNIT.parts) : -1])
    source = root.joinpath(*package)
    if not any(source.glob("*.py")):
        return f"{path} tests {'/'.join(package)}, which is gone"
    here = [name.split(".")[len(package) :] for name in modules if name.split(".")[: len(package)] == package]
    heads = {rest[0] for rest in here if rest}
    if not heads and not any(source.glob(f"**/{path.stem.removeprefix('test_')}.*")):
        return f"{path} reaches nothing of {'/'.join(package)}"
    deeper = {head for head in heads if any((source / head).glob("*.py"))}
    return f"{path} belongs to {'/'.join([*package, *deeper])}" if len(heads) == 1 and deeper else None


def test_every_unit_test_lies_where_its_source_lies() -> None:
    tests = sorted(ROOT.joinpath(UNIT).glob("*/**/test_*.py"))
    assert len(tests) > 100
    assert not [why for path in tests if (why := misplaced(path.relative_to(ROOT), reached(path)))]


@pytest.mark.parametrize(
    ("test", "modules", "why"),
    [
        ("tests/unit/a/test_x.py", {"a.x"}, None),
        ("tests/unit/a/test_x.py", {"a.x", "a.b.y"}, None),  # of two rooms: the room of both
        ("tests/unit/a/test_x.py", {"a.b.y"}, "belongs to a/b"),
        ("tests/unit/a/test_z.py", {"c.x"}, "reaches nothing of a"),
        ("tests/unit/a/test_page.py", {"c.x"}, None),  # tests a file that is no module
        ("tests/unit/gone/test_x.py", {"a.x"}, "which is gone"),
    ],
)
def test_what_lies_elsewhere_is_told(test: str, modules: set[str], why: str | None, tmp_path: Path) -> None:
    for name in ("a/x.py", "a/b/y.py", "a/page.css"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    said = misplaced(Path(test), modules, tmp_path)
    assert said is None if why is None else why in str(said)
