"""Missing secrets are made once, those that exist are never changed, and what cannot be helped is refused by name."""

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import bootstrap
from deploy.bootstrap import Api, BootstrapFailed, NoAnswer, Wanted, provide, provide_patiently
from tests.unit.deploy.api_server import Cluster, served

STORE = Wanted(
    name="retain-object-store",
    keys={"access-key": {"value": "retain"}, "secret-key": {"alphanumeric": 40}},
    labels={"app.kubernetes.io/managed-by": "Helm"},
    annotations={"meta.helm.sh/release-name": "retain"},
)
RAY = Wanted(name="retain-ray", keys={"auth_token": {"hex": 64}}, labels={}, annotations={})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def api(cluster: Cluster, tmp_path: Path) -> Iterator[Api]:
    with served(cluster, tmp_path) as client:
        yield client


def encoded(**values: str) -> dict[str, str]:
    return {key.replace("_key", "-key"): base64.b64encode(value.encode()).decode() for key, value in values.items()}


def decoded(cluster: Cluster, name: str, key: str) -> str:
    return base64.b64decode(cluster.secrets[name]["data"][key]).decode()


def test_a_missing_secret_is_made_with_random_values_of_the_asked_kind(api: Api, cluster: Cluster) -> None:
    assert provide(api, STORE) == "made"
    assert provide(api, RAY) == "made"
    assert decoded(cluster, "retain-object-store", "access-key") == "retain"
    assert re.fullmatch(r"[A-Za-z0-9]{40}", decoded(cluster, "retain-object-store", "secret-key"))
    assert re.fullmatch(r"[0-9a-f]{64}", decoded(cluster, "retain-ray", "auth_token"))
    metadata = cluster.secrets["retain-object-store"]["metadata"]
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "Helm"}
    assert metadata["annotations"] == {"meta.helm.sh/release-name": "retain", "helm.sh/resource-policy": "keep"}


def test_a_second_time_changes_nothing(api: Api, cluster: Cluster) -> None:
    provide(api, STORE)
    before = json.dumps(cluster.secrets)
    cluster.asked.clear()
    assert provide(api, STORE) == "kept"
    assert json.dumps(cluster.secrets) == before
    assert cluster.asked == ["GET /api/v1/namespaces/here/secrets/retain-object-store"]


def test_a_secret_of_an_earlier_chart_keeps_its_data_and_outlives_its_release(api: Api, cluster: Cluster) -> None:
    data = encoded(access_key="retain", secret_key="made-by-the-earlier-chart")
    theirs = {"name": STORE.name, "annotations": {"meta.helm.sh/release-name": "retain"}, "labels": {"a": "b"}}
    cluster.secrets[STORE.name] = {"metadata": dict(theirs), "data": dict(data)}
    assert provide(api, STORE) == "kept"
    after = cluster.secrets[STORE.name]
    assert after["data"] == data
    assert after["metadata"]["labels"] == theirs["labels"]
    assert after["metadata"]["annotations"] == {**theirs["annotations"], "helm.sh/resource-policy": "keep"}


def test_another_value_in_the_cluster_stays_and_is_told_without_its_content(api: Api, cluster: Cluster) -> None:
    cluster.secrets[STORE.name] = {"metadata": {}, "data": encoded(access_key="somebody", secret_key="s3cret-s3cret")}
    said = provide(api, STORE)
    assert said == "kept; its access-key differs from the values, and stays"
    assert decoded(cluster, STORE.name, "access-key") == "somebody"


@pytest.mark.parametrize("data", [None, encoded(access_key="retain"), encoded(access_key="retain", secret_key="")])
def test_a_secret_without_a_key_is_refused_by_name(api: Api, cluster: Cluster, data: dict[str, str] | None) -> None:
    cluster.secrets[STORE.name] = {"metadata": {}, "data": data}
    with pytest.raises(BootstrapFailed, match=r"secret retain-object-store exists without a value for .*secret-key"):
        provide(api, STORE)
    assert cluster.secrets[STORE.name]["data"] == data


def test_who_comes_second_takes_what_the_first_has_made(api: Api, cluster: Cluster) -> None:
    cluster.racing[RAY.name] = {"metadata": {}, "data": encoded(auth_token="of-the-other")}
    assert provide(api, RAY) == "kept"
    assert decoded(cluster, RAY.name, "auth_token") == "of-the-other"


def test_an_api_server_that_is_busy_is_asked_again(api: Api, cluster: Cluster) -> None:
    cluster.owed += [503, 429, 500]
    assert provide_patiently(api, RAY, patience_s=20, pause_s=0.01) == "made"
    assert len(cluster.asked) == 5  # three times later, then a look and the creation


def test_one_that_refuses_is_not(api: Api, cluster: Cluster) -> None:
    cluster.owed += [403]
    with pytest.raises(BootstrapFailed, match="secret retain-ray: the API server answers 403: as the test wants it"):
        provide_patiently(api, RAY, patience_s=20, pause_s=0.01)
    assert len(cluster.asked) == 1


def test_a_token_that_kubernetes_has_replaced_is_read_anew(api: Api, cluster: Cluster) -> None:
    assert provide(api, RAY) == "made"
    cluster.token = "the-next"
    (api.account / "token").write_text("the-next\n")
    assert provide(api, RAY) == "kept"


def test_a_server_of_another_authority_gets_no_token(tmp_path: Path) -> None:
    cluster = Cluster()
    with served(cluster, tmp_path) as client:
        (tmp_path / "other").mkdir()
        with served(Cluster(), tmp_path / "other") as other:
            mixed = Api(server=client.server, namespace=client.namespace, account=other.account)
            with pytest.raises(BootstrapFailed, match="no answer from https"):
                provide_patiently(mixed, RAY, patience_s=0, pause_s=0)
    assert cluster.asked == []


def test_a_server_that_is_not_there_is_named_after_the_patience(tmp_path: Path) -> None:
    with served(Cluster(), tmp_path) as client:
        pass
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        client = Api(server=f"https://127.0.0.1:{silent.getsockname()[1]}", namespace="here", account=tmp_path)
        with pytest.raises(NoAnswer, match=r"secret retain-ray: no answer from https://127\.0\.0\.1"):
            provide_patiently(client, RAY, patience_s=0, pause_s=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a list of {name, keys} is expected"),
        ("{}x", "a list of {name, keys} is expected"),
        ('[{"keys": {}}]', "a list of {name, keys} is expected"),
        (
            '[{"name": "a", "keys": {"k": {"octal": 3}}}]',
            r"a\.k: got \['octal'\]; expected one of \['alphanumeric', 'hex'",
        ),
    ],
)
def test_a_wish_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(BootstrapFailed, match=message):
        Wanted.parse(text)


def test_the_program_makes_all_and_prints_no_value(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wishes = [{"name": one.name, "keys": one.keys} for one in (STORE, RAY)]
    monkeypatch.setenv("RETAIN_BOOTSTRAP", json.dumps(wishes))
    with served(cluster, tmp_path) as client:
        monkeypatch.setattr(Api, "in_cluster", classmethod(lambda cls, _env: client))
        assert bootstrap.main() == 0
        cluster.owed += [403]
        assert bootstrap.main() == 2  # nobody need try again
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:2] == ["secret retain-object-store: made", "secret retain-ray: made"]
    assert "the API server answers 403" in printed.err
    for name, key in (("retain-object-store", "secret-key"), ("retain-ray", "auth_token")):
        assert decoded(cluster, name, key) not in printed.out + printed.err


def test_outside_of_a_pod_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(BootstrapFailed, match="not in a pod with a service account's token"):
        Api.in_cluster({}, tmp_path)
