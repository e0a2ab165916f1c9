"""Bytes between this machine and the object store, through presigned URLs. Nothing here needs a key of the store."""

import hashlib
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from retain.values.faults import mismatch
from ui.client.errors import BadInput, ClientError, Unreachable, Violation
from ui.client.views import Upload

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0


class UploadPort(Protocol):
    """What of the client an upload needs."""

    @property
    def tls_ca(self) -> Path | None: ...

    def create_upload(self, *, sha256: str, file_name: str, size_bytes: int, folder: str = "") -> Upload: ...


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def put_file(url: str, path: Path, headers: Mapping[str, str], *, ca: Path | None = None) -> None:
    """PUTs the file's bytes with the headers that the URL was signed for. Somebody else may have sent the same file in
    the meantime: then it is there."""
    with path.open("rb") as stream:
        size = str(path.stat().st_size)
        sent = {"Content-Length": size, "Content-Type": "application/octet-stream", **headers}
        request = urllib.request.Request(url, data=stream, method="PUT", headers=sent)
        try:
            with open_url(request, ca=ca):
                pass
        except ClientError as error:
            answer = error.__cause__
            if not isinstance(answer, urllib.error.HTTPError) or answer.code != http.HTTPStatus.PRECONDITION_FAILED:
                raise


def open_url(request: urllib.request.Request, *, ca: Path | None = None) -> Any:
    """The response. `ca`: PEM file of authorities that are trusted besides the system's.

    Raises ClientError for a status that is an error (its cause is the HTTPError) and for a certificate that nobody
    signed who is trusted, else Unreachable.
    """
    parts = urllib.parse.urlsplit(request.full_url)
    host = parts.hostname or ""
    handlers: list[urllib.request.BaseHandler] = []
    if host in {"localhost", "::1"} or host.startswith("127."):
        handlers.append(urllib.request.ProxyHandler({}))
    if parts.scheme == "https" and ca is not None:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=ca)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        return urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        raise ClientError(
            f"the object store answered {error.code} {error.reason} to {request.get_method()}", reason="OBJECT_STORE"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            said = f"the object store at {host} has a certificate that nobody in RETAIN_TLS_CA (--ca) signed"
            raise ClientError(said, reason="OBJECT_STORE") from error
        raise Unreachable(f"the object store at {host} does not answer: {error}", reason="OBJECT_STORE") from error


def upload(client: UploadPort, path: Path, *, say: Callable[[str], None] = lambda _: None) -> str:
    """Uploads a file, or a folder of files, and returns its s3:// URI. What the store has already is not sent again.

    Raises BadInput.
    """
    if path.is_file():
        return _upload_file(client, path, path.name, "", sha256_of(path), say)
    files = _files_of(path)
    if not files:
        said = mismatch("an empty folder", "a file, or a folder with files")
        raise BadInput([Violation(field=str(path), description=said)])
    # A stored folder is flat: the folders in a name become part of it. Bytes that are no UTF-8 become escapes.
    names = {entry: "__".join(entry.relative_to(path).parts).encode("utf-8", "backslashreplace") for entry in files}
    return upload_files(client, {name.decode(): entry for entry, name in names.items()}, say=say)


def _files_of(folder: Path) -> list[Path]:
    """What the reader of a folder would look at: links are followed, no folder is entered twice, hidden ones never."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        here = folders.pop() if folders else links.pop(0)
        facts = here.stat()
        if (facts.st_dev, facts.st_ino) in seen:
            continue
        seen.add((facts.st_dev, facts.st_ino))
        for entry in sorted(here.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            elif entry.is_file():
                found.append(entry)
    return sorted(found)


def upload_files(client: UploadPort, files: dict[str, Path], *, say: Callable[[str], None] = lambda _: None) -> str:
    """Uploads files under their names into one folder, named by a digest of what it holds; returns its s3:// URI."""
    hashes = {name: sha256_of(entry) for name, entry in files.items()}
    folder = hashlib.sha256(
        "\n".join(f"{name} {digest}" for name, digest in sorted(hashes.items())).encode()
    ).hexdigest()
    uris = [_upload_file(client, entry, name, folder, hashes[name], say) for name, entry in files.items()]
    return uris[0].rpartition("/")[0]


def _upload_file(
    client: UploadPort, path: Path, name: str, folder: str, digest: str, say: Callable[[str], None]
) -> str:
    size = path.stat().st_size
    target = client.create_upload(sha256=digest, file_name=name, size_bytes=size, folder=folder)
    if target.url:
        say(f"uploading {path} ({size / 1e6:.1f} MB)")
        put_file(target.url, path, target.headers, ca=client.tls_ca)
    return target.uri
