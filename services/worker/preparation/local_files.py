"""Which local files a worker reads for a run: those below the folders that RETAIN_DATA_ROOT names.

On the loopback stack whoever submits a run is the user whose files these are: nothing is set, and only the system's own
folders and those with keys are refused. Where others submit too, `file:///etc/passwd` or a model folder full of links
would read what the worker may read and they may not.
"""

import os

from model.errors import BadSource
from services.common.places import SETTING, allowed_folders, leads_out, local_path, roots_of

__all__ = ["SETTING", "check_local", "local_path"]


def check_local(field: str, place: str) -> None:
    """Raise BadSource unless a file or folder, and everything that links in it lead to, may be read. `place` is as
    written in the spec: a path, `file://...`, or an `hf://` folder; what is not local is not looked at.

    The fault names what was asked for, never what was found there."""
    path, roots = local_path(place), roots_of(os.environ.get(SETTING))
    if path is None:
        return
    link = leads_out(path, roots)
    if link is not None:
        got = f"{place}, in which {link} is a link that leads out" if link else place
        raise BadSource(field=field, got=got, expected=allowed_folders(roots))
