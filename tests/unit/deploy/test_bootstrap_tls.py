"""An authority that is made once, and certificates that are renewed in the cluster before their end."""

import base64
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from deploy.bootstrap import Api, BootstrapFailed, Wanted, provide, provide_patiently
from deploy.certificates import Authority, Pair, why_not
from tests.unit.deploy.api_server import Cluster, served

ASKED: dict[str, Any] = {"authority": "retain-authority", "name": "orchestrator", "names": ["retain-orchestrator"]}
DAY = datetime.timedelta(days=1)


def wished(**certificate: Any) -> list[Wanted]:
    text = [
        {"name": "retain-authority", "authority": {"name": "Retain"}},
        {"name": "retain-tls", "certificate": {**ASKED, **certificate}, "labels": {"a": "b"}},
    ]
    return Wanted.parse(json.dumps(text))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def api(cluster: Cluster, tmp_path: Path) -> Iterator[Api]:
    with served(cluster, tmp_path) as client:
        yield client


def content(cluster: Cluster, name: str, key: str) -> bytes:
    return base64.b64decode(cluster.secrets[name]["data"][key])


def pair(cluster: Cluster, name: str) -> Pair:
    return Pair(certificate=content(cluster, name, "tls.crt"), key=content(cluster, name, "tls.key"))


def run(api: Api, wishes: list[Wanted]) -> list[str]:
    return [provide(api, one) for one in wishes]


def test_both_are_made_once(api: Api, cluster: Cluster) -> None:
    assert run(api, wished()) == ["made", "made"]
    authority = Authority.load(pair(cluster, "retain-authority"))
    assert why_not(pair(cluster, "retain-tls"), authority, names=["retain-orchestrator"], left=89 * DAY) == ""
    assert content(cluster, "retain-tls", "ca.crt") == authority.pem
    secret = cluster.secrets["retain-tls"]
    assert (secret["type"], secret["metadata"]["labels"]) == ("kubernetes.io/tls", {"a": "b"})
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    before = dict(secret["data"])
    assert run(api, wished()) == ["kept", "kept"]
    assert cluster.secrets["retain-tls"]["data"] == before


@pytest.mark.parametrize(
    ("again", "why"),
    [
        ({"renew_days": 91}, "renewed: it ends at 20"),
        ({"names": ["retain-orchestrator", "retain.example"]}, "renewed: it lacks the name retain.example"),
    ],
)
def test_a_certificate_is_renewed_at_once_with_its_key(
    api: Api, cluster: Cluster, again: dict[str, Any], why: str
) -> None:
    run(api, wished())
    authority = content(cluster, "retain-authority", "tls.crt")
    before = pair(cluster, "retain-tls")
    cluster.asked.clear()
    said = run(api, wished(**again))
    assert said[0] == "kept"
    assert said[1].startswith(why)
    assert [one.split()[0] for one in cluster.asked].count("PATCH") == 1
    after = pair(cluster, "retain-tls")
    assert after.key != before.key
    assert why_not(after, Authority.load(pair(cluster, "retain-authority")), names=[], left=89 * DAY) == ""
    assert content(cluster, "retain-authority", "tls.crt") == authority


def test_another_authority_in_front_of_the_old_one_signs_and_both_are_trusted(api: Api, cluster: Cluster) -> None:
    run(api, wished())
    old, new = content(cluster, "retain-authority", "tls.crt"), Authority.new("next")
    both = new.pem + old
    data = cluster.secrets["retain-authority"]["data"]
    data["tls.crt"], data["tls.key"] = (base64.b64encode(part).decode() for part in (both, new.pair.key))
    assert run(api, wished())[1] == "renewed: it is damaged, or of another authority"
    assert content(cluster, "retain-tls", "ca.crt") == both
    x509.load_pem_x509_certificate(content(cluster, "retain-tls", "tls.crt")).verify_directly_issued_by(new.certificate)
    data["tls.crt"] = base64.b64encode(new.pem).decode()
    assert "whom its holder trusts was changed" in run(api, wished())[1]
    assert content(cluster, "retain-tls", "ca.crt") == new.pem


def test_a_damaged_authority_is_refused_by_name_and_nothing_is_signed(api: Api, cluster: Cluster) -> None:
    cluster.secrets["retain-authority"] = {"metadata": {}, "data": {"tls.crt": "eA==", "tls.key": "eA=="}}
    for one in wished():
        with pytest.raises(BootstrapFailed, match=r"secret retain-authority holds no authority in tls.crt and tls.key"):
            provide(api, one)
    assert "retain-tls" not in cluster.secrets


def test_without_its_authority_a_certificate_waits_and_then_says_so(api: Api) -> None:
    with pytest.raises(BootstrapFailed, match=r"secret retain-tls: .*its authority retain-authority is not there yet"):
        provide_patiently(api, wished()[1], patience_s=0, pause_s=0)


def test_a_wish_that_cannot_be_read_is_refused(api: Api) -> None:
    with pytest.raises(BootstrapFailed, match=r"RETAIN_BOOTSTRAP: retain-tls\.certificate: .*colour"):
        provide(api, wished(colour="red")[1])
