"""Builds the wheel of Retain, and tries it where nothing else is installed.

`python -m deploy.wheel build` writes it into `dist` and prints its size; `python -m deploy.wheel try` also installs it
into a new virtual environment, prints how long that took and what came along, and runs the command there. Everything
goes through pip and its settings.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "deploy", "model", "protos", "services", "ui")
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
_MADE = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", "wheels")


def build(folder: Path) -> Path:
    """Builds the wheel into `folder` and returns its path. Raises CalledProcessError when pip ends with an error.

    It is built from a copy: what an earlier build left in the tree would go into it, deleted modules too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="retain-wheel-") as scratch:
        tree, made = Path(scratch) / "tree", Path(scratch) / "made"
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=_MADE)
            else:
                tree.mkdir(exist_ok=True)
                shutil.copy2(source, tree / name)
        _run([sys.executable, *_PIP, "wheel", "--no-deps", "--wheel-dir", str(made), str(tree)])
        (wheel,) = made.glob("*.whl")
        return Path(shutil.move(wheel, folder / wheel.name))


def install(wheel: Path, folder: Path, *, extras: Sequence[str] = ()) -> float:
    """Makes a virtual environment at `folder` and installs the wheel with what it needs; returns the seconds of that.

    Raises CalledProcessError when pip ends with an error.
    """
    venv.create(folder, with_pip=True, clear=True)
    start_s = time.monotonic()
    what = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    _run([str(folder / "bin" / "python"), *_PIP, "install", what])
    return time.monotonic() - start_s


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _try(wheel: Path, extras: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="retain-bare-") as folder:
        place = Path(folder) / "venv"
        seconds = install(wheel, place, extras=extras)
        python, command = str(place / "bin" / "python"), str(place / "bin" / "retain")
        packages = _run([python, "-m", "pip", "freeze"]).splitlines()
        size_bytes = sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and not file.is_symlink())
        size = f"{size_bytes / 1e6:.1f} MB with pip"
        print(f"installed in {seconds:.1f} s: {len(packages)} packages, the environment has {size}")
        print(_run([command, "--version"]).strip())
        _run([command, "--help"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m deploy.wheel", description=__doc__)
    parser.add_argument("verb", choices=["build", "try"])
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder of the wheel; default: dist")
    parser.add_argument("--extras", default="", help="for try: extras to install too, as in server,train")
    options = parser.parse_args(arguments)
    start_s = time.monotonic()
    wheel = build(options.to)
    print(f"{wheel}: {wheel.stat().st_size / 1e3:.1f} kB, built in {time.monotonic() - start_s:.1f} s")
    if options.verb == "try":
        _try(wheel, [name for name in options.extras.split(",") if name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
