"""Local paths in a spec: made absolute for workers on this machine, uploaded for a server that cannot see them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ui.client.errors import BadInput
from ui.local.hf_folder import upload_names
from ui.local.preflight import not_there
from ui.local.transfer import UploadPort, upload, upload_files
from ui.spec.file import find_local, local_sources


def place_local_sources(
    client: UploadPort, tree: dict[str, Any], spec_path: str, *, send: bool, say: Callable[[str], None] = lambda _: None
) -> None:
    """Makes the local paths of a spec readable by the workers: uploaded with `send`, else made absolute.

    Raises BadInput.
    """
    missing, found = [], []
    for holder, key, place in local_sources(tree):
        path = find_local(holder[key], spec_path)
        if path is None:
            missing.append(not_there(holder[key], place))
        else:
            found.append((holder, key, path))
    if missing:
        raise BadInput(missing)
    for holder, key, path in found:
        holder[key] = _sent(client, key, path, say) if send else str(path)


def _sent(client: UploadPort, key: str, path: Path, say: Callable[[str], None]) -> str:
    """A model folder is sent as such, so that no pickled weights travel; data is sent whole."""
    if key == "huggingface":
        return upload_files(client, upload_names(path), say=say)
    return upload(client, path, say=say)
