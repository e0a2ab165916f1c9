"""The JSON documents that the evaluator stores: plain fields of the domain's values, by name.

JSON knows neither NaN nor infinity, and other readers choke on Python's way of writing them, so such numbers are the
strings "nan", "inf" and "-inf".

Every document says its version (services/common/versions.py). One of an earlier version is brought up to the present
one step by step when it is read, so that what an installation kept is read by every later one; one that cannot be read
raises Corrupt, and whoever reads puts it aside. A folder of documents of every version is read by a test.

A kept measurement carries the SHA-256 of what it says, and what it was measured on and how: one that was changed, or
that lies under the name of another, is measured again. There is none of version 1: those had neither. Noise floors are
kept likewise.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from services.common.errors import Corrupt
from services.common.versions import Versions, WrittenByNewer
from services.evaluator.application.ports import FloorName, MeasurementName
from services.evaluator.domain.request import (
    Baseline,
    CheckpointRef,
    EvalSetRef,
    EvaluationRequest,
    Interpolation,
    Model,
    SetRole,
    SetUse,
)
from services.evaluator.domain.result import (
    Evaluation,
    EvaluationState,
    ForgettingScore,
    HistoryRecord,
    Measurement,
    NoiseFloor,
    SetResult,
)

T = TypeVar("T")
VERSION = 4
Document = dict[str, Any]


def encode_evaluation(value: Evaluation) -> bytes:
    """The document of an evaluation."""
    return _json(_VERSIONS.stamp(_plain(asdict(value))))


def encode_measurement(value: Measurement, name: MeasurementName) -> bytes:
    """The document of a measurement, sealed."""
    return _sealed(_MEASUREMENTS, {"name": asdict(name), "measurement": _plain(asdict(value))})


def decode_measurement(data: bytes, name: MeasurementName, where: str) -> Measurement:
    """Raises Corrupt, as the others here do, when the document is not one that `encode_measurement` wrote for this
    name."""

    def build(document: Document) -> Measurement:
        return _measurement(_unsealed(document, asdict(name))["measurement"])

    return _decoded(build, data, where, _MEASUREMENTS)


def encode_floor(value: NoiseFloor, name: FloorName) -> bytes:
    """The document of a noise floor, sealed."""
    return _sealed(_FLOORS, {"name": asdict(name), "floor": asdict(value)})


def decode_floor(data: bytes, name: FloorName, where: str) -> NoiseFloor:
    """Raises Corrupt when the document is not one that `encode_floor` wrote for this name."""

    def build(document: Document) -> NoiseFloor:
        floor = NoiseFloor(**_unsealed(document, asdict(name))["floor"])
        if not 0.0 <= floor.nats < math.inf:
            raise ValueError(f"a floor of {floor.nats} nats")
        return floor

    return _decoded(build, data, where, _FLOORS)


def _sealed(versions: Versions, body: Document) -> bytes:
    return _json(versions.stamp({"sha256": _sha256(body), "body": body}))


def _unsealed(document: Document, name: Document) -> Document:
    body: Document = document["body"]
    if _sha256(body) != document["sha256"]:
        raise ValueError(f"its content has the SHA-256 {_sha256(body)}, it says {document['sha256']}")
    if body["name"] != name:
        raise ValueError(f"it is the measurement of {body['name']}")
    return body


def decode_evaluation(data: bytes, where: str) -> Evaluation:
    return _decoded(_evaluation, data, where, _VERSIONS)


def encode_history(records: list[HistoryRecord]) -> bytes:
    """The history of a run, oldest first."""
    rows = [_plain(asdict(record)) for record in records]
    return json.dumps(_VERSIONS.stamp({"records": rows}), allow_nan=False, indent=1).encode()


def decode_history(data: bytes, where: str) -> tuple[list[HistoryRecord], list[str]]:
    """The rows that can be read, and what is wrong with each of the others."""

    def build(document: Document) -> tuple[list[HistoryRecord], list[str]]:
        found: list[HistoryRecord] = []
        faults: list[str] = []
        for number, row in enumerate(document["records"]):
            try:
                found.append(_record(row))
            except _FAULTS as error:
                faults.append(f"row {number}: {error!r}")
        return found, faults

    return _decoded(build, data, where, _VERSIONS)


def _evaluation_1(document: Document) -> Document:
    """Version 1 knew neither damaged checkpoints, nor waiting, nor the base of a stage."""
    question = document["question"] | {"base": None}
    return document | {"question": question, "damaged": None, "waiting_for": ""}


def _from_1(document: Document) -> Document:
    if "records" in document:
        return document | {"records": [row | {"baseline": False} for row in document["records"]]}
    return _evaluation_1(document)


def _from_2(document: Document) -> Document:
    """Version 2 knew no noise floor: the scores of before have none."""
    if "records" in document:
        return document | {"records": [_from_2(row) for row in document["records"]]}
    return document | {"scores": [score | {"floor_ratio": None} for score in document["scores"]]}


def _from_3(document: Document) -> Document:
    """Version 3 called the request a question, and an interpolation a line."""
    if "records" in document:
        return document
    asked = dict(document["question"])
    asked["model"] = {"checkpoint": asked["model"]["checkpoint"], "interpolation": asked["model"]["line"]}
    return {name: value for name, value in document.items() if name != "question"} | {"request": asked}


def _no_seal(document: Document) -> Document:
    raise ValueError("version 1 of a measurement has no seal; it is measured again")


_VERSIONS = Versions(current=VERSION, upcasters={1: _from_1, 2: _from_2, 3: _from_3})
_MEASUREMENTS = Versions(current=2, upcasters={1: _no_seal})
_FLOORS = Versions(current=1, upcasters={})
# What reading something else than our own document raises: also too deep a nesting, and numbers without an end.
_FAULTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


def _decoded(build: Callable[[Document], T], data: bytes, where: str, versions: Versions) -> T:
    try:
        return build(versions.read(json.loads(data)))
    except WrittenByNewer:
        raise
    except (*_FAULTS, Corrupt) as error:
        said = error.message if isinstance(error, Corrupt) else repr(error)
        raise Corrupt(f"{where} is not a document of the evaluator: {said}", reason="BAD_DOCUMENT") from error


def _json(document: Document) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _sha256(body: Document) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _measurement(document: dict[str, Any]) -> Measurement:
    measured = Measurement(
        nats=float(document["nats"]),
        tokens=int(document["tokens"]),
        bytes=int(document["bytes"]),
        unit_nats=tuple(map(float, document["unit_nats"])),
        unit_tokens=tuple(map(int, document["unit_tokens"])),
        unit_bytes=tuple(map(int, document["unit_bytes"])),
    )
    if not len(measured.unit_nats) == len(measured.unit_tokens) == len(measured.unit_bytes):
        raise ValueError("units of different numbers")
    if sum(measured.unit_tokens) != measured.tokens or measured.tokens <= 0:
        raise ValueError(f"units hold {sum(measured.unit_tokens)} tokens, the set {measured.tokens}")
    return measured


def _checkpoint(document: dict[str, Any]) -> CheckpointRef:
    return CheckpointRef(**document)


def _set(document: dict[str, Any]) -> EvalSetRef:
    return EvalSetRef(**{**document, "role": SetRole(document["role"]), "use": SetUse(document["use"])})


def _request(document: dict[str, Any]) -> EvaluationRequest:
    point = document["model"]["interpolation"]
    return EvaluationRequest(
        **{
            **document,
            "model": Model(
                checkpoint=_checkpoint(document["model"]["checkpoint"]),
                interpolation=point
                and Interpolation(parent=_checkpoint(point["parent"]), weight=float(point["weight"])),
            ),
            "sets": tuple(map(_set, document["sets"])),
            "baselines": tuple(
                Baseline(**{**row, "checkpoint": _checkpoint(row["checkpoint"])}) for row in document["baselines"]
            ),
            "train_loss_nats": float(document["train_loss_nats"]),
            "base": document["base"] and _checkpoint(document["base"]),
        }
    )


def _result(document: dict[str, Any]) -> SetResult:
    numbers = {name: float(document[name]) for name in ("nats", "loss_nats", "perplexity", "bits_per_byte")}
    return SetResult(**{**document, **numbers, "set": _set(document["set"])})


def _score(document: dict[str, Any]) -> ForgettingScore:
    numbers = {name: float(document[name]) for name in ("ratio", "nats", "baseline_perplexity", "perplexity")}
    return ForgettingScore(**{**document, **numbers, "use": SetUse(document["use"])})


def _rows(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "results": tuple(map(_result, document["results"])),
        "scores": tuple(map(_score, document["scores"])),
    }


def _evaluation(document: dict[str, Any]) -> Evaluation:
    damaged = document["damaged"] and _checkpoint(document["damaged"])
    changed = {
        "request": _request(document["request"]),
        "state": EvaluationState(document["state"]),
        "damaged": damaged,
    }
    return Evaluation(**{**document, **changed, **_rows(document)})


def _record(document: dict[str, Any]) -> HistoryRecord:
    return HistoryRecord(**{**document, **_rows(document), "train_loss_nats": float(document["train_loss_nats"])})
