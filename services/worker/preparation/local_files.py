"""Which local files a worker reads for a run: any, or only those below the folders that RETAIN_DATA_ROOT names.

On the loopback stack whoever submits a run is the user whose files these are, and nothing is set. Where others submit
too, `file:///etc/passwd` or a model folder full of links would read what the worker may read and they may not.
"""

import os
from pathlib import Path
from urllib.parse import unquote

from model.errors import BadSource

SETTING = "RETAIN_DATA_ROOT"


def check_local(field: str, place: str) -> None:
    """Raise BadSource unless a file or folder, and everything that links in it lead to, lies below a configured root.
    `place` is as written in the spec: a path, `file://...`, or an `hf://` folder; what is not local is not looked at.

    The fault names what was asked for, never what was found there."""
    path, said = local_path(place), os.environ.get(SETTING)
    if path is None or not said:
        return
    roots = [Path(root).expanduser().resolve() for root in said.split(os.pathsep) if root]
    allowed = f"a file or folder below {' or '.join(map(str, roots))} ({SETTING})"
    if not _below(path, roots):
        raise BadSource(field=field, came=place, allowed=allowed)
    for folder, folders, files in os.walk(path, followlinks=False):
        for name in (*folders, *files):
            found = Path(folder) / name
            if found.is_symlink() and not _below(found, roots):
                raise BadSource(field=field, came=f"{place}, in which {name} is a link that leads out", allowed=allowed)


def local_path(place: str) -> Path | None:
    """The local path that a source or a model names; None for one that is somewhere else."""
    base = place.partition("?")[0] if "://" in place else place
    scheme, separator, rest = base.partition("://")
    if not separator:
        return Path(base).expanduser()
    if scheme == "file":
        return Path(unquote(rest))
    if scheme == "hf" and (rest.startswith(("/", ".", "~")) or Path(rest).exists()):
        return Path(rest).expanduser()
    return None


def _below(path: Path, roots: list[Path]) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(root) for root in roots)
