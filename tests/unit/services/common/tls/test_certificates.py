"""Certificate files: read again when they change, and never used while they do not fit together."""

import datetime
import os
from pathlib import Path

import pytest
import structlog

from deploy.certificates import Authority
from services.common.errors import InvalidInput
from services.common.tls.certificates import CertificateFiles
from tests.tls import EXPIRED, Folder

AUTHORITY = Authority.new("the tests")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, AUTHORITY)


def test_what_did_not_change_is_the_same_object(folder: Folder) -> None:
    files = folder.files()
    found = files.current()
    assert found is files.current()
    assert (found.ca, found.certificate) == (AUTHORITY.pem, folder.cert.read_bytes())
    assert found.expires is not None
    assert found.expires > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3000)


def test_a_renewed_certificate_is_used(folder: Folder) -> None:
    files = folder.files()
    before = files.current()
    pair = folder.renew(AUTHORITY)
    assert (files.current().certificate, files.current().key) == (pair.certificate, pair.key)
    assert files.current() is not before


def test_between_two_looks_nothing_is_read(folder: Folder) -> None:
    at_s = [0.0]
    files = CertificateFiles(ca=folder.ca, cert=folder.cert, key=folder.key, look_every_s=1.0, clock=lambda: at_s[0])
    before = files.current()
    folder.renew(AUTHORITY)
    at_s[0] = 0.9
    assert files.current() is before
    at_s[0] = 1.1
    assert files.current() is not before


def test_a_certificate_without_its_key_yet_is_not_used(folder: Folder) -> None:
    files = folder.files()
    before = files.current()
    pair = AUTHORITY.issue("renewed")
    folder.cert.write_bytes(pair.certificate)
    assert files.current() is before
    folder.key.write_bytes(pair.key)
    assert files.current().certificate == pair.certificate


@pytest.mark.parametrize("damage", ["gone", "empty", "expired"])
def test_what_is_not_good_leaves_the_last_good_one(folder: Folder, damage: str) -> None:
    files = folder.files()
    before = files.current()
    if damage == "gone":
        folder.cert.unlink()
    elif damage == "empty":
        folder.cert.write_bytes(b"")
    else:
        folder.renew(AUTHORITY, lifetime=EXPIRED)
    assert files.current() is before
    pair = folder.renew(AUTHORITY)
    assert files.current().certificate == pair.certificate


def test_a_link_to_all_three_is_renewed_as_kubernetes_does_it(tmp_path: Path) -> None:
    Folder(tmp_path / "first", AUTHORITY)
    second = Folder(tmp_path / "second", AUTHORITY)
    data = tmp_path / "..data"
    data.symlink_to("first")
    files = CertificateFiles(ca=data / "ca.pem", cert=data / "cert.pem", key=data / "key.pem", look_every_s=0.0)
    before = files.current()
    (tmp_path / "..new").symlink_to("second")
    os.replace(tmp_path / "..new", data)
    assert files.current() is not before
    assert files.current().certificate == second.cert.read_bytes()


def test_a_certificate_that_ends_soon_is_told_once_an_hour(folder: Folder) -> None:
    folder.renew(AUTHORITY, lifetime=datetime.timedelta(days=6))
    at_s = [0.0]
    files = folder.files(clock=lambda: at_s[0])
    with structlog.testing.capture_logs() as told:
        for at_s[0] in (1.0, 2.0, 3599.0):
            files.current()
        assert [(one["log_level"], one["event"]) for one in told] == [
            ("error", "the certificate ends soon, and nobody has renewed it")
        ]
        at_s[0] = 3602.0
        files.current()
        assert len(told) == 2
        folder.renew(AUTHORITY)
        at_s[0] = 9000.0
        files.current()
    assert [one["event"] for one in told][2:] == ["certificates were renewed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: folder.ca.unlink(), "RETAIN_TLS_CA: .*ca.pem cannot be read"),
        (lambda folder: folder.ca.write_text("nothing"), "RETAIN_TLS_CA: holds no certificates"),
        (lambda folder: folder.key.write_bytes(AUTHORITY.issue("x").key), "RETAIN_TLS_KEY: is the key of another"),
        (lambda folder: folder.key.write_bytes(folder.cert.read_bytes()), "RETAIN_TLS_KEY: holds no private key"),
        (lambda folder: folder.renew(AUTHORITY, lifetime=EXPIRED), "RETAIN_TLS_CERT: .*expired at 20"),
    ],
)
def test_a_start_with_what_is_not_good_names_the_setting(folder: Folder, change, said: str) -> None:
    change(folder)
    with pytest.raises(InvalidInput, match=said):
        folder.files()


def test_a_certificate_and_its_key_come_together(folder: Folder) -> None:
    with pytest.raises(InvalidInput, match="RETAIN_TLS_KEY: is not set, and RETAIN_TLS_CERT is"):
        CertificateFiles(ca=folder.ca, cert=folder.cert)
    assert CertificateFiles(ca=folder.ca).current().certificate is None
