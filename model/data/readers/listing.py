"""Which files of a folder are data, in which order, and what is left out and why. Nothing is left out in silence.

Links are followed, to files and to folders, but no folder is entered twice, so a link to a parent is no endless way.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.data.readers.formats import ALLOWED, format_of, is_about_data, language_of, suffix_of
from model.errors import BadSource, printable

MOST_FILES = 1_000_000
_NAMED = 3  # of each reason so many are named, the rest is counted


@dataclass(frozen=True, kw_only=True)
class Listing:
    """files: those to read, in the order of their names; left_out: one line a reason, with a count and some names."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def list_files(root: Path, uri: str, fault: Callable[[BadSource], None]) -> Listing:
    """The data files at or under `root`.

    `fault` is called with each file or folder that may not be read and with empty files; it may raise. Raises
    BadSource when nothing is there that could be read.
    """
    try:
        mode = os.stat(root).st_mode
    except OSError as error:
        raise _not_there(root, uri, error) from None
    except ValueError as error:  # a NUL in the name
        raise BadSource(field=uri, got=f"no name of a file ({error})", expected="an existing file or folder") from None
    if stat.S_ISREG(mode):
        if format_of(root) is None:
            raise BadSource(field=uri, got=f"a file ending in {root.suffix!r}", expected=ALLOWED)
        return Listing(files=tuple(_with_content([root], root, fault)), left_out=())
    if not stat.S_ISDIR(mode):
        raise BadSource(field=uri, got="neither a file nor a folder", expected="an existing file or folder")
    walk = _Walk(root, fault)
    files = walk.run()
    if not files:
        there = f"; there are {'; '.join(walk.lines())}" if walk.lines() else ""
        raise BadSource(field=uri, got=f"a folder without data files{there}", expected=f"files ending in {ALLOWED}")
    return Listing(files=tuple(_with_content(files, root, fault, walk)), left_out=tuple(walk.lines()))


def _not_there(root: Path, uri: str, error: OSError) -> BadSource:
    if isinstance(error, PermissionError):
        return BadSource(field=uri, got="a path that may not be read", expected="a file or folder that may be read")
    if os.path.islink(root):
        return BadSource(field=uri, got="a link to nothing", expected="an existing file or folder")
    return BadSource(field=uri, got="nothing there", expected="an existing file or folder")


def _with_content(
    files: list[Path], root: Path, fault: Callable[[BadSource], None], walk: _Walk | None = None
) -> list[Path]:
    """The files that are not empty. An empty one is a fault, but for source code in a folder: an `__init__.py`
    without a line is no document either."""
    full = []
    for path in files:
        try:
            size = path.stat().st_size
        except OSError as error:
            fault(unreadable(path, error))
            continue
        if size:
            full.append(path)
        elif walk is not None and language_of(path):
            walk.leave_out("empty source code", path)
        else:
            fault(BadSource(str(path), "an empty file", "a file with at least one document"))
    return full


def unreadable(path: Path, error: OSError) -> BadSource:
    """The fault of a file or folder that the system does not let us read."""
    return BadSource(str(path), f"a file that cannot be read ({error.strerror or error})", "a file that may be read")


class _Walk:
    """One walk through a folder: real folders before links to folders, each folder once."""

    def __init__(self, root: Path, fault: Callable[[BadSource], None]) -> None:
        self._root, self._fault = root, fault
        self._names: dict[str, list[str]] = {}
        self._kinds: Counter[str] = Counter()

    def run(self) -> list[Path]:
        """The data files, sorted by their relative names."""
        files: list[Path] = []
        seen: set[tuple[int, int]] = set()
        folders, links = [self._root], list[Path]()
        while folders or links:
            folder = folders.pop() if folders else links.pop(0)
            try:
                facts = folder.stat()
                if (facts.st_dev, facts.st_ino) in seen:
                    self.leave_out("links to a folder that is read already", folder)
                    continue
                seen.add((facts.st_dev, facts.st_ino))
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self._fault(unreadable(folder, error))
                continue
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith("."):
                    self.leave_out("hidden", path)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif entry.is_dir():
                    links.append(path)
                elif self._is_data(path):
                    files.append(path)
                    if len(files) > MOST_FILES:
                        raise BadSource(str(self._root), f"more than {MOST_FILES:,} files", f"up to {MOST_FILES:,}")
        return sorted(files, key=lambda path: path.relative_to(self._root).parts)

    def _is_data(self, path: Path) -> bool:
        if not path.exists():
            self.leave_out("links to nothing" if path.is_symlink() else "files that are gone", path)
        elif not path.is_file():
            self.leave_out("neither files nor folders", path)
        elif is_about_data(path):
            self.leave_out("about the data", path)
        elif format_of(path) is None:
            self._kinds[path.suffix.lower() or "without a suffix"] += 1
        else:
            return True
        return False

    def leave_out(self, why: str, path: Path) -> None:
        """Notes a path that is not read."""
        self._names.setdefault(why, []).append(printable(path.relative_to(self._root).as_posix()))

    def lines(self) -> list[str]:
        """What was left out: "about the data: 2 (LICENSE.md, README.md)"."""
        made = [f"{why}: {len(names):,} ({_some(sorted(names))})" for why, names in sorted(self._names.items())]
        if self._kinds:
            kinds = ", ".join(f"{printable(kind)} {count:,}" for kind, count in self._kinds.most_common(8))
            more = f", {len(self._kinds) - 8:,} more kinds" if len(self._kinds) > 8 else ""
            made.append(f"of other kinds: {self._kinds.total():,} ({kinds}{more})")
        return made


def _some(names: list[str]) -> str:
    shown = ", ".join(name if len(name) <= 80 else f"{name[:77]}..." for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown}, ..."


def is_compressed(path: Path) -> bool:
    """Whether the size on disk says little about the text inside."""
    return suffix_of(path) == ".parquet" or path.suffix.lower() in (".gz", ".zst")
