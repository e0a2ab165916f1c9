"""What is broken in the store or on the worker's disk: found before it is trained on, told by name, and gone round."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from services.common.store.minio_store import MinioStore
from services.common.store.object_store import key_of
from services.worker.local_cache import LocalCache
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl
from tests.integration.worker.harness import connect, orchestrator, point_worker_at, small_spec, small_stages, work
from tests.small_disk import small_disk

pytestmark = pytest.mark.integration
BUCKET = "retain"


@pytest.fixture(scope="module")
def server(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        yield server


@pytest.fixture(scope="module")
def store(server: Server) -> MinioStore:
    return connect(server, BUCKET)


def run(monkeypatch: pytest.MonkeyPatch, server: Server, cache: Path, control: FakeStageControl) -> FakeStageControl:
    with orchestrator(control):
        work(point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=cache))
    return control


def one_stage() -> FakeStageControl:
    """One stage with three boundaries."""
    control = FakeStageControl(small_spec(stages=1), small_stages(1))
    control.stages[0].steps = 12
    return control


@pytest.fixture(scope="module")
def undisturbed(server: Server, store: MinioStore, tmp_path_factory: pytest.TempPathFactory) -> FakeStageControl:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return run(monkeypatch, server, tmp_path_factory.mktemp("cache"), one_stage())


def stopped_after(boundary: int, control: FakeStageControl, harm: Callable[[pb.ReportCheckpointRequest], None]) -> None:
    """When this boundary's checkpoint was registered, it is harmed, and another group is to resume from it."""

    def strike(request: pb.ReportCheckpointRequest) -> None:
        if request.boundary == boundary and not control.damaged and control.submission == 1:
            harm(request)
            control.resume[0] = request.checkpoint
            control.submission += 1

    control.on_checkpoint = strike


def flip(store: MinioStore, key: str) -> None:
    data = bytearray(store.get_bytes(key))
    data[-1] ^= 1
    store.put_bytes(key, bytes(data))


def cut(store: MinioStore, key: str) -> None:
    store.put_bytes(key, store.get_bytes(key)[:-100])


@pytest.mark.parametrize(
    ("name", "harm", "told"),
    [
        ("model/model.safetensors", flip, "sha256"),
        ("optimizer/00001.safetensors", cut, "size"),
        ("trainer_state.json", lambda store, key: store.delete(key), "no object"),
        ("manifest.json", lambda store, key: store.put_bytes(key, b"\x00garbage"), "manifest.json: sha256"),
        ("manifest.json", lambda store, key: store.delete(key), "no object"),
    ],
    ids=["flipped", "cut", "missing", "manifest unreadable", "manifest missing"],
)
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(
    name: str,
    harm: Callable[[MinioStore, str], None],
    told: str,
    undisturbed: FakeStageControl,
    server: Server,
    store: MinioStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another machine is to resume from the second checkpoint. It says that it is damaged, gets the first one, and ends
    with the bits of the undisturbed stage."""
    control = one_stage()
    stopped_after(2, control, lambda request: harm(store, f"{key_of(store, request.checkpoint.uri)}/{name}"))
    run(monkeypatch, server, tmp_path / "one", control)
    run(monkeypatch, server, tmp_path / "two", control)
    second = control.checkpoints[0][1].checkpoint
    (ended,) = [end for end in control.ended if end.outcome == pb.END_OUTCOME_INTERRUPTED]
    assert (ended.damaged, ended.reason) == (second, "CHECKPOINT_DAMAGED")
    assert second.uri in ended.message
    assert told in ended.message
    assert not control.failed
    assert [c.boundary for c in control.checkpoints[0]] == [1, 2, 2, 3]
    assert control.accepted(0).weights_digest == undisturbed.accepted(0).weights_digest


def test_a_store_that_is_away_damages_nothing(
    undisturbed: FakeStageControl, server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes away while the second group is to load, and returns: a wait."""
    control = one_stage()
    stopped_after(2, control, lambda request: None)
    run(monkeypatch, server, tmp_path / "one", control)
    server.stop()
    back = threading.Timer(3.0, server.start)
    back.start()
    run(monkeypatch, server, tmp_path / "two", control)
    back.join()
    assert control.damaged == []
    assert control.accepted(0).weights_digest == undisturbed.accepted(0).weights_digest


def test_a_damaged_parent_is_told_by_name(
    server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = FakeStageControl(small_spec(), small_stages())

    def strike(request: pb.ReportCheckpointRequest) -> None:
        if request.stage_index == 1:
            flip(store, key_of(store, control.accepted(0).uri) + "/model/model.safetensors")
            control.submission += 1

    control.on_checkpoint = strike
    run(monkeypatch, server, tmp_path / "one", control)
    control.on_checkpoint = lambda request: None
    run(monkeypatch, server, tmp_path / "two", control)
    assert control.ended[-1].outcome == pb.END_OUTCOME_INTERRUPTED
    assert control.ended[-1].damaged == control.accepted(0)


def test_a_flipped_bit_of_the_local_copy_never_becomes_weights(
    undisturbed: FakeStageControl, server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same machine, with the same cache: every file in it changes a bit while nobody looks."""
    control = one_stage()
    stopped_after(2, control, lambda request: None)
    cache = tmp_path / "cache"
    run(monkeypatch, server, cache, control)
    harmed = [path for path in (cache / "content").rglob("*") if path.is_file()]
    assert len(harmed) > 10
    for path in harmed:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
    run(monkeypatch, server, cache, control)
    assert not control.failed
    assert control.damaged == []
    assert control.accepted(0).weights_digest == undisturbed.accepted(0).weights_digest


@pytest.mark.parametrize("full_while", ["preparing", "loading", "saving"])
def test_a_full_disk_is_waited_for_in_every_phase(
    full_while: str, undisturbed: FakeStageControl, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's disk fills up; it says so, continues when there is room, and ends with the same bits."""
    control = one_stage()
    with small_disk(tmp_path / "disk", megabytes=64) as disk:
        filled: list[Path] = []

        def fill() -> None:
            if not filled:
                filled.append(disk.fill())

        usual_progress, usual_end, usual_directive = control.ReportProgress, control.EndStage, control.GetDirective

        def progress(request: pb.ReportProgressRequest, context) -> pb.ReportProgressResponse:
            if request.waiting_for and filled[0].exists():
                filled[0].unlink()
            return usual_progress(request, context)

        def end(request: pb.EndStageRequest, context) -> pb.EndStageResponse:
            if full_while == "loading":
                fill()
            return usual_end(request, context)

        def directive(request: pb.GetDirectiveRequest, context) -> pb.GetDirectiveResponse:
            if full_while == "saving":  # after the first checkpoint; the second finds no room
                fill()
            return usual_directive(request, context)

        monkeypatch.setattr(control, "ReportProgress", progress)
        monkeypatch.setattr(control, "EndStage", end)
        monkeypatch.setattr(control, "GetDirective", directive)
        cache = disk.folder / "cache"
        if full_while == "preparing":
            LocalCache(connect(server, BUCKET), cache)  # the folders; then nothing fits any more
            fill()
        run(monkeypatch, server, cache, control)
        assert len(filled) == 1
    assert not control.failed
    said = {p.waiting_for for p in control.progress}
    assert said == {"", f"disk full at {cache}"}
    assert control.progress[-1].waiting_for == ""
    assert [c.boundary for c in control.checkpoints[0]] == [1, 2, 3]
    assert control.accepted(0).weights_digest == undisturbed.accepted(0).weights_digest


@pytest.mark.parametrize("what", ["shards", "tokenizer"])
def test_damaged_prepared_data_is_named_and_the_next_run_makes_it_anew(
    what: str,
    undisturbed: FakeStageControl,
    server: Server,
    store: MinioStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    control = one_stage()
    stopped_after(1, control, lambda request: None)
    run(monkeypatch, server, tmp_path / "one", control)
    prepared = control.prepared
    assert prepared is not None
    folder = prepared.tokenizer if what == "tokenizer" else prepared.stages[0].shards[0]
    name = "tokenizer.json" if what == "tokenizer" else "tokens.bin"
    cut(store, f"{key_of(store, folder.uri)}/{name}")
    run(monkeypatch, server, tmp_path / "two", control)
    ended = control.ended[-1]
    assert (ended.outcome, ended.reason) == (pb.END_OUTCOME_FAILED, "PREPARED_DATA_DAMAGED")
    assert folder.uri in ended.message
    assert "retain retry" in ended.message
    again = run(monkeypatch, server, tmp_path / "three", one_stage())
    assert not again.failed
    assert again.prepared == prepared
    control.failed = False
    run(monkeypatch, server, tmp_path / "four", control)  # what `retain retry` does
    assert not control.failed
    assert control.accepted(0).weights_digest == undisturbed.accepted(0).weights_digest


def test_a_foreign_cache_folder_ends_the_run_by_name(
    server: Server, store: MinioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("mine")
    control = run(monkeypatch, server, tmp_path / "documents", one_stage())
    (ended,) = control.ended
    assert (ended.outcome, ended.reason) == (pb.END_OUTCOME_FAILED, "FOREIGN_CACHE")
    assert "documents" in ended.message
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "mine"


def test_the_disk_holds_nothing_half_made_afterwards(
    undisturbed: FakeStageControl, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed predecessor left goes at the start; what this worker made in passing goes with it."""
    cache = tmp_path / "cache"
    run(monkeypatch, server, cache, one_stage())
    (cache / "work" / "left").mkdir()
    (cache / "work" / "left" / "shard").write_bytes(b"x" * 1000)
    run(monkeypatch, server, cache, one_stage())
    assert [*(cache / "work").iterdir()] == []
    assert not (cache / "prepare").exists()
    assert len([*(cache / "content" / "checkpoints").iterdir()]) <= 6
