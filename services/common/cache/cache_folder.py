"""A folder that a cache may fill, trust and delete from: one of its own, and of nobody else.

The names of caches are guessable (a folder in the system's temporary folder) or typed by people (a setting), so a
folder is only taken when it is empty or carries the marker of an earlier process of this user.
"""

import os
import stat
from pathlib import Path

from services.common.errors import FailedPrecondition

MARKER = ".retain-cache"
# What a freshly mounted file system may hold of its own.
_NOT_OURS_BUT_HARMLESS = {"lost+found"}


def claim(root: Path, *names: str) -> list[Path]:
    """Take `root` as a cache, and return its folders `names`, made where they are not there.

    Raises FailedPrecondition (FOREIGN_CACHE), which names the folder, for a symbolic link, a folder of another user
    (root's is fine: that is how volumes are mounted), and one that holds something and no marker.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(mode=0o700, exist_ok=True)
    _check(root, root, owners=(os.getuid(), 0))
    marker = root / MARKER
    if not os.path.lexists(marker):
        found = sorted({path.name for path in root.iterdir()} - _NOT_OURS_BUT_HARMLESS - {MARKER})
        if found and not os.path.lexists(marker):
            raise _foreign(root, f"it holds {found[0]!r} and no {MARKER}: it is no cache of Retain's")
        marker.touch(mode=0o600, exist_ok=True)
    facts = marker.lstat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.getuid():
        raise _foreign(root, f"its {MARKER} is not a file of this user ({os.getuid()})")
    made = []
    for name in names:
        folder = root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        _check(folder, root, owners=(os.getuid(),))
        made.append(folder)
    return made


def _check(folder: Path, root: Path, *, owners: tuple[int, ...]) -> None:
    facts = folder.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise _foreign(root, f"{folder} is a symbolic link: name the folder that it points to")
    if not stat.S_ISDIR(facts.st_mode):
        raise _foreign(root, f"{folder} is not a folder")
    if facts.st_uid not in owners:
        raise _foreign(root, f"{folder} belongs to the user {facts.st_uid}, this process to {os.getuid()}")


def _foreign(root: Path, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the cache folder {root} is not used: {why}; expected an empty folder of this user's own, or none yet",
        reason="FOREIGN_CACHE",
        metadata={"folder": str(root)},
    )
