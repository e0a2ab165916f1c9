"""Signed URLs name the address that clients outside reach; all else goes to the store's own."""

from urllib.parse import urlsplit

import pytest

from services.common.errors import InvalidInput
from services.common.store.minio_store import MinioStore

INSIDE = {
    "RETAIN_S3_ENDPOINT": "http://minio:9000",
    "AWS_ACCESS_KEY_ID": "retain",
    "AWS_SECRET_ACCESS_KEY": "b" * 8,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in INSIDE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RETAIN_S3_PUBLIC_ENDPOINT", raising=False)
    return monkeypatch


def test_signed_urls_name_the_public_endpoint(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RETAIN_S3_PUBLIC_ENDPOINT", "https://objects.example.com")
    store = MinioStore.from_env()
    for url in (store.presign_get("runs/r/a"), store.sign_put("uploads/b", sha256="a" * 64, size_bytes=1).url):
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("https", "objects.example.com")
        assert "X-Amz-Signature=" in parts.query


def test_without_one_they_name_the_endpoint_itself(environment: pytest.MonkeyPatch) -> None:
    assert urlsplit(MinioStore.from_env().presign_get("runs/r/a")).netloc == "minio:9000"


def test_a_public_endpoint_without_a_scheme_is_refused_by_its_name(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RETAIN_S3_PUBLIC_ENDPOINT", "objects.example.com")
    with pytest.raises(InvalidInput) as refused:
        MinioStore.from_env()
    assert [violation.field for violation in refused.value.violations] == ["RETAIN_S3_PUBLIC_ENDPOINT"]
