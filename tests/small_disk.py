"""A real disk of a few megabytes, to be filled: a file system in memory, mounted for the length of a test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted file system."""

    def __init__(self, folder: Path, megabytes: float) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._mount("mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(folder))

    def resize(self, megabytes: float) -> None:
        """Give it another size, which is how people make room."""
        self._mount("mount", "-o", f"remount,size={int(megabytes * 1024)}k", str(self.folder))

    def fill(self) -> Path:
        """Take all the room there is, with one file."""
        path = self.folder / "filler"
        with path.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return path
        raise AssertionError("the disk has no end")

    def end(self) -> None:
        """Unmount, whoever still has files open."""
        self._mount("umount", "-l", str(self.folder))

    @staticmethod
    def _mount(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, *, megabytes: float) -> Iterator[SmallDisk]:
    """Mount, and unmount at the end."""
    if os.getuid() != 0:
        pytest.skip("mounting a small disk takes root")
    disk = SmallDisk(folder, megabytes)
    try:
        yield disk
    finally:
        disk.end()
