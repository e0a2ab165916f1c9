"""Questions whose answer says that a program is ready. None of them raises: not yet is an answer."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from deploy.healthcheck import grpc_serving

TIMEOUT_S = 3.0
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_ready(url: str, *, bearer: str | None = None) -> bool:
    """Whether a GET is answered with 200."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        with _NO_PROXY.open(request, timeout=TIMEOUT_S) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError):
        return False


def grpc_ready(address: str, service: str, *, ca: Path | None = None) -> bool:
    """Whether the service reports SERVING by the gRPC health protocol, with TLS when a file of authorities is named."""
    return grpc_serving(address, service, timeout_s=TIMEOUT_S, ca=ca)


def bucket_ready(endpoint: str, credentials: Mapping[str, str]) -> bool:
    """Whether the bucket is there; makes it when the server answers and it is not."""
    url = urllib3.util.parse_url(endpoint)
    client = Minio(
        str(url.netloc),
        access_key=credentials["AWS_ACCESS_KEY_ID"],
        secret_key=credentials["AWS_SECRET_ACCESS_KEY"],
        region=credentials["AWS_REGION"],
        secure=url.scheme == "https",
        http_client=urllib3.PoolManager(timeout=TIMEOUT_S, retries=False, ca_certs=credentials.get("AWS_CA_BUNDLE")),
    )
    bucket = credentials["RETAIN_S3_BUCKET"]
    try:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
        return True
    except S3Error as error:
        return error.code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
    except (MinioException, HTTPError, OSError, ValueError):
        return False
