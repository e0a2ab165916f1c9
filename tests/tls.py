"""Certificates of the tests: a real authority, and files that are replaced as whoever renews replaces them."""

import datetime
import os
from pathlib import Path

import grpc

from deploy.certificates import LOOPBACK, Authority, Pair
from services.common.tls.certificates import CertificateFiles

EXPIRED = datetime.timedelta(days=-1)


class Folder:
    """ca.pem, cert.pem and key.pem of one party. `write` replaces each at once, key and certificate one by one."""

    def __init__(self, path: Path, authority: Authority, **how: object) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (path / f"{name}.pem" for name in ("ca", "cert", "key"))
        self.trust(authority.pem)
        self.renew(authority, **how)

    def renew(self, authority: Authority, *, name: str = "party", names=LOOPBACK, **how) -> Pair:
        """A new certificate of the authority."""
        pair = authority.issue(name, names=names, **how)
        _replace(self.cert, pair.certificate)
        _replace(self.key, pair.key)
        return pair

    def trust(self, pem: bytes) -> None:
        """Others whose certificates are taken."""
        _replace(self.ca, pem)

    def files(self, **how) -> CertificateFiles:
        """As a service reads them; a look at every call, not at every second."""
        return CertificateFiles(ca=self.ca, cert=self.cert, key=self.key, **{"look_every_s": 0.0, **how})

    def environment(self) -> dict[str, str]:
        """The settings that name them."""
        return {"RETAIN_TLS_CA": str(self.ca), "RETAIN_TLS_CERT": str(self.cert), "RETAIN_TLS_KEY": str(self.key)}

    def credentials(self, *, own: bool = True) -> grpc.ChannelCredentials:
        """Of a client as the files are now; without `own` it shows no certificate."""
        pair = (self.key.read_bytes(), self.cert.read_bytes()) if own else (None, None)
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), *pair)


def _replace(path: Path, content: bytes) -> None:
    half = path.with_suffix(".half")
    half.write_bytes(content)
    os.replace(half, path)


def shown_by(address: str) -> bytes:
    """The certificate that a server shows to a new connection, PEM."""
    import ssl

    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=10).encode()
