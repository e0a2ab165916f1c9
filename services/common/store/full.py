"""How object stores say that they are full: S3 has no code for it, so each has its own way."""

import re

from minio.error import S3Error, ServerError

# MinIO's answers when its disks or a bucket's quota are full, and other servers'; some only say it in words.
CODES = {
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded",
    "InsufficientCapacity",
    "InsufficientStorage",
    "StorageFull",
}
STATUS = 507
WORDS = ("no space left on device", "no writable volumes", "no free volumes", "not enough free space")


class Full(Exception):
    """The store has no room: the code that it said so with."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error of the client says so."""
    if isinstance(error, S3Error):
        words = (error.message or "").lower()
        return error.code in CODES or error.response.status == STATUS or any(w in words for w in WORDS)
    return isinstance(error, Full) or (isinstance(error, ServerError) and error.status_code == STATUS)


def answers_failure(error: BaseException | None) -> bool:
    """Whether a server that is there answers that something is wrong with it. SeaweedFS says no more than that when its
    disk is full."""
    if isinstance(error, S3Error):
        return error.response.status >= 500 and error.code != "SlowDown"
    return isinstance(error, ServerError) and error.status_code >= 500


def says_full(status: int, body: bytes) -> bool:
    """Whether an answer says so."""
    text = body[:4096].decode(errors="replace").lower()
    return status == STATUS or code_of(body) in CODES or (status >= 500 and any(words in text for words in WORDS))


def code_of(body: bytes) -> str:
    """The error code in an S3 answer's XML."""
    found = re.search(rb"<Code>(\w{1,100})</Code>", body[:4096])
    return found.group(1).decode() if found else ""
