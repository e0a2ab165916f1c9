"""`retain gc`: lists first, deletes when told to."""

import pytest

from tests.fakes.orchestrator_service import FakePlatform
from ui.commands.garbage import seconds_of


def fill(platform: FakePlatform) -> None:
    platform.garbage.items.add(
        uri="s3://retain/evalsets/abc", kind="evaluation_set", objects=2, bytes=3_000_000, reason="no run names it"
    ).update_time.FromSeconds(1_700_000_000)
    platform.garbage.bytes, platform.garbage.total_items = 3_000_000, 1
    platform.garbage.notes.append("uploads are left alone while r1 is being prepared")


def test_it_only_lists_until_it_is_told_to_delete(retain, platform: FakePlatform) -> None:
    fill(platform)
    listed = retain("gc")
    assert listed.code == 0
    for word in ("evaluation set", "evalsets/abc", "3.0 MB", "no run names it"):
        assert word in listed.out
    assert "1 item, 3.0 MB, not deleted" in listed.err
    assert "left alone while r1" in listed.err
    assert "retain gc --yes deletes" in listed.err
    done = retain("gc", "--yes", "--older-than", "12h")
    assert "1 item, 3.0 MB, deleted" in done.err
    assert "Deleted" in done.out
    assert [(r.dry_run, r.older_than_seconds) for r in platform.garbage_asked] == [(True, 0), (False, 43_200)]


def test_json_is_one_document(retain, platform: FakePlatform) -> None:
    fill(platform)
    shown = retain("gc", "--dry-run", "--json").json
    assert (shown["bytes"], shown["dry_run"], shown["total_items"]) == (3_000_000, True, 1)
    (item,) = shown["items"]
    assert (item["uri"], item["kind"], item["objects"]) == ("s3://retain/evalsets/abc", "evaluation_set", 2)


def test_nothing_to_delete_is_said_and_what_is_wrong_is_refused(retain, platform: FakePlatform) -> None:
    assert "0 items" in retain("gc").err
    assert retain("gc", "--yes", "--dry-run").code == 2
    for age in ("12", "h", "0d", "-3d", "1w", "1.5h"):
        outcome = retain("gc", "--older-than", age)
        assert outcome.code == 2, age
        assert age in outcome.err or "such as 12h" in outcome.err
    assert len(platform.garbage_asked) == 1


@pytest.mark.parametrize(("age", "seconds"), [("", 0), ("45s", 45), ("90m", 5400), ("12h", 43_200), ("3d", 259_200)])
def test_ages(age: str, seconds: int) -> None:
    assert seconds_of(age, "--older-than") == seconds
