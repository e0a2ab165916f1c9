"""On loopback the local stack has no certificates; beyond it, every part of it has."""

from pathlib import Path

import pytest
from cryptography import x509

from deploy import issue
from deploy.local.components import Component, components
from deploy.local.home import Home
from deploy.local.listening import Listening
from deploy.local.ports import DEFAULTS

PORTS = {name: 20_000 + n for n, name in enumerate(DEFAULTS)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.prepare()
    return made


def parts(home: Home, **env: str) -> dict[str, Component]:
    return {one.name: one for one in components(home, PORTS, env)}


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost", "::1"])
def test_on_loopback_there_is_nothing_to_think_of(home: Home, host: str) -> None:
    for part in parts(home, RETAIN_LISTEN=host).values():
        assert not any("TLS" in name or "INTERNAL" in name or name == "RETAIN_LISTEN" for name in part.env)
    assert not (home.path / "tls").exists()
    assert Listening.of(home, {"RETAIN_LISTEN": host}).ca is None


def test_beyond_loopback_services_and_workers_call_each_other_with_certificates(home: Home) -> None:
    made = parts(home, RETAIN_LISTEN="0.0.0.0", RETAIN_TLS_CA="/of/the/caller")
    folder = home.path / "tls"
    orchestrator, evaluator, ray = (made[name].env for name in ("orchestrator", "evaluator", "ray"))
    assert orchestrator["RETAIN_BIND"] == f"0.0.0.0:{PORTS['orchestrator']}"
    assert evaluator["RETAIN_EVALUATOR_BIND"] == f"0.0.0.0:{PORTS['evaluator']}"
    internal = f"127.0.0.1:{PORTS['orchestrator_internal']}"
    assert internal == orchestrator["RETAIN_INTERNAL_BIND"] == orchestrator["RETAIN_SERVER"]
    assert evaluator["RETAIN_SERVER"] == ray["RETAIN_SERVER"] == internal
    for holder, env in (("orchestrator", orchestrator), ("evaluator", evaluator), ("worker", ray)):
        assert env["RETAIN_TLS_CERT"] == str(folder / holder / issue.CERT)
        assert Path(env["RETAIN_TLS_KEY"]).stat().st_mode & 0o077 == 0
    panel = made["panel"].env
    assert panel["RETAIN_TLS_CA"] == str(folder / "clients/ca.crt")
    assert "RETAIN_TLS_KEY" not in panel
    assert panel["RETAIN_SERVER"] == f"127.0.0.1:{PORTS['orchestrator']}"


def test_beyond_loopback_the_object_store_speaks_tls_and_links_name_the_machine(home: Home) -> None:
    made = parts(home, RETAIN_LISTEN="198.51.100.7", AWS_CA_BUNDLE="/of/the/caller")
    store = PORTS["object_store"]
    for name in ("orchestrator", "evaluator", "ray"):
        assert made[name].env["RETAIN_S3_ENDPOINT"] == f"https://198.51.100.7:{store}"
        assert made[name].env["AWS_CA_BUNDLE"] == str(home.path / "tls/clients/ca.crt")
    assert made["orchestrator"].env["RETAIN_S3_PUBLIC_ENDPOINT"] == f"https://198.51.100.7:{store}"
    command = " ".join(made["object_store"].command)
    assert str(home.path / "tls/object_store" / issue.KEY) in command or "--certs-dir" in command
    elsewhere = parts(home, RETAIN_LISTEN="198.51.100.7", RETAIN_S3_PUBLIC_ENDPOINT="https://models.example:9000")
    assert elsewhere["orchestrator"].env["RETAIN_S3_PUBLIC_ENDPOINT"] == "https://models.example:9000"
    everywhere = Listening.of(home, {"RETAIN_LISTEN": "0.0.0.0"}).public_url(9000)
    assert everywhere.startswith("https://")
    assert everywhere.endswith(":9000")


def test_the_certificates_have_the_names_and_addresses_of_the_machine(home: Home) -> None:
    parts(home, RETAIN_LISTEN="198.51.100.7")
    pem = (home.path / "tls/orchestrator" / issue.CERT).read_bytes()
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert {"127.0.0.1", "198.51.100.7"} <= {str(one) for one in names.get_values_for_type(x509.IPAddress)}
