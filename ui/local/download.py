"""One file out of the object store, by a presigned URL: continued where it broke off, and kept only with its hash."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ui.client.errors import ClientError, Unreachable
from ui.client.views import ExportedFile
from ui.local.transfer import CHUNK_BYTES, open_url, sha256_of

URL_REFUSED = "URL_REFUSED"  # presigned URLs end after a while; the server hands out new ones
PATIENCE_S = 60.0  # how long a store that sends nothing is asked again
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
_PASSING = {408, 429, 500, 502, 503, 504}

Progress = Callable[[int], None]


def get_file(
    file: ExportedFile,
    path: Path,
    *,
    progress: Progress = lambda _: None,
    patience_s: float = PATIENCE_S,
    ca: Path | None = None,
) -> None:
    """GETs a file; it stands at `path` only when its bytes have the size and the hash that were promised.

    What came of it lies in `path` + `.part`, and another call resumes after the last byte of that. `progress` is told
    the bytes of the file that are here, as they come. `ca`: as `open_url` has it. Raises Unreachable when
    no byte comes for `patience_s` seconds, and ClientError with the reason URL_REFUSED, OBJECT_STORE, HASH_DIFFERS or
    DISK.
    """
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if sha256_of(path) == file.sha256:
                progress(file.bytes)
                return
            path.unlink()
        partial = partial_of(path)
        from_zero = _size(partial) == 0
        _fill(file, partial, progress, patience_s, ca)
        got = sha256_of(partial)
        if got != file.sha256 and not from_zero:  # what an earlier call left may be the part that is wrong
            partial.unlink()
            _fill(file, partial, progress, patience_s, ca)
            got = sha256_of(partial)
        if got != file.sha256:
            partial.unlink()
            raise ClientError(
                f"{path.name}: the store sent bytes with SHA-256 {got}, the manifest says {file.sha256}",
                reason="HASH_DIFFERS",
            )
        partial.replace(path)


def partial_of(path: Path) -> Path:
    """Where the bytes of a file lie until it is whole."""
    return path.with_name(path.name + ".part")


def _fill(file: ExportedFile, partial: Path, progress: Progress, patience_s: float, ca: Path | None) -> None:
    """Appends what is missing, in as many requests as it takes; ends with all bytes on the disk."""
    if _size(partial) > file.bytes:
        partial.unlink()
    last_byte_s, pause_s = time.monotonic(), FIRST_PAUSE_S
    with partial.open("ab") as stream:
        while (there := stream.tell()) < file.bytes:
            try:
                for count in _append(file, stream, there, ca):
                    progress(count)
            except Unreachable:
                if stream.tell() > there:
                    last_byte_s, pause_s = time.monotonic(), FIRST_PAUSE_S
                elif time.monotonic() - last_byte_s > patience_s:
                    raise
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        stream.flush()
        os.fsync(stream.fileno())
    progress(file.bytes)


def _append(file: ExportedFile, stream: Any, there: int, ca: Path | None) -> Iterator[int]:
    """Bytes of the file that are here after each piece of one response. Raises Unreachable where it breaks off."""
    with _response(file, there, ca) as response:
        if there and response.status != http.HTTPStatus.PARTIAL_CONTENT:
            there = 0  # a store that knows no ranges sends it all again
            stream.seek(0)
            stream.truncate()
        while there < file.bytes:
            try:
                piece = response.read(min(CHUNK_BYTES, file.bytes - there))
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"the object store broke off {file.path}: {error}", reason="OBJECT_STORE") from error
            if not piece:
                said = f"the object store sent {there:,} of the {file.bytes:,} bytes of {file.path}"
                raise Unreachable(said, reason="OBJECT_STORE")
            stream.write(piece)
            there += len(piece)
            yield there


def _response(file: ExportedFile, there: int, ca: Path | None) -> Any:
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        return open_url(request, ca=ca)
    except ClientError as error:
        answer = error.__cause__
        if not isinstance(answer, urllib.error.HTTPError):
            raise
        if answer.code in _PASSING:
            raise Unreachable(error.message, reason=error.reason) from error
        if answer.code == http.HTTPStatus.FORBIDDEN:
            raise ClientError(error.message, reason=URL_REFUSED) from error
        raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """An error of this machine's file system, with the path that it is about; those of the network have their own."""
    try:
        yield
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error.strerror or error}", reason="DISK") from error
