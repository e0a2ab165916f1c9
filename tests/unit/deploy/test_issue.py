"""Certificates in a folder: made once, renewed in time, and what is damaged is said."""

import datetime
import sys
from pathlib import Path

import pytest

from deploy import issue
from deploy.certificates import Authority, Pair, why_not

DAY = datetime.timedelta(days=1)
HOLDERS = {"orchestrator": ["orchestrator", "localhost", "127.0.0.1"], "worker": []}


def provide(folder: Path, holders=HOLDERS, *, days: float = 397, left: float = 120) -> dict[str, str]:
    return issue.provide(folder, holders, lifetime=days * DAY, left=left * DAY)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_they_are_made_once_and_only_the_holder_reads_a_key(tmp_path: Path) -> None:
    assert provide(tmp_path) == {"orchestrator": "made", "worker": "made"}
    before = contents(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"authority", "orchestrator", "worker", "clients"}
    assert (tmp_path / "clients/ca.crt").read_bytes() == (tmp_path / "authority/tls.crt").read_bytes()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.key")} == {0o600}
    assert provide(tmp_path) == {"orchestrator": "kept", "worker": "kept"}
    assert contents(tmp_path) == before


def test_what_ends_soon_or_lacks_a_name_is_renewed_and_nothing_else(tmp_path: Path) -> None:
    provide(tmp_path, days=100, left=50)
    before = contents(tmp_path)
    done = provide(tmp_path, {**HOLDERS, "orchestrator": ["retain.example"]}, days=397, left=50)
    assert done == {"orchestrator": "renewed: it lacks the name retain.example", "worker": "kept"}
    assert provide(tmp_path, left=120)["worker"].startswith("renewed: it ends at 20")
    after = contents(tmp_path)
    kept = {"authority/tls.crt", "authority/tls.key", "clients/ca.crt", "orchestrator/ca.crt", "worker/ca.crt"}
    assert {name for name in after if after[name] == before[name]} == kept
    pair = Pair(certificate=after["worker/tls.crt"], key=after["worker/tls.key"])
    authority = Authority.load(Pair(certificate=after["authority/tls.crt"], key=after["authority/tls.key"]))
    assert why_not(pair, authority, names=[], left=390 * DAY) == ""


def test_a_damaged_authority_is_refused_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["issue", str(tmp_path), "orchestrator=localhost", "worker"])
    assert issue.main() == 0
    (tmp_path / "authority/tls.key").write_text("no key")
    assert issue.main() == 1
    printed = capsys.readouterr()
    assert f"{tmp_path / 'orchestrator'}: made" in printed.out
    assert f"{tmp_path / 'authority'} holds no authority" in printed.err
