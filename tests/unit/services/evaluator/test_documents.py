"""What the evaluator keeps is read by every later version; what cannot be read is put aside and stops nobody else.

`stored/v{n}` holds documents as version n wrote them. A new version of the documents adds its folder.
"""

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from retain.values import EvaluationState, SetUse
from services.common.errors import Corrupt, Unavailable
from services.evaluator.adapters.persistence import documents
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.adapters.persistence.history_repository import StoredHistory
from services.evaluator.adapters.persistence.object_store_repository import (
    StoredEvaluations,
    StoredFloors,
    StoredMeasurements,
    floor_key,
    measurement_key,
)
from services.evaluator.application.ports import FloorName, MeasurementName
from services.evaluator.domain.result import NoiseFloor
from tests.fakes.object_store import FakeObjectStore
from tests.unit.services.evaluator.builders import checkpoint, digest, measurement, request
from tests.unit.services.evaluator.harness import Harness, ended

STORED = Path(__file__).parent / "stored"
VERSIONS = range(1, documents.VERSION + 1)
FLOOR_NAME = FloorName(
    shape=digest("shape"), set_digest=digest("general"), set_content=digest("units"), method="float32 on cpu"
)
NAME = MeasurementName(weights_digest=digest("now"), set_digest=digest("general"), method="float32 on cpu")


def stored(version: int, name: str) -> bytes:
    return (STORED / f"v{version}" / f"{name}.json").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_evaluations_of_every_version_are_read(version: int):
    done = documents.decode_evaluation(stored(version, "evaluation-done"), "done")
    assert (done.id, done.state, done.measure_seconds, done.end_time_s) == (
        "done",
        EvaluationState.SUCCEEDED,
        2.5,
        1700000010.5,
    )
    assert (done.request.step, done.request.attempt, done.request.train_loss_nats) == (100, 2, 1.75)
    assert [(s.retention_set, s.use, s.ratio_low) for s in done.scores] == [
        ("general", SetUse.CONTROL, 0.1),
        ("general", SetUse.REPORT, None),
    ]
    assert done.scores[0].ratio == pytest.approx(math.exp(0.1) - 1)
    assert done.scores[0].nats == pytest.approx(0.1)
    assert [s.floor_ratio for s in done.scores] == [3e-6 if version >= 3 else None, None]
    pending = documents.decode_evaluation(stored(version, "evaluation-pending"), "pending")
    assert (pending.state, pending.request.interpolation) == (EvaluationState.PENDING, 0.25)
    broken = documents.decode_evaluation(stored(version, "evaluation-broken"), "broken")
    assert math.isnan(broken.results[0].nats)
    assert broken.scores[0].ratio == math.inf
    failed = documents.decode_evaluation(stored(version, "evaluation-failed"), "failed")
    assert (failed.state, failed.damaged) == (EvaluationState.FAILED, checkpoint("base") if version >= 2 else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_histories_of_every_version_are_read(version: int):
    rows, faults = documents.decode_history(stored(version, "history"), "history")
    assert faults == []
    assert [row.record.baseline for row in rows] == ([True, False, False] if version >= 2 else [False, False])
    assert rows[-2].record.scores[0].nats == pytest.approx(0.1)


def test_measurements_of_the_present_version_are_read_and_those_without_a_seal_are_not():
    assert documents.decode_measurement(stored(2, "result"), NAME, "x") == measurement(1.5, units=3, tokens=4)
    with pytest.raises(Corrupt, match="version 1"):
        documents.decode_measurement(stored(1, "result"), NAME, "x")


def test_a_measurement_that_was_changed_or_lies_under_another_name_is_none():
    store = FakeObjectStore()
    results = StoredMeasurements(store, Aside(store))
    results.put(NAME, measurement(1.5))
    key = measurement_key(NAME)
    good = store.objects[key]
    flipped = good.replace(b'"tokens":6000', b'"tokens":6001')
    other = MeasurementName(weights_digest=digest("base"), set_digest=NAME.set_digest, method=NAME.method)
    for place, data in ((key, flipped), (key, good[:-9]), (measurement_key(other), good)):
        store.objects[place] = data
        asked = other if place != key else NAME
        assert results.get(asked) is None
        assert place not in store.objects, "out of the way"
        results.put(asked, measurement(1.25))
        assert results.get(asked) == measurement(1.25)
    assert len([name for name in store.objects if name.startswith("evaluator/damaged/")]) == 3


def test_another_way_of_measuring_is_another_measurement():
    store = FakeObjectStore()
    results = StoredMeasurements(store, Aside(store))
    results.put(NAME, measurement(1.5))
    for change in ({"method": "float32 on cuda"}, {"set_digest": digest("x")}, {"weights_digest": digest("y")}):
        assert results.get(MeasurementName(**{**vars(NAME), **change})) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not json",
        b'{"version": 99}',
        b"[]",
        b'{"version": 2, "request": null}',
        b'{"version": 2, "x": ' + b"[" * 100_000,
        b'{"version": ' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "no JSON", "newer", "a list", "no request", "deep", "digits"],
)
async def test_an_unfinished_evaluation_that_cannot_be_read_stops_no_other(harness: Harness, damage: bytes):
    harness.measurer.gate.clear()
    async with harness.serving() as service:
        await service.create("bad", request())
        await service.create("good", request("good"))
    harness.measurer.gate.set()
    harness.store.objects["evaluator/evaluations/bad.json"] = damage
    async with harness.serving() as service:
        assert (await ended(service, "good")).state is EvaluationState.SUCCEEDED
        assert 'retain_evaluator_unreadable_documents_total{kind="evaluation"} 1.0' in harness.metrics()
        await service.create("bad", request())  # asked again it is a new one
        assert (await ended(service, "bad")).state is EvaluationState.SUCCEEDED
        assert [key.id for key in await service.keys("r1")].count("bad") == 1
    assert damage in [
        harness.store.objects[key] for key in harness.store.objects if key.startswith("evaluator/damaged/")
    ]


def test_a_row_that_cannot_be_read_costs_the_history_no_other_row():
    store, kinds = FakeObjectStore(), []
    document = json.loads(stored(2, "history"))
    del document["records"][1]["stage"]
    store.objects["history/r1.json"] = json.dumps(document).encode()
    history = StoredHistory(store, Aside(store, on_unreadable=kinds.append))
    assert [row.evaluation_id for row in history.load("r1")] == ["base of midtrain/code", "broken"]
    again = StoredHistory(store, Aside(store, on_unreadable=kinds.append))
    assert len(again.load("r1")) == 2
    assert kinds == ["history"], "said once"


def test_evaluations_that_were_listed_by_nobody_cannot_be(harness: Harness):
    """A crash at any call of a creation leaves no evaluation that its run's list does not name."""
    for cut_at in range(6):
        store = FakeObjectStore()
        evaluations = StoredEvaluations(store, Aside(store))
        store.fail_after(cut_at)
        new = documents.decode_evaluation(stored(2, "evaluation-pending"), "pending")
        with contextlib.suppress(Unavailable):
            evaluations.create(new)
        store.fail_after(None)
        there = [key for key in store.objects if key.startswith("evaluator/evaluations/")]
        assert len(evaluations.keys("r1")) >= len(there)


def test_a_floor_is_kept_under_what_it_was_measured_for():
    floor = NoiseFloor(nats=3e-6, repeats=4, tokens=4096)
    assert documents.decode_floor(stored(3, "floor"), FLOOR_NAME, "x") == floor
    store = FakeObjectStore()
    floors = StoredFloors(store, Aside(store, on_unreadable=lambda kind: None))
    assert floors.get(FLOOR_NAME) is None
    floors.put(FLOOR_NAME, floor)
    assert floors.get(FLOOR_NAME) == floor
    for other in (replace(FLOOR_NAME, shape=digest("wider")), replace(FLOOR_NAME, method="float32 on cuda")):
        assert floors.get(other) is None
    assert floor_key(FLOOR_NAME).startswith(f"floors/{digest('general')}/")


@pytest.mark.parametrize("change", [("3e-06", "3e-09"), ('"repeats":4', '"repeats":5')])
def test_a_changed_floor_is_put_aside_and_measured_again(change: tuple[str, str]):
    told: list[str] = []
    store = FakeObjectStore()
    floors = StoredFloors(store, Aside(store, on_unreadable=told.append))
    text = stored(3, "floor").decode()
    assert change[0] in text
    store.put_bytes(floor_key(FLOOR_NAME), text.replace(*change).encode())
    assert floors.get(FLOOR_NAME) is None
    assert told == ["floor"]
