"""Our own authority: what it signs is taken by others, and what has to be renewed is found."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from deploy.certificates import Authority, Pair, why_not

AUTHORITY = Authority.new("of the tests")
DAY = datetime.timedelta(days=1)
NAMES = ("retain-orchestrator", "retain-orchestrator.here.svc", "localhost", "127.0.0.1")


def certificate(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def reason(pair: Pair, *, names=NAMES, left=30 * DAY, authority: Authority = AUTHORITY) -> str:
    return why_not(pair, authority, names=names, left=left)


def test_another_library_takes_what_it_signs_under_every_name_and_no_other() -> None:
    pair = AUTHORITY.issue("orchestrator", names=NAMES, lifetime=90 * DAY)
    store = Store([AUTHORITY.certificate])
    for name in (x509.DNSName("retain-orchestrator.here.svc"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))):
        PolicyBuilder().store(store).build_server_verifier(name).verify(certificate(pair), [])
    with pytest.raises(x509.verification.VerificationError):
        PolicyBuilder().store(store).build_server_verifier(x509.DNSName("else")).verify(certificate(pair), [])
    with pytest.raises(x509.verification.VerificationError):
        other = Store([Authority.new("another").certificate])
        PolicyBuilder().store(other).build_server_verifier(x509.DNSName("localhost")).verify(certificate(pair), [])


def test_a_certificate_of_a_worker_answers_nobody() -> None:
    pair = AUTHORITY.issue("worker", names=(), server=False)
    uses = certificate(pair).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_an_authority_that_was_kept_signs_on() -> None:
    again = Authority.load(AUTHORITY.pair)
    assert reason(again.issue("x", names=NAMES)) == ""
    with pytest.raises(ValueError, match="key is that of another certificate"):
        Authority.load(Pair(certificate=AUTHORITY.pem, key=Authority.new("another").pair.key))


def test_what_is_good_stays_and_what_is_not_says_why() -> None:
    good = AUTHORITY.issue("x", names=NAMES, lifetime=90 * DAY)
    assert reason(good) == ""
    assert reason(good, names=(*NAMES, "retain.example")) == "it lacks the name retain.example"
    assert reason(AUTHORITY.issue("x", names=NAMES, lifetime=29 * DAY)).startswith("it ends at 20")
    assert reason(Authority.new("another").issue("x", names=NAMES)) == "it is damaged, or of another authority"
    assert reason(Authority.new("of the tests").issue("x", names=NAMES)) == "another authority signed it"
    assert reason(Pair(certificate=good.certificate, key=AUTHORITY.issue("y").key)) == "its key is another one's"
    assert reason(Pair(certificate=b"", key=b"")) == "it is damaged, or of another authority"
