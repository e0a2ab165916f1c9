"""Whether what came from `uploads/` is what was sent: its place there names its content, and whoever loads looks.

    uploads/{sha256 of the file}/{file}
    uploads/{sha256 over the lines "name sha256" of its files, sorted}/model/{file}

In front of the digest there may be a project's name and a dot. A folder with any other name says nothing of its
content; the manifest of an imported model does.
"""

import hashlib
import re
from pathlib import Path

_FILE = re.compile(r"uploads/(?:[^/.]+\.)?(?P<digest>[0-9a-f]{64})/[^/]+")
_FOLDER = re.compile(r"uploads/(?:[^/.]+\.)?(?P<digest>[0-9a-f]{64})/model")


def upload_fault(key: str, place: Path) -> tuple[str, str] | None:
    """`place` is the file or folder that came from `key`: (what its content is, what was sent) where they differ."""
    pattern, found = (_FILE, _sha256) if place.is_file() else (_FOLDER, _folder_sha256)
    named = pattern.fullmatch(key)
    if named is None:
        return None
    digest = found(place)
    if digest == named["digest"]:
        return None
    return f"content with SHA-256 {digest}", f"what was uploaded, {named['digest']}"


def uploaded_file(key: str) -> tuple[str, str] | None:
    """(SHA-256, name) of the file that was uploaded to `key`; None for a key of anything else."""
    named = _FILE.fullmatch(key)
    return (named["digest"], key.rpartition("/")[2]) if named is not None else None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _folder_sha256(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256("\n".join(f"{path.name} {_sha256(path)}" for path in files).encode()).hexdigest()
