"""A certificate authority of a few lines, and certificates signed by it: for the programs of one machine."""

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A clock that was put back must not make a new certificate one of the future.
BACK = datetime.timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs certificates that are good for server and client on loopback. Its own key is never written anywhere."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    lifetime: datetime.timedelta

    @classmethod
    def new(cls, name: str, *, lifetime: datetime.timedelta = datetime.timedelta(days=3650)) -> "Authority":
        """A new authority called `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key, lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(certificates=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(certificate=builder.sign(key, hashes.SHA256()), key=key, lifetime=lifetime)

    @property
    def pem(self) -> bytes:
        """What those who trust it read."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> Pair:
        """A certificate for `name`, localhost and the loopback addresses, with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        mine = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        loopback = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("localhost"), *loopback])
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        parent = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = _builder(name, str(mine), key, self.lifetime).add_extension(names, critical=False)
        builder = builder.add_extension(uses, critical=False).add_extension(parent, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(certificates=False), critical=True)
        return Pair(
            certificate=builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
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
