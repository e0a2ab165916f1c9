"""TLS of a process, from the environment: RETAIN_TLS_CA, RETAIN_TLS_CERT, RETAIN_TLS_KEY."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from retain.values.addresses import ALLOW_PLAIN_TEXT, is_loopback
from services.common.errors import InvalidInput, Violation
from services.common.tls.certificates import CERT, CertificateFiles


@dataclass(frozen=True, kw_only=True)
class ServerTls:
    """How a server speaks TLS: its files, and, for services and workers, the address of a second port on which every
    caller shows a certificate that the authority of the files has signed."""

    files: CertificateFiles
    internal_bind: str | None = None

    @property
    def is_mutual(self) -> bool:
        """Whether services and workers are asked for certificates."""
        return self.internal_bind is not None


class TlsSettings(BaseSettings):
    """Each field is RETAIN_ and its name in upper case, a PEM file: who signed the certificates of others, the own
    certificate, its key. Files that change are read again, and no call is dropped for it."""

    model_config = SettingsConfigDict(env_prefix="RETAIN_", frozen=True, extra="ignore")

    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def client(self) -> CertificateFiles | None:
        """For channels to other services; None where these speak plain text. Raises InvalidInput."""
        return CertificateFiles(ca=self.tls_ca, cert=self.tls_cert, key=self.tls_key) if self.tls_ca else None

    def server(self, *, bind: str, internal_bind: str | None) -> ServerTls | None:
        """For the server on `bind`; None where it speaks plain text, which is for loopback. Raises InvalidInput."""
        if self.tls_cert or self.tls_key:
            if internal_bind is not None and self.tls_ca is None:
                said = f"is not set, and callers of {internal_bind} show certificates; expected who signs them"
                raise InvalidInput([Violation(field="RETAIN_TLS_CA", description=said)])
            files = CertificateFiles(ca=self.tls_ca, cert=self.tls_cert, key=self.tls_key)
            return ServerTls(files=files, internal_bind=internal_bind)
        if internal_bind is not None:
            said = f"is not set, and callers of {internal_bind} show certificates; expected one to answer with"
            raise InvalidInput([Violation(field=CERT, description=said)])
        if not is_loopback(bind) and os.environ.get(ALLOW_PLAIN_TEXT) != "1":
            said = (
                f"is not set, and the server would listen on {bind} in plain text; expected a certificate "
                f"(and RETAIN_TLS_KEY), a loopback address, or {ALLOW_PLAIN_TEXT}=1 on a network of one's own"
            )
            raise InvalidInput([Violation(field=CERT, description=said)])
        return None
