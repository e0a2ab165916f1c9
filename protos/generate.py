"""Generates the Python code of the .proto files into protos/gen; --check compares and fails on a difference.

`python protos/generate.py` is what `make protos` runs. The tool is grpcio-tools, pinned in requirements.lock, so that
the same input gives the same bytes on every machine.
"""

import argparse
import filecmp
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = "retain"
WRITTEN = ("__init__.py", "py.typed")  # of the package, by hand: they lie beside the .proto files and are copied


def generate(target: Path) -> None:
    """Writes *_pb2.py and *_pb2.pyi for every file, *_pb2_grpc.py for those that hold services, and the front door."""
    well_known = str(resources.files("grpc_tools") / "_proto")
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.proto"))
    services = [name for name in files if name.endswith("service.proto")]
    common = ["protoc", f"-I{ROOT}", f"-I{well_known}"]
    for arguments in (
        [*common, f"--python_out={target}", f"--pyi_out={target}", *files],
        [*common, f"--grpc_python_out={target}", *services],
    ):
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed; its messages are above")
    for name in WRITTEN:
        shutil.copyfile(ROOT / PACKAGE / name, target / PACKAGE / name)


def differences(made: Path, committed: Path) -> list[str]:
    """Names of files that are missing, extra, or differ, relative to the generated folder."""
    names = {
        str(path.relative_to(root))
        for root in (made, committed)
        for path in root.rglob("*.py*")  # .py, .pyi, py.typed
        if path.suffix != ".pyc"
    }
    return sorted(
        name
        for name in names
        if not (made / name).is_file()
        or not (committed / name).is_file()
        or not filecmp.cmp(made / name, committed / name, shallow=False)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed code instead of writing it")
    arguments = parser.parse_args()
    committed = ROOT / "gen"
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        if arguments.check:
            changed = differences(Path(folder), committed)
            if changed:
                print(
                    "protos/gen does not fit the .proto files (run `make protos`):",
                    *changed,
                    sep="\n  ",
                    file=sys.stderr,
                )
            return 1 if changed else 0
        shutil.rmtree(committed, ignore_errors=True)
        shutil.copytree(folder, committed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
