"""The object store over the `minio` client, against any S3 server (MinIO, SeaweedFS, AWS).

One layer of retries: the client's own are off, tenacity repeats what a later try may mend (no connection, 5xx,
throttling) with exponential backoff for `patience_s` (ten minutes), so that a store that is away for a minute costs a
wait and no run. A store that answers that it is full is waited for without end, by whoever asks for that
(`on_waiting`): room is made by people.
"""

import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import tenacity
import urllib3
from minio import Minio
from minio.credentials import Provider, StaticProvider
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError

from services.common.concurrency.heart import beat
from services.common.errors import InvalidInput, NotFound, Refused, RetainError, StorageFull, Unavailable, Violation
from services.common.retry import RetryPolicy
from services.common.store.connection import PIECE_BYTES, steady_pools, store_address, trusting
from services.common.store.full import Full, answers_failure, code_of, is_full, says_full
from services.common.store.object_store import ObjectInfo, SignedPut
from services.common.store.renewed_keys import RenewedKeys
from services.common.store.signed_put import sign_put

T = TypeVar("T")

PART_BYTES = 16 * 1024 * 1024
PARALLEL_PARTS = 4
# A server that takes requests and does not answer must be noticed, and counted as a failed try, well before the stall
# timeout of a worker (45 s by default), which otherwise would pass for hung.
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 20.0
OWN_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# A server that fails for a moment is not worth a word to people.
SHORT_S = 5.0

_ABSENT = {"NoSuchKey", "NoSuchObject", "NotFound", "ResourceNotFound"}
# Keys that ended, or that the store has forgotten.
_KEYS_ENDED = {"ExpiredToken", "InvalidAccessKeyId", "InvalidTokenId", "InvalidToken"}
_REFUSED = {"AccessDenied", "SignatureDoesNotMatch", "AllAccessDisabled", *_KEYS_ENDED}
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "ServerBusy",
    "XMinioServerNotInitialized",
}


def _without_signature(error: BaseException) -> str:
    """An error's text without the signatures of URLs in it: they let anybody write for a while."""
    return re.sub(r"\?X-Amz-[^\s)]*", "?(signed)", str(error))


def _worth_another_try(error: BaseException) -> bool:
    """No connection, no sensible answer, or a server that says that it is busy; never a wrong key or a refusal."""
    if isinstance(error, S3Error):
        return is_full(error) or error.code in _BUSY or error.response.status >= 500
    if isinstance(error, ServerError):
        return error.status_code >= 500
    if isinstance(error, Full):
        return True
    return isinstance(error, InvalidResponseError | HTTPError | ConnectionError | TimeoutError)


RETRIES = RetryPolicy(interval_s=0.2, maximum_s=3.0, is_retried=_worth_another_try, jitter=True)


class MinioStore:
    """`ObjectStore` on an S3 server. `on_retry` is called for every failed try (the worker counts and reports them),
    `on_bytes` for every piece that was sent or received, `on_waiting` with what is waited for ("object store full at
    URL"), and with "" when it continues; without it a full store is an error after `patience_s`, like one that is away.

    `public_endpoint` is where clients outside reach the same server; signed URLs name it, since the host is part of
    what is signed. Everything this process does itself goes to `endpoint`. `keys`: those that are asked for while it
    works, instead of a pair that stays.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        access_key: str = "",
        secret_key: str = "",
        keys: RenewedKeys | None = None,
        region: str = "us-east-1",
        patience_s: float = 600.0,
        timeout_s: float = READ_TIMEOUT_S,
        on_retry: Callable[[], None] | None = None,
        public_endpoint: str | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self.bucket, self.endpoint = bucket, endpoint
        self.patience_s = patience_s
        self.on_retry = on_retry
        self.on_bytes: Callable[[], None] = lambda: None
        self.on_waiting: Callable[[str], None] | None = None
        self._closing = threading.Event()
        self._keys = keys
        self._provider: Provider = keys or StaticProvider(access_key, secret_key)
        self._region = region
        self._http = steady_pools(
            lambda: self.on_bytes(),
            maxsize=16,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
            retries=urllib3.Retry(0, redirect=3),
            **trusting(ca_bundle),
        )

        def client_at(address: str, field: str) -> Minio:
            url = store_address(address, field)
            return Minio(
                str(url.netloc),
                credentials=self._provider,
                secure=url.scheme == "https",
                region=region,
                http_client=self._http,
            )

        self._client = client_at(endpoint, "RETAIN_S3_ENDPOINT")
        # Signing is arithmetic (the region is known): this client never connects.
        self._public = store_address(public_endpoint or endpoint, "RETAIN_S3_PUBLIC_ENDPOINT")
        self._signer = client_at(public_endpoint or endpoint, "RETAIN_S3_PUBLIC_ENDPOINT")

    @classmethod
    def from_env(
        cls, *, patience_s: float = 600.0, on_retry: Callable[[], None] | None = None, keys: RenewedKeys | None = None
    ) -> "MinioStore":
        """Read RETAIN_S3_ENDPOINT, RETAIN_S3_BUCKET, AWS_REGION, RETAIN_STORE_TIMEOUT_S, the seconds after which a
        server that does not answer is asked again, RETAIN_S3_PUBLIC_ENDPOINT, the address in signed URLs,
        AWS_CA_BUNDLE, a PEM file of the authorities that are trusted in place of the system's, and, unless there are
        `keys`, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Raises InvalidInput."""
        needed = ("RETAIN_S3_ENDPOINT", *(() if keys else OWN_KEYS))
        missing = [name for name in needed if not os.environ.get(name)]
        if missing:
            raise InvalidInput([Violation(field=name, description="is not set in the environment") for name in missing])
        return cls(
            os.environ["RETAIN_S3_ENDPOINT"],
            os.environ.get("RETAIN_S3_BUCKET") or "retain",
            access_key=os.environ.get(OWN_KEYS[0], ""),
            secret_key=os.environ.get(OWN_KEYS[1], ""),
            keys=keys,
            region=os.environ.get("AWS_REGION") or "us-east-1",
            patience_s=patience_s,
            timeout_s=float(os.environ.get("RETAIN_STORE_TIMEOUT_S") or READ_TIMEOUT_S),
            on_retry=on_retry,
            public_endpoint=os.environ.get("RETAIN_S3_PUBLIC_ENDPOINT") or None,
            ca_bundle=os.environ.get("AWS_CA_BUNDLE") or None,
        )

    def close(self) -> None:
        """Give up waiting for a store that is away: a call in backoff raises Unavailable at its next try."""
        self._closing.set()
        self._http.clear()

    def ensure_bucket(self) -> None:
        if self._keys is not None:
            return  # narrow keys open a part of a bucket that others have made

        def create() -> None:
            try:
                if not self._client.bucket_exists(self.bucket):
                    self._client.make_bucket(self.bucket)
            except S3Error as error:
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

        self._try("create the bucket", create)

    def put_file(self, key: str, path: Path) -> None:
        self._try(
            key,
            lambda: self._client.fput_object(
                self.bucket, key, str(path), part_size=PART_BYTES, num_parallel_uploads=PARALLEL_PARTS
            ),
            writes=True,
        )

    def get_file(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")

        def download() -> None:
            response = self._client.get_object(self.bucket, key)
            try:
                with partial.open("wb") as file:
                    for chunk in response.stream(PIECE_BYTES):
                        file.write(chunk)
                        beat()
                        self.on_bytes()
            finally:
                response.close()
                response.release_conn()

        try:
            self._try(key, download)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def put_bytes(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        self._try(
            key,
            lambda: self._client.put_object(self.bucket, key, io.BytesIO(data), len(data), content_type=content_type),
            writes=True,
        )

    def get_bytes(self, key: str) -> bytes:
        def read() -> bytes:
            response = self._client.get_object(self.bucket, key)
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

        return self._try(key, read)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See the port. Raises Refused for a server that does not know how."""
        tries = 0

        def put() -> int:
            nonlocal tries
            tries += 1
            url = self._client.presigned_put_object(self.bucket, key)
            response = self._http.request("PUT", url, body=data, headers={"If-None-Match": "*"})
            if says_full(response.status, response.data):
                raise Full(code_of(response.data))
            if response.status == 409 or response.status >= 500:
                # 409: another conditional write to the key is under way; its outcome is known at the next try.
                raise ServerError(f"PUT {key}: {response.status}", 503)
            return response.status

        status = self._try(key, put, writes=True)
        if status == 200:
            return True
        if status == 412:
            # The reply to an earlier try of this very call may have been lost: then the bytes there are ours.
            return tries > 1 and self.get_bytes(key) == data
        raise Refused(f"the object store answered {status} to a conditional write of {key}", metadata={"key": key})

    def stat(self, key: str) -> ObjectInfo | None:
        try:
            found = self._try(key, lambda: self._client.stat_object(self.bucket, key))
        except NotFound:
            return None
        return ObjectInfo(key=key, size_bytes=found.size or 0, etag=found.etag or "", modified=found.last_modified)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        # Read whole before the first is handed out, so that a retry in the middle cannot repeat or skip objects.
        found = self._try(prefix, lambda: [*self._client.list_objects(self.bucket, prefix=prefix, recursive=True)])
        for item in sorted(found, key=lambda item: item.object_name or ""):
            if not item.is_dir:
                yield _info(item)

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = iter(self._client.list_objects(self.bucket, prefix=prefix, recursive=True))
        # Never tried again: a listing that has failed is over for Python, and would pass for a whole one.
        what = f"the listing of {prefix or self.bucket}"
        while (item := self._try(what, lambda: next(pages, None), once=True)) is not None:
            if not item.is_dir:
                yield _info(item)

    def delete(self, key: str) -> None:
        self._try(key, lambda: self._client.remove_object(self.bucket, key))

    def presign_get(self, key: str, *, expires_s: int = 3600) -> str:
        return self._signer.presigned_get_object(self.bucket, key, expires=timedelta(seconds=expires_s))

    def sign_put(self, key: str, *, sha256: str, size_bytes: int, expires_s: int = 3600) -> SignedPut:
        return sign_put(
            self._public,
            self.bucket,
            key,
            keys=self._provider.retrieve(),
            region=self._region,
            sha256=sha256,
            size_bytes=size_bytes,
            lives_s=expires_s,
        )

    def _try(self, what: str, call: Callable[[], T], *, once: bool = False, writes: bool = False) -> T:
        """Run `call`, repeating what a later try may mend unless it is to run `once`, and translate what remains into
        the services' errors. `writes`: a server that fails may have a full disk."""
        patience = tenacity.stop_after_delay(self.patience_s)
        waiting = False

        def endless(error: BaseException | None) -> bool:
            """Whether people must make room, and the caller waits for that."""
            return self.on_waiting is not None and (is_full(error) or (writes and answers_failure(error)))

        def stop(state: tenacity.RetryCallState) -> bool:
            return once or self._closing.is_set() or (not endless(_error_of(state)) and patience(state))

        def before_sleep(state: tenacity.RetryCallState) -> None:
            nonlocal waiting
            error = _error_of(state)
            if self.on_retry is not None:
                self.on_retry()
            if self.on_waiting is None or not endless(error):
                return
            if is_full(error):
                waiting = True
                self.on_waiting(f"object store full at {self.endpoint}")
            elif (state.seconds_since_start or 0.0) >= SHORT_S:
                waiting = True
                self.on_waiting(f"object store at {self.endpoint} fails to write: its disk may be full")

        retrying = tenacity.Retrying(
            **(RETRIES.options() | {"stop": stop}),
            sleep=tenacity.sleep_using_event(self._closing),
            before_sleep=before_sleep,
        )
        try:
            result = retrying(lambda: self._with_good_keys(call))
            if waiting and self.on_waiting is not None:
                self.on_waiting("")
            return result
        except S3Error as error:
            raise self._answered(what, error) from error
        except Full as error:
            raise self._full(what, str(error)) from error
        except Exception as error:
            if _worth_another_try(error):
                said = _without_signature(error)
                raise Unavailable(
                    f"the object store could not be reached for {self.patience_s:.0f} s ({what}): {said}",
                    reason="STORE_UNAVAILABLE",
                ) from error
            raise

    def _answered(self, what: str, error: S3Error) -> RetainError:
        """The services' error for one that the store answered."""
        where = {"bucket": self.bucket, "key": what}
        if error.code in _ABSENT:
            return NotFound(f"there is no object {what} in the bucket {self.bucket}", metadata=where)
        if error.code == "NoSuchBucket":
            return NotFound(f"there is no bucket {self.bucket}", reason="NO_BUCKET", metadata=where)
        if is_full(error):
            return self._full(what, error.code)
        if error.code in _REFUSED:
            return Refused(f"the object store refuses {what}: {error.code}", reason="STORE_REFUSED", metadata=where)
        return Unavailable(f"the object store failed on {what}: {error.code}", reason="STORE_FAILED")

    def _with_good_keys(self, call: Callable[[], T]) -> T:
        """`call`, and once more with new keys when the store does not know the present ones any more."""
        try:
            return call()
        except S3Error as error:
            if self._keys is None or error.code not in _KEYS_ENDED:
                raise
            self._keys.forget()
            return call()

    def _full(self, what: str, code: str | None) -> StorageFull:
        return StorageFull(f"object store full at {self.endpoint} ({code or 'no room'}: {what})", reason="STORE_FULL")


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _info(item: Any) -> ObjectInfo:
    return ObjectInfo(
        key=item.object_name or "", size_bytes=item.size or 0, etag=item.etag or "", modified=item.last_modified
    )
