"""TLS of the environment: which ports a server opens, and that plain text is for loopback."""

from pathlib import Path

import pytest

from deploy.certificates import Authority
from services.common.errors import InvalidInput
from services.common.tls.settings import TlsSettings
from tests.tls import Folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    made = Folder(tmp_path, Authority.new("the tests"))
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.parametrize("bind", ["0.0.0.0:7070", "[::]:7070", "10.1.2.3:7070", "host.example:7070"])
def test_a_server_in_plain_text_listens_on_loopback_alone(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TlsSettings().server(bind="127.0.0.1:7070", internal_bind=None) is None
    with pytest.raises(InvalidInput, match="RETAIN_TLS_CERT: is not set, and the server would listen on"):
        TlsSettings().server(bind=bind, internal_bind=None)
    monkeypatch.setenv("RETAIN_ALLOW_PLAIN_TEXT", "1")
    assert TlsSettings().server(bind=bind, internal_bind=None) is None


def test_a_server_with_a_certificate_listens_anywhere(folder: Folder) -> None:
    tls = TlsSettings().server(bind="0.0.0.0:7070", internal_bind=None)
    assert tls is not None
    assert not tls.is_mutual
    assert tls.files.current().certificate == folder.cert.read_bytes()


def test_an_internal_port_needs_certificate_and_authority(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = TlsSettings().server(bind="0.0.0.0:1", internal_bind="0.0.0.0:2")
    assert tls is not None
    assert tls.is_mutual
    monkeypatch.delenv("RETAIN_TLS_CA")
    with pytest.raises(InvalidInput, match=r"RETAIN_TLS_CA: is not set, and callers of 0\.0\.0\.0:2"):
        TlsSettings().server(bind="0.0.0.0:1", internal_bind="0.0.0.0:2")
    for name in ("RETAIN_TLS_CERT", "RETAIN_TLS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(InvalidInput, match=r"RETAIN_TLS_CERT: is not set, and callers of 127\.0\.0\.1:2"):
        TlsSettings().server(bind="127.0.0.1:1", internal_bind="127.0.0.1:2")


def test_a_client_without_an_authority_speaks_plain_text(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    files = TlsSettings().client()
    assert files is not None
    assert files.current().key == folder.key.read_bytes()
    monkeypatch.delenv("RETAIN_TLS_CA")
    assert TlsSettings().client() is None
