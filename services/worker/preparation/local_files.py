"""Which local files a worker reads for a run: those below the folders that RETAIN_DATA_ROOT names.

On the loopback stack whoever submits a run is the user whose files these are: nothing is set, and only the system's own
folders and those with keys are refused. Where others submit too, `file:///etc/passwd` or a model folder full of links
would read what the worker may read and they may not.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from model.errors import BadSource
from services.common.places import SETTING, allowed_folders, is_private, local_path, roots_of

__all__ = ["SETTING", "check_local", "local_path"]


def check_local(field: str, place: str) -> None:
    """Raise BadSource unless a file or folder, and everything that links in it lead to, may be read. `place` is as
    written in the spec: a path, `file://...`, or an `hf://` folder; what is not local is not looked at.

    The fault names what was asked for, never what was found there."""
    path, roots = local_path(place), roots_of(os.environ.get(SETTING))
    if path is None:
        return
    expected = allowed_folders(roots)
    if not _may_be_read(path, roots):
        raise BadSource(field=field, got=place, expected=expected)
    for folder, folders, files in os.walk(path, followlinks=False):
        for name in (*folders, *files):
            found = Path(folder) / name
            if found.is_symlink() and not _may_be_read(found, roots):
                raise BadSource(
                    field=field, got=f"{place}, in which {name} is a link that leads out", expected=expected
                )


def _may_be_read(path: Path, roots: Sequence[Path]) -> bool:
    resolved = path.resolve()
    if roots:
        return any(resolved.is_relative_to(root) for root in roots)
    return not is_private(resolved)
