"""Which sources a run may name is told at Create, and nothing is opened for one that may not."""

from dataclasses import replace

import pytest

from services.common.errors import InvalidInput
from services.orchestrator.adapters.settings import Settings
from services.orchestrator.application.sources import DEFAULT, SourcePolicy
from tests.unit.services.orchestrator.specs import PRETRAIN, spec

STORE = "s3://retain"


def policy(said: str = DEFAULT, *, root: str | None = None, loopback: bool = True) -> SourcePolicy:
    return SourcePolicy.parse(said, store_uri=STORE, data_root=root, is_loopback=loopback)


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc/passwd", "/etc/passwd", "file:///proc/self/environ", "file:///data/../etc/passwd",
        "/proc/1/environ",
        "/home/a/.ssh/id.txt", "~/.aws/credentials", "hf:///etc", "s3://other/data/a.txt", "s3://retain-evil/a",
        "s3://retain/runs/other/pretrain/attempt-1", "s3://retain/evaluations/x", "s3://retain", "s3://retain/",
    ],
)  # fmt: skip
def test_what_is_not_a_users_text_is_refused_everywhere(place: str) -> None:
    fault = policy().fault_of(place)
    assert fault is not None
    assert "got" in fault
    assert "expected" in fault


@pytest.mark.parametrize(
    "place", ["sample://docs", "/home/a/data.jsonl", "data/a.txt", "file:///srv/data", "s3://retain/uploads/ab/x.txt",
              "s3://retain/mine/x.jsonl?fields=text", "hf://owner/name?split=train", "hf:///srv/set"],
)  # fmt: skip
def test_on_one_persons_machine_the_rest_is_expected(place: str) -> None:
    assert policy().fault_of(place) is None


def test_beyond_loopback_local_files_need_a_root() -> None:
    assert "RETAIN_DATA_ROOT" in (policy(loopback=False).fault_of("/srv/data/a.txt") or "")
    rooted = policy(root="/srv/data", loopback=False)
    assert rooted.fault_of("/srv/data/a.txt") is None
    assert rooted.fault_of("file:///srv/data%2F..%2Fother") is not None
    assert rooted.fault_of("/srv/database/a.txt") is not None
    assert rooted.fault_of("data/a.txt") is not None, "relative to a folder that nobody knows"


def test_an_installation_lists_what_it_allows() -> None:
    narrow = policy("sample:// s3://retain/shared/ hf://our-team/*")
    assert narrow.fault_of("hf://our-team/set") is None
    assert narrow.fault_of("hf://somebody/set") is not None
    assert narrow.fault_of("s3://retain/shared/a.txt") is None
    assert narrow.fault_of("s3://retain/sharedx/a.txt") is not None
    assert narrow.fault_of("/srv/a.txt") is not None
    with pytest.raises(InvalidInput, match="RETAIN_SOURCES"):
        policy("http://*")


def test_every_place_of_a_spec_is_looked_at_and_named() -> None:
    bad = "file:///etc/passwd"
    given = spec(stages=(replace(PRETRAIN, data=replace(PRETRAIN.data, general=bad)),))
    given = replace(given, forgetting=replace(given.forgetting, retention={"mine": bad}))
    given = replace(given, model=replace(given.model, preset=None, huggingface="/proc/self"))
    found = [v.field for v in policy().violations(given)]
    assert found == ["stages[0].data.general", "forgetting.retention[mine]", "model.huggingface"]


@pytest.mark.parametrize(
    ("bind", "loopback"), [("127.0.0.1:7070", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:7070", False)]
)
def test_loopback_is_told_by_the_address(bind: str, loopback: bool) -> None:
    assert Settings(bind=bind).is_loopback is loopback
