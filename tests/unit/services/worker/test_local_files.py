"""With a root configured, nothing outside of it is read, whichever way it is named; without one, everything is."""

import os
from pathlib import Path

import pytest

from model.errors import BadSource
from retain.types.v1 import spec_pb2
from services.worker.local_cache import LocalCache
from services.worker.preparation.base_model import import_model
from services.worker.preparation.data_sources import open_role
from services.worker.preparation.local_files import check_local
from tests.fakes.object_store import FakeObjectStore


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """(a file in the root, a secret outside of it)."""
    root, secret = tmp_path / "root", tmp_path / "secret.txt"
    root.mkdir()
    (root / "text.txt").write_text("plain words")
    secret.write_text("the password")
    monkeypatch.setenv("RETAIN_DATA_ROOT", f"{tmp_path / 'other'}{os.pathsep}{root}")
    return root / "text.txt", secret


def test_what_lies_below_the_root_is_read(places: tuple[Path, Path]) -> None:
    inside, _ = places
    for place in (str(inside), f"file://{inside}", str(inside.parent), f"hf://{inside.parent}"):
        check_local("general", place)
    for place in ("sample://math", "hf://owner/name", "s3://retain/x", "sample://docs?seed=1"):
        check_local("general", place)


def test_what_leads_out_is_refused_and_not_quoted(places: tuple[Path, Path]) -> None:
    inside, secret = places
    (inside.parent / "link").symlink_to(secret)
    wrong = [
        str(secret),
        f"file://{secret}",
        f"file://{inside.parent}/../secret.txt",
        f"file://{str(secret).replace('secret', '%73ecret')}",
        str(inside.parent / "link"),
        str(inside.parent),  # the folder now holds a link that leads out
        f"hf://{secret.parent}",
        "/proc/self/environ",
    ]
    for place in wrong:
        with pytest.raises(BadSource) as refused:
            check_local("general", place)
        assert "RETAIN_DATA_ROOT" in str(refused.value)
        assert "password" not in str(refused.value)


def test_without_a_root_everything_is(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETAIN_DATA_ROOT")
    check_local("general", str(places[1]))


def test_sources_and_models_are_both_looked_at(places: tuple[Path, Path], tmp_path: Path) -> None:
    store = FakeObjectStore()
    stage = spec_pb2.StageSpec(kind=spec_pb2.STAGE_KIND_PRETRAIN)
    with pytest.raises(BadSource, match="RETAIN_DATA_ROOT"):
        open_role(stage, "general", f"file://{places[1]}", store=store, folder=tmp_path)
    with pytest.raises(BadSource, match="RETAIN_DATA_ROOT"):
        import_model(str(tmp_path), store=store, cache=LocalCache(store, tmp_path / "cache"), beat=lambda: None)
