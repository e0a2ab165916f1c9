"""A certificate authority of a few lines, and certificates signed by it: for an installation that brings none."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A clock that was put back must not make a new certificate one of the future.
BACK = datetime.timedelta(days=2)
TEN_YEARS = datetime.timedelta(days=3650)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs certificates; `lifetime` is theirs. Its own key is written nowhere unless somebody asks for it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    lifetime: datetime.timedelta = TEN_YEARS

    @classmethod
    def new(cls, name: str, *, lifetime: datetime.timedelta = TEN_YEARS) -> "Authority":
        """A new authority called `name`, good for as long as its certificates are."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key, lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(certificates=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(certificate=builder.sign(key, hashes.SHA256()), key=key, lifetime=lifetime)

    @classmethod
    def load(cls, pair: Pair) -> "Authority":
        """One that was kept. Raises ValueError for what is no certificate with its key."""
        key = serialization.load_pem_private_key(pair.key, password=None)
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("the key is that of another certificate, or on no elliptic curve")
        return cls(certificate=certificate, key=key)

    @property
    def pem(self) -> bytes:
        """What those who trust it read."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pair(self) -> Pair:
        """What has to be kept to sign again."""
        return Pair(certificate=self.pem, key=_private(self.key))

    def issue(
        self,
        name: str,
        *,
        names: Sequence[str] = LOOPBACK,
        server: bool = True,
        lifetime: datetime.timedelta | None = None,
    ) -> Pair:
        """A certificate for `name` and `names` (of hosts, or addresses), with a key of its own. It is good for showing
        who calls, and with `server` for answering, too."""
        key = ec.generate_private_key(ec.SECP256R1())
        mine = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        answering = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
        parent = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = _builder(name, str(mine), key, lifetime or self.lifetime)
        alternatives = [_name(one) for one in dict.fromkeys([name, *names])]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        uses = x509.ExtendedKeyUsage([*answering, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(uses, critical=False).add_extension(parent, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(certificates=False), critical=True)
        certificate = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(certificate=certificate, key=_private(key))


def why_not(pair: Pair, authority: Authority, *, names: Sequence[str], left: datetime.timedelta) -> str:
    """Why a certificate has to be made anew: it is not of this authority, lacks a name, or ends within `left`; empty
    when it is good as it is."""
    try:
        found = x509.load_pem_x509_certificate(pair.certificate)
        if serialization.load_pem_private_key(pair.key, password=None).public_key() != found.public_key():
            return "its key is another one's"
        found.verify_directly_issued_by(authority.certificate)
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except InvalidSignature:
        return "another authority signed it"
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "it is damaged, or of another authority"
    missing = [name for name in names if _name(name) not in held]
    if missing:
        return f"it lacks the name {missing[0]}"
    ends = found.not_valid_after_utc
    return f"it ends at {ends.isoformat()}" if ends - datetime.datetime.now(datetime.UTC) < left else ""


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK)
        .not_valid_after(now + lifetime)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
