"""A URL for one file of one size and one content, written once: what people upload by.

The size, the SHA-256 and "only if there is nothing yet" are headers that are part of what is signed (AWS Signature
Version 4, query form), so the store refuses any other body (MinIO, SeaweedFS and AWS do). A signed form (POST Object)
binds size and content too, but lets whoever has it replace the file later.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import quote

from minio.credentials import Credentials
from urllib3.util import Url

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.store.object_store import SignedPut

_SHA256 = re.compile(r"[0-9a-f]{64}")


def sign_put(
    address: Url, bucket: str, key: str, *, keys: Credentials, region: str, sha256: str, size_bytes: int,
    lives_s: int, now: datetime | None = None,
) -> SignedPut:  # fmt: skip
    """Signs for a file of `size_bytes` bytes with this SHA-256 (hex). Arithmetic alone. Raises InvalidInput."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput([Violation(field="sha256", description=mismatch(repr(sha256), "64 hex digits"))])
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    sent = {
        "if-none-match": "*",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
    }
    signed = {"host": str(address.netloc), "content-length": str(size_bytes), **sent}
    names = ";".join(sorted(signed))
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(lives_s),
        "X-Amz-SignedHeaders": names,
    }
    if keys.session_token:
        query["X-Amz-Security-Token"] = keys.session_token
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    path = f"/{bucket}/{quote(key, safe='/-_.~')}"
    headers = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = "\n".join(["PUT", path, asked, headers, names, "UNSIGNED-PAYLOAD"])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    secret = f"AWS4{keys.secret_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    return SignedPut(url=f"{address.scheme}://{address.netloc}{path}?{asked}&X-Amz-Signature={signature}", headers=sent)
