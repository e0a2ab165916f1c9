"""`sample://docs` and `sample://code`: two kinds of text that every machine with Python has.

docs  the documentation of the standard library: the docstrings of its modules, classes and functions, cleaned of
      doctest sessions, tables and signatures, so that what is left reads as technical English.
code  the source of the same files with docstrings and comments taken out, so that the code corpus does not rehearse
      the documentation. Training on code then really moves a model away from docs, and forgetting can be seen.

All pieces of one file have the same origin ("stdlib:json/decoder.py"), in docs and in code alike, so that a file is held
out on both sides or on neither. The text differs between Python versions; tests that compare with fixed numbers use the
generators (math, science, chat) instead.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import re
import sys
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model.difficulty import code_difficulty
from model.document import Document
from model.errors import BadSource
from model.sources.base import Source, checked_options, whole_number

VERSION = 1
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "ensurepip"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DOCTEST = re.compile(r"^\s*(?:>>>|\.\.\.)(?:\s|$)")
_RULER = re.compile(r"^\s*[-=~*+|_^#.]{3,}\s*$")


class StdlibSource(Source):
    """Documentation (`what="docs"`) or bare code (`what="code"`) of the standard library."""

    kind = "text"

    def __init__(self, what: str, *, uri: str, options: Mapping[str, Any] | None = None) -> None:
        self.what, self.uri = what, uri
        known: dict[str, Any] = {"document_bytes": 1_500 if what == "docs" else 2_500}
        if what == "code":
            known["languages"] = ["python"]
        self.options = checked_options(uri, options, known)
        whole_number(uri, "document_bytes", self.options["document_bytes"], low=64)
        if what == "code" and list(self.options["languages"]) != ["python"]:
            raise BadSource(
                field=f"{uri}: languages", came=self.options["languages"], allowed="python (other: use files)"
            )

    def fingerprint(self) -> str:
        """Version of this code, of Python, and the names and sizes of the files."""
        digest = hashlib.sha256(f"{VERSION} {self.what} {sys.version}".encode())
        for name, path in _files():
            digest.update(f"{name} {path.stat().st_size}\n".encode())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document]:
        """Pieces of about `document_bytes`, file by file in the order of their names."""
        about = self.options["document_bytes"]
        for name, path in _files():
            try:
                source = path.read_bytes().decode("utf-8")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(source)
            except (UnicodeDecodeError, SyntaxError, ValueError):
                continue  # a few library files are written in other encodings on purpose
            sections = _documentation(tree, name) if self.what == "docs" else _statements(source)
            for piece in _joined(sections, about, "\n\n" if self.what == "docs" else "\n"):
                difficulty = code_difficulty(piece) if self.what == "code" else None
                yield Document(text=piece, origin=f"stdlib:{name}", difficulty=difficulty, meta=_META[self.what])


_META: dict[str, dict[str, str]] = {"docs": {"field": "documentation"}, "code": {"language": "python"}}


def _files() -> list[tuple[str, Path]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for path in root.rglob("*.py"):
        relative = path.relative_to(root)
        if not _SKIPPED.intersection(relative.parts) and not relative.parts[0].startswith("config-"):
            found.append((relative.as_posix(), path))
    return sorted(found)


def _documentation(tree: ast.Module, name: str) -> Iterator[str]:
    """Module, class and function docstrings in the order of the file, each under its name."""
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def visit(node: ast.AST, title: str) -> Iterator[str]:
        prose = _prose(ast.get_docstring(node, clean=False) or "")  # type: ignore[arg-type]
        if len(prose) >= 40:
            yield f"{title}\n\n{prose}"
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _DEFINITIONS):
                kind = "class" if isinstance(child, ast.ClassDef) else "function"
                inner = isinstance(node, ast.ClassDef)
                yield from visit(
                    child, f"The {'method' if inner and kind == 'function' else kind} {child.name} of {title[4:]}"
                )

    return visit(tree, f"The module {module}")


def _prose(docstring: str) -> str:
    """A docstring as paragraphs of English: without doctest sessions, rulers and tables, lines of a paragraph joined."""
    paragraphs: list[str] = []
    current: list[str] = []
    in_session = False

    def close() -> None:
        if current:
            paragraphs.append(" ".join(current))
            current.clear()

    for line in [*inspect.cleandoc(docstring).splitlines(), ""]:
        stripped = line.strip()
        if not stripped:
            in_session = False
            close()
        elif _DOCTEST.match(line):
            in_session = True
            close()
        elif not in_session and not _RULER.match(line) and _is_prose(stripped):
            current.append(stripped)
    return "\n\n".join(p for p in paragraphs if len(p) >= 20)


def _is_prose(line: str) -> bool:
    """Mostly letters and spaces: leaves out tables, diagrams, and lines of code."""
    return sum(character.isalpha() or character == " " for character in line) >= 0.75 * len(line)


def _statements(source: str) -> Iterator[str]:
    """Top-level statements of a file without docstrings, comments and blank lines; a class is cut into its methods."""
    lines = _bare_code(source).splitlines()
    starts = [index for index, line in enumerate(lines) if line and not line[0].isspace() and line[0] not in ")]}"]
    starts += [index for index, line in enumerate(lines) if line.startswith(("    def ", "    async def ", "    @"))]
    cuts = sorted({0, *starts, len(lines)})
    for low, high in zip(cuts, cuts[1:], strict=False):
        yield "\n".join(lines[low:high])


def _bare_code(source: str) -> str:
    """The source without comments and docstrings. Strings that span lines keep theirs; the rest is left as written."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    dropped: set[int] = set()
    stand_ins: dict[int, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, *_DEFINITIONS)) or not node.body:
            continue
        first = node.body[0]
        same_line = not isinstance(node, ast.Module) and first.lineno == node.lineno  # def f(): "text"
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            if same_line:
                continue
            dropped.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
            if len(node.body) == 1 and not isinstance(node, ast.Module):
                stand_ins[first.lineno] = " " * first.col_offset + "pass\n"
    protected: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
        elif token.type == tokenize.STRING and token.start[0] != token.end[0]:
            protected.update(range(token.start[0], token.end[0]))
    kept = []
    for number, line in enumerate(lines, start=1):
        if number in stand_ins:
            kept.append(stand_ins[number])
        elif number not in dropped and (line.strip() or number in protected):
            kept.append(line)
    return "".join(kept)


def _joined(sections: Iterator[str], about_bytes: int, separator: str) -> Iterator[str]:
    """Consecutive sections put together until a document has at least `about_bytes`."""
    piece: list[str] = []
    size = 0
    for section in sections:
        piece.append(section)
        size += len(section)
        if size >= about_bytes:
            yield separator.join(piece) + "\n"
            piece, size = [], 0
    if size:
        yield separator.join(piece) + "\n"
