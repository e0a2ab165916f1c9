"""Whether what came from `uploads/` is what was sent, as a fault of data; see services/common/store/uploaded.py."""

from pathlib import Path

from model.errors import BadSource
from services.common.store.uploaded import upload_fault


def check_upload(uri: str, key: str, place: Path) -> None:
    """`place` is the file or folder that came from `key`. Raises BadSource when it is not what was sent."""
    fault = upload_fault(key, place)
    if fault is not None:
        raise BadSource(uri, *fault)
