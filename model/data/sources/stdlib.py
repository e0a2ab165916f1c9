"""`sample://docs` and `sample://code`: two kinds of text that every machine with Python has.

docs  the documentation of the standard library: the docstrings of its modules, classes and functions, its longer
      comments, and the chapters of the language reference that `help()` shows, cleaned of doctest sessions, tables and
      signatures, so that what is left reads as technical English.
code  the source of the same files with docstrings and comments taken out, so that the code corpus does not rehearse
      the documentation. Training on code then really moves a model away from docs, and forgetting can be seen.

All pieces of one file are of one group ("stdlib:json/decoder.py"), in docs and in code alike, so that a file is
held out on both sides or on neither. The text differs between Python versions; tests that compare with fixed numbers
use the generators (math, science, chat) instead.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from model.data.difficulty import code_difficulty, syntax_tree, walk_nodes
from model.data.sources.base import Source, checked_options, whole_number
from model.document import Document
from model.errors import BadSource

VERSION = 1
_TABLES = ("encodings/", "pydoc_data/")  # of code: tables of characters, a dictionary of texts
_LONGEST_STATEMENT = 16_384  # bytes; longer ones are tables too
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "ensurepip"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PARAGRAPH = "\n\n"
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
                field=f"{uri}: languages", got=self.options["languages"], expected="python (other: use files)"
            )

    def fingerprint(self) -> str:
        """Version of this code, of Python, and the names and sizes of the files."""
        digest = hashlib.sha256(f"{VERSION} {self.what} {sys.version}".encode())
        for name, path in _files():
            digest.update(f"{name} {path.stat().st_size}\n".encode())
        return digest.hexdigest()

    def documents(self) -> Iterator[Document]:
        """Pieces of about `document_bytes`, file by file in the order of their names."""
        for name, path in _files():
            if self.what == "code" and name.startswith(_TABLES):
                continue
            yield from _file_documents(self.what, name, path, self.options["document_bytes"])


@lru_cache(maxsize=4_096)  # about 15 MB for both kinds: a source is read several times (tokenizer, packing, overlap)
def _file_documents(what: str, name: str, path: Path, about_bytes: int) -> tuple[Document, ...]:
    try:
        source = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
        tree = syntax_tree(source)
    except (UnicodeDecodeError, SyntaxError, ValueError):
        return ()  # a few library files are written in other encodings on purpose
    origin = f"stdlib:{name}"
    if what == "docs":
        pieces = _joined(_documentation(tree, name, source), about_bytes, _PARAGRAPH)
        return tuple(Document(text=piece, origin=origin, group=origin, meta=_META["docs"]) for piece in pieces)
    pieces = _joined(_statements(_bare_code(source, tree)), about_bytes, "\n")
    return tuple(
        Document(text=piece, origin=origin, group=origin, difficulty=code_difficulty(piece), meta=_META["code"])
        for piece in pieces
    )


_META: dict[str, dict[str, str]] = {"docs": {"field": "documentation"}, "code": {"language": "python"}}


def _files() -> list[tuple[str, Path]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith("config-")]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def _documentation(tree: ast.Module, name: str, source: str) -> Iterator[str]:
    """Paragraphs of module, class and function docstrings in the order of the file, each docstring under its name, and
    of the longer comments."""
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if name == "pydoc_data/topics.py":
        yield from _topics(tree)
        return
    stack: list[tuple[ast.AST, str]] = [(tree, f"the module {module}")]
    while stack:
        node, title = stack.pop()
        prose = _prose(ast.get_docstring(node, clean=False) or "")  # type: ignore[arg-type]
        if len(prose) >= 40:
            yield from f"{title[0].upper()}{title[1:]}\n\n{prose}".split(_PARAGRAPH)
        inside = [child for child in ast.iter_child_nodes(node) if isinstance(child, _DEFINITIONS)]
        for child in reversed(inside):
            kind = "class" if isinstance(child, ast.ClassDef) else "function"
            kind = "method" if kind == "function" and isinstance(node, ast.ClassDef) else kind
            stack.append((child, f"the {kind} {child.name} of {title}"))
    comments = [_prose(block) for block in _comment_blocks(source)]
    if any(len(prose) >= 120 for prose in comments):
        yield f"Remarks on the module {module}"
        for prose in comments:
            if len(prose) >= 120:
                yield from prose.split(_PARAGRAPH)


def _comment_blocks(source: str) -> Iterator[str]:
    """Runs of lines that hold nothing but a comment, without their marks."""
    block: list[str] = []
    for line in [*source.splitlines(), ""]:
        stripped = line.strip()
        if stripped.startswith("#") and not stripped.startswith("#!"):
            block.append(stripped.lstrip("#"))
        elif block:
            yield "\n".join(block)
            block = []


def _topics(tree: ast.Module) -> Iterator[str]:
    """The chapters of the language reference that `help()` shows: a dictionary of texts in one file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield from f"Python: {key.value!s}\n\n{_prose(value.value)}".split(_PARAGRAPH)


def _prose(docstring: str) -> str:
    """A docstring as paragraphs of English: without doctest sessions, code, tables and rulers; each on one line."""
    paragraphs: list[str] = []
    lines: list[str] = []
    for line in [*inspect.cleandoc(docstring).splitlines(), ""]:
        if line.strip():
            lines.append(line)
            continue
        if lines and not _DOCTEST.match(lines[0]):
            text = " ".join(" ".join(part for part in lines if not _RULER.match(part)).split())
            if len(text) >= 20 and _is_prose(text):
                paragraphs.append(text)
        lines = []
    return "\n\n".join(paragraphs)


def _is_prose(text: str) -> bool:
    """Mostly words: leaves out tables, diagrams, signatures and code."""
    letters = sum(character.isalpha() or character == " " for character in text)
    return letters >= 0.8 * len(text) and len(text.split()) >= 4 and "|" not in text


def _statements(bare: str) -> Iterator[str]:
    """Top-level statements of a file; a class is cut between its methods."""
    lines = bare.splitlines()
    starts = [index for index, line in enumerate(lines) if line and not line[0].isspace() and line[0] not in ")]}\"'"]
    starts += [index for index, line in enumerate(lines) if line.startswith(("    def ", "    async def "))]
    for low, high in pairwise(sorted({0, *starts, len(lines)})):
        statement = "\n".join(lines[low:high])
        if len(statement) <= _LONGEST_STATEMENT:
            yield statement


def _bare_code(source: str, tree: ast.Module) -> str:
    """The source without comments, docstrings and blank lines; strings that span lines are left as written.

    Where strings are is known from the syntax tree, so a `#` outside of every string begins a comment. (Only a comment
    between two pieces of one string survives.) Works on bytes, because the tree counts columns in bytes.
    """
    lines = [b"", *(line.encode() for line in source.split("\n"))]
    dropped: set[int] = set()
    inside: set[int] = set()
    strings: dict[int, list[tuple[int, int]]] = {}
    for node in walk_nodes(tree):
        if isinstance(node, (ast.Module, *_DEFINITIONS)):
            _drop_docstring(node, lines, dropped)
        elif isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        ):
            first, last = node.lineno, node.end_lineno or node.lineno
            for row in range(first, last + 1):
                start = node.col_offset if row == first else 0
                end = (node.end_col_offset or 0) if row == last else len(lines[row])
                strings.setdefault(row, []).append((start, end))
            inside.update(range(first, last))
    kept = []
    for row in range(1, len(lines)):
        if row in dropped:
            continue
        line = lines[row]
        at = line.find(b"#")
        while at >= 0 and any(start <= at < end for start, end in strings.get(row, ())):
            at = line.find(b"#", at + 1)
        if at >= 0:
            line = line[:at].rstrip()
        if line.strip() or row in inside:
            kept.append(line)
    return b"\n".join(kept).decode() + "\n"


def _drop_docstring(node: ast.AST, lines: list[bytes], dropped: set[int]) -> None:
    body = getattr(node, "body", [])
    if not body or not isinstance(body[0], ast.Expr) or not isinstance(body[0].value, ast.Constant):
        return
    first = body[0]
    if not isinstance(body[0].value.value, str) or first.lineno == getattr(node, "lineno", 0):  # def f(): "text"
        return
    rows = range(first.lineno, (first.end_lineno or first.lineno) + 1)
    dropped.update(rows)
    if len(body) == 1 and not isinstance(node, ast.Module):
        lines[first.lineno] = b" " * first.col_offset + b"pass"
        dropped.discard(first.lineno)


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
