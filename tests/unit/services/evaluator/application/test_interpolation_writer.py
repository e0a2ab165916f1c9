"""Points of a line are written beside their result, once for all, and over nothing else."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpointing.checkpoint import Manifest
from retain.values import CheckpointRef, WritePointRequest
from services.common.errors import FailedPrecondition, InvalidInput, StorageFull
from services.evaluator.application.export_interpolation import ExportInterpolation
from tests.fakes.object_store import FakeObjectStore
from tests.unit.services.evaluator.torch_harness import TorchHarness, tiny_model

RESULT = "runs/r1/midtrain/code/attempt-2/step-000000100"


class Here(TorchHarness):
    """A parent, a result, and an order for the point between them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parent = self.put("parent", tiny_model(0), key="runs/r1/pretrain/attempt-1/step-000000200")
        self.result = self.put("result", tiny_model(1), key=RESULT)
        uri = f"{self.result.uri}-point-0.4"
        self.order = WritePointRequest(checkpoint=self.result, parent=self.parent, point=0.4, output_uri=uri)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_the_same_order_again_writes_the_same_and_writes_nothing_new(here: Here):
    first = here.writer.write(here.order)
    before = dict(here.store.objects)
    here.store.calls.clear()
    assert here.writer.write(here.order) == first
    assert here.store.objects == before
    assert not [call for call in here.store.calls if call[0].startswith("put")]
    data = here.store.objects[f"{RESULT}-point-0.4/manifest.json"]
    assert Manifest.from_bytes(data, expected_sha256=first.checkpoint.manifest_sha256).step == 100


def test_what_a_crash_left_half_written_is_finished(here: Here):
    whole = here.writer.write(here.order)
    objects = {key: data for key, data in here.store.objects.items() if key.startswith(f"{RESULT}-point-0.4/")}
    for key in objects:
        here.store.objects[key] = objects[key][: len(objects[key]) // 2]
    del here.store.objects[f"{RESULT}-point-0.4/manifest.json"]
    assert here.writer.write(here.order) == whole
    assert {key: here.store.objects[key] for key in objects} == objects


@pytest.mark.parametrize("left", ["manifest.json", "optimizer/00001.safetensors", "history.json"])
def test_a_place_that_holds_something_else_is_refused_and_untouched(here: Here, left: str):
    here.store.put_bytes(f"{RESULT}-point-0.4/{left}", b"somebody else's")
    before = dict(here.store.objects)
    with pytest.raises(FailedPrecondition, match="is not overwritten") as caught:
        here.writer.write(here.order)
    assert caught.value.reason == "PLACE_TAKEN"
    assert here.store.objects == before


def test_another_point_at_the_place_is_refused(here: Here):
    here.writer.write(here.order)
    other = replace(here.order, point=0.5)
    with pytest.raises(FailedPrecondition, match="is not overwritten"):
        here.writer.write(other)


@pytest.mark.parametrize(
    "place",
    [
        RESULT,
        f"{RESULT}/model",
        "runs/r1/pretrain/attempt-1/step-000000200",
        "runs/r2/midtrain/code/attempt-2/step-000000100-point-0.4",
        "runs/r1/midtrain/code/attempt-1/step-000000100-point-0.4",
        f"{RESULT}-point-0.4/../step-000000100",
        f"{RESULT}-point-",
        f"{RESULT}-point-0.4/",
        f"{RESULT}-point-x",
        "history",
        "history/r1.json",
        "evaluations/abc",
        "evaluator/evaluations",
        "imports/x-point-0.4",
    ],
)
async def test_other_places_are_refused_before_anything_is_read(here: Here, place: str):
    here.store.calls.clear()
    with pytest.raises(InvalidInput, match="output_uri"):
        await ExportInterpolation(writer=here.writer, service=None).run(
            replace(here.order, output_uri=f"s3://retain/{place}")
        )
    assert here.store.calls == []


async def test_points_of_what_is_no_result_of_a_stage_are_refused(here: Here):
    imported = here.put("imported", tiny_model(2), key="imports/x")
    order = replace(here.order, checkpoint=imported, output_uri=f"{imported.uri}-point-0.4")
    with pytest.raises(InvalidInput, match=r"checkpoint\.uri"):
        await ExportInterpolation(writer=here.writer, service=None).run(order)


def test_no_room_for_the_point_is_told_and_leaves_nothing(here: Here, monkeypatch: pytest.MonkeyPatch):
    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("model.checkpointing.hf.save_file", no_room)
    with pytest.raises(StorageFull, match=f"disk full at {here.root / 'cache'}"):
        here.writer.write(here.order)
    assert not [key for key in here.store.objects if "-point-" in key]
    assert list((here.root / "cache" / "work").iterdir()) == []


def test_equal_ends_write_the_same_weights(here: Here):
    same = here.put("same", tiny_model(1), key="runs/r1/pretrain/attempt-1/step-000000300")
    order = replace(here.order, parent=same, point=0.9)
    assert here.writer.write(order).checkpoint.weights_digest == here.result.weights_digest


def test_a_lost_reply_to_the_last_write_costs_nothing(here: Here):
    class Lossy(FakeObjectStore):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            super().put_if_absent(key, data)
            return super().put_if_absent(key, data)  # asked twice, as after a lost reply: now it is there

    here.store.__class__ = Lossy
    written = here.writer.write(here.order)
    assert isinstance(written.checkpoint, CheckpointRef)
    here.store.__class__ = FakeObjectStore
    assert here.writer.write(here.order) == written
