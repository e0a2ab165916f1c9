"""Access to a part of the bucket, for a while: keys of one run, and a form by which one file can be sent.

A worker runs what people gave it, so the keys that it holds are worth as much as what they open. Where the store speaks
STS (MinIO, AWS) it makes keys that write one run's prefix, read what a run is made from, and end by themselves; the
policy goes along with the question, and is enforced by the store. Where it does not (SeaweedFS without an identity
provider) there are no such keys: `issue` says so, and signed URLs for single objects are what is left.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import urllib3
from minio import Minio
from minio.credentials import AssumeRoleProvider
from minio.datatypes import PostPolicy
from urllib3.exceptions import HTTPError

from retain.values.faults import mismatch
from services.common.errors import FailedPrecondition, InvalidInput, Unavailable, Violation
from services.common.store.connection import store_address

SHORTEST_S, LONGEST_S = 900, 43_200  # what STS takes
TIMEOUT_S = 10.0
# What a run makes for others to reuse is named by its content; what it reads besides was made, or sent, before it.
SHARED = ("prepared", "tokenizers", "evalsets", "imports")
READ = ("uploads",)
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class RunKeys:
    """Keys that end at `expire_s` (Unix time). They are not shown by `repr`."""

    access_key: str
    secret_key: str
    session_token: str
    expire_s: float

    def __repr__(self) -> str:
        return f"RunKeys(access_key={self.access_key!r}, expire_s={self.expire_s})"


@dataclass(frozen=True, kw_only=True)
class UploadForm:
    """POST these fields and, last, the file as `file` to the URL (multipart/form-data)."""

    url: str
    fields: Mapping[str, str]


def run_policy(bucket: str, run_id: str, *, reads: tuple[str, ...] = ()) -> dict[str, Any]:
    """The policy of a run's keys, in the language of S3: its own prefix whole; what is named by content can be read and
    added to, not deleted; `reads` are further keys or prefixes, such as its base. Raises InvalidInput."""
    if not _RUN.fullmatch(run_id) or ".." in run_id:
        raise InvalidInput([Violation(field="run_id", description=mismatch(repr(run_id), "the name of a run"))])
    for prefix in reads:
        if not prefix or prefix.startswith("/") or any(mark in prefix for mark in ("*", "?", "${", "..")):
            raise InvalidInput([Violation(field="reads", description=mismatch(repr(prefix), "plain prefixes"))])
    objects = f"arn:aws:s3:::{bucket}"
    own, listed = f"{objects}/runs/{run_id}/*", [f"runs/{run_id}/*"]
    others = [f"{prefix}/*" for prefix in (*SHARED, *READ)] + [f"{prefix.rstrip('/')}/*" for prefix in reads]
    multipart = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", *multipart],
             "Resource": [own]},
            {"Effect": "Allow", "Action": ["s3:PutObject", *multipart],
             "Resource": [f"{objects}/{prefix}/*" for prefix in SHARED]},
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{objects}/{prefix}" for prefix in others]},
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [objects],
             "Condition": {"StringLike": {"s3:prefix": [*listed, *others]}}},
            {"Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": [objects]},
        ],
    }  # fmt: skip


class NarrowAccess:
    """Asks a store for keys of a run, and signs upload forms. The keys that it is made with stay with it."""

    def __init__(
        self, endpoint: str, bucket: str, *, access_key: str, secret_key: str, region: str = "us-east-1",
        public_endpoint: str | None = None,
    ) -> None:  # fmt: skip
        self._endpoint, self._bucket, self._region = endpoint, bucket, region
        self._access_key, self._secret_key = access_key, secret_key
        self._public = store_address(public_endpoint or endpoint, "RETAIN_S3_PUBLIC_ENDPOINT")
        store_address(endpoint, "RETAIN_S3_ENDPOINT")

    def issue(self, run_id: str, *, lives_s: int = 3600, reads: tuple[str, ...] = ()) -> RunKeys:
        """Keys that open what a run needs and nothing else. Blocks.

        Raises FailedPrecondition (NO_STS) where the store makes no such keys, Unavailable when it does not answer,
        InvalidInput."""
        if not SHORTEST_S <= lives_s <= LONGEST_S:
            said = mismatch(lives_s, f"{SHORTEST_S} to {LONGEST_S} s")
            raise InvalidInput([Violation(field="lives_s", description=said)])
        provider = AssumeRoleProvider(
            sts_endpoint=self._endpoint,
            access_key=self._access_key,
            secret_key=self._secret_key,
            duration_seconds=lives_s,
            policy=json.dumps(run_policy(self._bucket, run_id, reads=reads)),
            region=self._region,
            role_arn="arn:xxx:xxx:xxx:xxxx",  # MinIO asks for one and reads it not
            role_session_name=re.sub(r"[^A-Za-z0-9-]", "-", run_id)[:64],
            http_client=urllib3.PoolManager(timeout=TIMEOUT_S, retries=False),
        )
        try:
            found = provider.retrieve()
        except HTTPError as error:
            raise Unavailable(
                f"the object store at {self._endpoint} does not answer", reason="STORE_UNAVAILABLE"
            ) from error
        except Exception as error:  # the library raises ValueError, S3Error or an XML error, as the store's page is
            raise FailedPrecondition(
                f"the object store at {self._endpoint} makes no keys for a run ({type(error).__name__})",
                reason="NO_STS",
            ) from error
        ends = found.expiration or datetime.now(UTC) + timedelta(seconds=lives_s)
        return RunKeys(
            access_key=found.access_key,
            secret_key=found.secret_key,
            session_token=found.session_token or "",
            expire_s=ends.replace(tzinfo=ends.tzinfo or UTC).timestamp(),
        )

    def upload_form(self, key: str, *, size_bytes: int, lives_s: int = 3600) -> UploadForm:
        """A form for one object of exactly this key and size; the store refuses any other (POST Object, SigV4)."""
        policy = PostPolicy(self._bucket, datetime.now(UTC) + timedelta(seconds=lives_s))
        policy.add_equals_condition("key", key)
        policy.add_content_length_range_condition(size_bytes, size_bytes)
        client = Minio(
            str(self._public.netloc),
            access_key=self._access_key,
            secret_key=self._secret_key,
            secure=self._public.scheme == "https",
            region=self._region,
        )
        fields = client.presigned_post_policy(policy)
        return UploadForm(url=f"{self._public.url.rstrip('/')}/{self._bucket}", fields={"key": key, **fields})
