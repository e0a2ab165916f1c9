"""Certificates from PEM files, read again when these change: a renewed one is used from the next connection on.

Whoever renews replaces files one after the other (or, as Kubernetes does, a link to all of them at once). What does not
fit together is not used: the last good certificates stay, and the files are looked at again.
"""

import datetime
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from services.common.errors import InvalidInput
from services.common.logging import get_logger

CA, CERT, KEY = "RETAIN_TLS_CA", "RETAIN_TLS_CERT", "RETAIN_TLS_KEY"
ENDS_SOON = datetime.timedelta(days=7)  # whoever renews has had weeks by then
TOLD_EVERY_S = 3600.0
LOOK_EVERY_S = 1.0  # a connection or call within it takes what the last look found
Stamp = tuple[tuple[int, int, int] | None, ...]
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Contents of the files, PEM: the authorities that are trusted, the own certificate (with those between it and the
    authority behind it) and its key. `expires` is the end of the own one."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    expires: datetime.datetime | None = None


class CertificateFiles:
    """The files of one process. Thread-safe; `current` is cheap. `ca`, `cert` and `key` are what the settings name."""

    def __init__(
        self,
        *,
        ca: Path | None,
        cert: Path | None = None,
        key: Path | None = None,
        look_every_s: float = LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads them. Raises InvalidInput that names the setting whose file is none, is damaged, has expired, or does
        not fit the others."""
        self._paths = (ca, cert, key)
        self._look_every_s, self._clock = look_every_s, clock
        self._lock = threading.Lock()
        self._stamp = self._stamps()
        self._current = self._read()
        self._failed: Stamp | None = None
        self._tell_again_s = clock()
        self._look_again_s = clock() + look_every_s

    def current(self) -> Certificates:
        """What the files hold, or held when they last fitted together. The same object as long as nothing changed."""
        with self._lock:
            if self._clock() >= self._look_again_s:
                self._look_again_s = self._clock() + self._look_every_s
                self._look()
                self._tell()
            return self._current

    def _tell(self) -> None:
        """Before the end of a certificate that nobody has renewed, in the log, once an hour."""
        expires = self._current.expires
        if expires is None or expires - datetime.datetime.now(datetime.UTC) > ENDS_SOON:
            return
        if self._clock() >= self._tell_again_s:
            self._tell_again_s = self._clock() + TOLD_EVERY_S
            log.error("the certificate ends soon, and nobody has renewed it", expires=expires.isoformat())

    def _look(self) -> None:
        stamp = self._stamps()
        if stamp == self._stamp:
            return
        try:
            found = self._read()
        except InvalidInput as error:
            if self._failed != stamp:  # said once for each change; looked at until it fits
                self._failed = stamp
                log.warning("changed certificate files do not fit and are not used yet", error=error.message)
            return
        if self._stamps() != stamp:
            return  # they are being changed at this moment
        self._stamp, self._current = stamp, found
        log.info("certificates were renewed", expires=found.expires and found.expires.isoformat())

    def _stamps(self) -> Stamp:
        return tuple(_stamp(path) for path in self._paths)

    def _read(self) -> Certificates:
        ca, certificate, key = (_content(name, path) for name, path in zip((CA, CERT, KEY), self._paths, strict=True))
        if ca is not None:
            _chain(CA, ca)
        if (certificate is None) != (key is None):
            missing, there = (CERT, KEY) if certificate is None else (KEY, CERT)
            raise InvalidInput.at(missing, f"is not set, and {there} is; expected both or none")
        if certificate is None or key is None:
            return Certificates(ca=ca)
        own = _chain(CERT, certificate)[0]
        if own.public_key() != _key(key).public_key():
            raise InvalidInput.at(KEY, f"is the key of another certificate; expected that of {self._paths[1]}")
        if own.not_valid_after_utc <= datetime.datetime.now(datetime.UTC):
            said = f"{self._paths[1]} expired at {own.not_valid_after_utc.isoformat()}; expected a newer one"
            raise InvalidInput.at(CERT, said)
        return Certificates(ca=ca, certificate=certificate, key=key, expires=own.not_valid_after_utc)


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)


def _content(name: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput.at(name, f"{path} cannot be read ({error.strerror}); expected a PEM file") from error


def _chain(name: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidInput.at(name, f"holds no certificates ({error}); expected a PEM file of them") from error


def _key(pem: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput.at(KEY, "holds no private key that can be read; expected an unencrypted one, PEM") from error
