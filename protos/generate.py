"""Generates the Python code of the .proto files into protos/gen; --check compares and fails on a difference.

`python protos/generate.py` is what `make protos` runs. The tool is grpcio-tools, pinned in requirements.lock, so that
the same input gives the same bytes on every machine.

Beside protoc's code it writes `retain.values`: every message as a frozen dataclass and every enum as a StrEnum, plain
data of the standard library that all parts of Retain share. The comments of the .proto files are their docstrings.

    optional, or of a oneof      T | None, None by default
    other messages, numbers      what the wire says for nothing: an empty value, 0, ""
    repeated                     tuple[T, ...]
    map                          Mapping[K, V]
    google.protobuf.Timestamp    Unix seconds as a float, in a field with `_s` behind its name
    google.protobuf.FieldMask    its paths, a tuple of texts
    enum                         its values without their prefix; UNSPECIFIED is false, as no value is, or, where its
                                 comment is the name of another value ("CONTROL."), that value

A class of `protos/retain/values/derived.py` becomes a base of the generated class of its name. `retain.mapper` goes
between values and messages.
"""

import argparse
import ast
import filecmp
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = "retain"
# Of the package, by hand: they lie beside the .proto files and are copied.
WRITTEN = (
    "__init__.py",
    "py.typed",
    "mapper/__init__.py",
    "values/addresses.py",
    "values/derived.py",
    "values/faults.py",
    "values/means.py",
    "values/recommendations.py",
    "values/severity.py",
    "values/thresholds.py",
)

_F = FieldDescriptorProto
# Of each type of number and text its Python type and what it is by default.
PLAIN: Mapping[int, tuple[str, str]] = {
    _F.TYPE_DOUBLE: ("float", "0.0"),
    _F.TYPE_FLOAT: ("float", "0.0"),
    _F.TYPE_BOOL: ("bool", "False"),
    _F.TYPE_STRING: ("str", '""'),
    _F.TYPE_INT32: ("int", "0"),
    _F.TYPE_INT64: ("int", "0"),
    _F.TYPE_UINT32: ("int", "0"),
    _F.TYPE_UINT64: ("int", "0"),
}
TIMESTAMP = ".google.protobuf.Timestamp"
FIELD_MASK = ".google.protobuf.FieldMask"


def generate(target: Path) -> None:
    """Writes *_pb2.py and *_pb2.pyi for every file, *_pb2_grpc.py for those that hold services, and the front door."""
    well_known = str(resources.files("grpc_tools") / "_proto")
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.proto"))
    services = [name for name in files if name.endswith("service.proto")]
    common = ["protoc", f"-I{ROOT}", f"-I{well_known}"]
    described = target / "described"
    for arguments in (
        [*common, f"--python_out={target}", f"--pyi_out={target}", *files],
        [*common, f"--grpc_python_out={target}", *services],
        [*common, f"--descriptor_set_out={described}", "--include_source_info", *files],
    ):
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed; its messages are above")
    for name in WRITTEN:
        (target / PACKAGE / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / PACKAGE / name, target / PACKAGE / name)
    for name, source in value_modules(FileDescriptorSet.FromString(described.read_bytes())).items():
        (target / PACKAGE / "values" / name).write_text(source)
    described.unlink()


def value_modules(described: FileDescriptorSet) -> dict[str, str]:
    """The source of each file of `retain.values`. Raises SystemExit for two messages or enums of one name, for a base
    in derived.py of nothing, and for what has no rule (messages in messages, bytes)."""
    homes: dict[str, str] = {}
    for file in described.file:
        for name in (*(enum.name for enum in file.enum_type), *(message.name for message in file.message_type)):
            if name in homes:
                raise SystemExit(f"{name} is in {homes[name]} and in {file.name}; expected one of a name")
            homes[name] = module_of(file.name)
    written = ast.parse((ROOT / PACKAGE / "values" / "derived.py").read_text())
    derived = {node.name for node in written.body if isinstance(node, ast.ClassDef)}
    if lost := derived - homes.keys():
        raise SystemExit(f"derived.py has {', '.join(sorted(lost))}; expected names of messages and enums")
    sources = {f"{module_of(file.name)}.py": ValueModule(file, homes, derived).source() for file in described.file}
    return sources | {"__init__.py": _front_door(homes)}


def module_of(proto: str) -> str:
    """Module of a file's values: `spec` for retain/types/v1/spec.proto, `evaluator_resources` for an evaluator's."""
    _, package, _, name = proto.removesuffix(".proto").split("/")
    return name if package == "types" or name.startswith(package) else f"{package}_{name}"


def _front_door(homes: Mapping[str, str]) -> str:
    names = sorted(homes)
    lines = [
        '"""Every message and enum of the .proto files as plain data: frozen dataclasses and enums of the standard',
        "library alone, each loaded when it is first asked for. Generated by protos/generate.py, which says the rules.",
        "",
        "    from retain.values import CheckpointRef, PipelineSpec",
        "",
        "`retain.mapper` goes between these values and the messages.",
        '"""',
        "",
        "from importlib import import_module",
        "from typing import TYPE_CHECKING, Any",
        "",
        "if TYPE_CHECKING:",
        *(f"    from retain.values.{homes[name]} import {name}" for name in names),
        "",
        *("_HOMES = {", *(f'    "{name}": "{homes[name]}",' for name in names), "}"),
        *("__all__ = [", *(f'    "{name}",' for name in names), "]"),
        "",
        "",
        "def __getattr__(name: str) -> Any:",
        '    """A value type by its name. Raises AttributeError for one that no .proto file has."""',
        "    if name not in _HOMES:",
        '        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")',
        '    value = getattr(import_module(f"retain.values.{_HOMES[name]}"), name)',
        "    globals()[name] = value",
        "    return value",
    ]
    return "\n".join(lines) + "\n"


class ValueModule:
    """The values of one .proto file as a module. `homes` says in which module each value is, `derived` which have a
    base that is written by hand."""

    def __init__(self, file: FileDescriptorProto, homes: Mapping[str, str], derived: set[str]) -> None:
        self._file = file
        self._homes = homes
        self._derived = derived
        self._said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        self._messages = {message.name: (index, message) for index, message in enumerate(file.message_type)}

    def source(self) -> str:
        """Enums first, then each message behind those that it holds."""
        body: list[str] = []
        for index, enum in enumerate(self._file.enum_type):
            body += self._enum(index, enum)
        done: set[str] = set()
        for name in self._messages:
            body += self._message_after_its_parts(name, done)
        return "\n".join([*self._imports("\n".join(body)), *body]) + "\n"

    def _imports(self, body: str) -> Iterator[str]:
        yield f'"""Values of {self._file.name}. Generated by protos/generate.py; do not edit."""'
        yield ""
        if "dataclasses." in body:
            yield "import dataclasses"
        if "Mapping[" in body:
            yield "from collections.abc import Mapping"
        if "StrEnum)" in body:
            yield "from enum import StrEnum"
        yield ""
        if "(derived." in body:
            yield "from retain.values import derived"
        here = module_of(self._file.name)
        used = {_name(field.type_name) for message in self._file.message_type for field in message.field}
        for name in sorted(used & self._homes.keys()):
            if self._homes[name] != here:
                yield f"from retain.values.{self._homes[name]} import {name}"

    def _enum(self, index: int, enum: EnumDescriptorProto) -> Iterator[str]:
        prefix = enum.value[0].name.removesuffix("UNSPECIFIED")
        names = [value.name.removeprefix(prefix) for value in enum.value]
        if enum.value[0].number != 0 or names[0] != "UNSPECIFIED":
            raise SystemExit(f"{enum.name} begins with {enum.value[0].name}; expected an UNSPECIFIED that is 0")
        is_another = self._comment(5, index, 2, 0).strip().removesuffix(".")
        zero = is_another if is_another in names else names[0]
        base = f"derived.{enum.name}, StrEnum" if enum.name in self._derived else "StrEnum"
        yield from ("", "", f"class {enum.name}({base}):", *_docstring(self._comment(5, index), "    "), "")
        places = range(len(names)) if zero == names[0] else (*range(1, len(names)), 0)  # a second name comes second
        for place in places:
            yield f'    {names[place]} = "{zero if place == 0 else names[place]}"'
            yield from _docstring(self._comment(5, index, 2, place), "    ")
        if zero == names[0]:
            yield from ("", "    def __bool__(self) -> bool:", '        """False for UNSPECIFIED alone."""')
            yield '        return self.name != "UNSPECIFIED"'

    def _message_after_its_parts(self, name: str, done: set[str]) -> Iterator[str]:
        if name in done:
            return
        done.add(name)
        index, message = self._messages[name]
        for field in message.field:
            if (part := _name(field.type_name)) in self._messages:
                yield from self._message_after_its_parts(part, done)
        base = f"(derived.{name})" if name in self._derived else ""
        yield from ("", "", "@dataclasses.dataclass(frozen=True, kw_only=True)", f"class {name}{base}:")
        yield from _docstring(self._comment(4, index), "    ")
        if message.field:
            yield ""
        for place, field in enumerate(message.field):
            yield f"    {self._field(message, field)}"
            yield from _docstring(self._comment(4, index, 2, place), "    ")

    def _field(self, message: DescriptorProto, field: FieldDescriptorProto) -> str:
        """A field's line: its name, type and default."""
        entries = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
        if (entry := entries.get(_name(field.type_name))) is not None:
            key, value = (self._type(part)[0] for part in entry.field)
            return f"{field.name}: Mapping[{key}, {value}] = dataclasses.field(default_factory=dict)"
        kind, default = self._type(field)
        name = f"{field.name}_s" if field.type_name == TIMESTAMP else field.name
        if field.label == _F.LABEL_REPEATED:
            return f"{name}: tuple[{kind}, ...] = ()"
        if field.HasField("oneof_index"):
            return f"{name}: {kind} | None = None"
        return f"{name}: {kind} = {default}"

    def _type(self, field: FieldDescriptorProto) -> tuple[str, str]:
        """Type and default of one thing in a field."""
        if field.type_name == TIMESTAMP:
            return "float", "0.0"
        if field.type_name == FIELD_MASK:
            return "tuple[str, ...]", "()"
        name = _name(field.type_name)
        if field.type == _F.TYPE_ENUM:
            return name, f"{name}.UNSPECIFIED"
        if field.type == _F.TYPE_MESSAGE and name in self._homes:
            return name, f"{name}()"
        if field.type in PLAIN:
            return PLAIN[field.type]
        raise SystemExit(f"{field.name} is a {_F.Type.Name(field.type)} {name}; there is no rule for it here")

    def _comment(self, *path: int) -> str:
        return self._said.get(path, "")


def _name(type_name: str) -> str:
    """`CheckpointRef` of `.retain.types.v1.CheckpointRef`."""
    return type_name.rpartition(".")[2]


def _docstring(comment: str, indent: str) -> Iterator[str]:
    """A comment's lines as a docstring, as they are wrapped in the .proto file."""
    lines = [re.sub("^ ", "", line).rstrip() for line in comment.strip("\n").split("\n")]
    text = "\n".join(lines).strip().replace("\\", "\\\\").replace('"""', "'''")
    close = ' """' if text.endswith('"') else '"""'
    closed = f'"""{text}{close}' if "\n" not in text else f'"""{text}\n"""'
    yield from (f"{indent}{line}".rstrip() for line in closed.split("\n"))


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
