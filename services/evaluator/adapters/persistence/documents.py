"""The JSON documents that the evaluator stores: the fields of values, by name.

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
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from retain.values import Evaluation, FileResult
from services.common.errors import Corrupt
from services.common.plain import from_plain, to_plain
from services.common.versions import Versions, WrittenByNewer
from services.evaluator.application.ports import FileName, FloorName, MeasurementName, ProbeName
from services.evaluator.domain.result import HistoryRow, Measurement, NoiseFloor

T = TypeVar("T")
VERSION = 5
Document = dict[str, Any]


def encode_evaluation(value: Evaluation) -> bytes:
    """The document of an evaluation."""
    return _json(_VERSIONS.stamp(_finite(to_plain(value))))


def encode_measurement(value: Measurement, name: MeasurementName) -> bytes:
    """The document of a measurement, sealed."""
    return _sealed(_MEASUREMENTS, {"name": to_plain(name), "measurement": _finite(to_plain(value))})


def decode_measurement(data: bytes, name: MeasurementName, where: str) -> Measurement:
    """Raises Corrupt, as the others here do, when the document is not one that `encode_measurement` wrote for this
    name."""

    def build(document: Document) -> Measurement:
        return _measurement(_unsealed(document, to_plain(name))["measurement"])

    return _decoded(build, data, where, _MEASUREMENTS)


def encode_floor(value: NoiseFloor, name: FloorName) -> bytes:
    """The document of a noise floor, sealed."""
    return _sealed(_FLOORS, {"name": to_plain(name), "floor": to_plain(value)})


def decode_floor(data: bytes, name: FloorName, where: str) -> NoiseFloor:
    """Raises Corrupt when the document is not one that `encode_floor` wrote for this name."""

    def build(document: Document) -> NoiseFloor:
        floor = from_plain(NoiseFloor, _unsealed(document, to_plain(name))["floor"])
        if not 0.0 <= floor.nats < math.inf:
            raise ValueError(f"a floor of {floor.nats} nats")
        return floor

    return _decoded(build, data, where, _FLOORS)


def encode_probe(answers: Mapping[str, bool], name: ProbeName) -> bytes:
    """The document of a model's answers to the probe, sealed."""
    return _sealed(_PROBES, {"name": to_plain(name), "answers": dict(answers)})


def decode_probe(data: bytes, name: ProbeName, where: str) -> Mapping[str, bool]:
    """Raises Corrupt when the document is not one that `encode_probe` wrote for this name."""

    def build(document: Document) -> Mapping[str, bool]:
        answers: Mapping[str, bool] = _unsealed(document, to_plain(name))["answers"]
        if not all(isinstance(right, bool) for right in answers.values()):
            raise ValueError("an answer that is neither right nor wrong")
        return answers

    return _decoded(build, data, where, _PROBES)


def encode_file_result(value: FileResult, name: FileName) -> bytes:
    """The document of a checkpoint's result on an uploaded file, sealed."""
    return _sealed(_FILE_RESULTS, {"name": to_plain(name), "result": to_plain(value)})


def decode_file_result(data: bytes, name: FileName, where: str) -> FileResult:
    """Raises Corrupt when the document is not one that `encode_file_result` wrote for this name."""

    def build(document: Document) -> FileResult:
        return from_plain(FileResult, _unsealed(document, to_plain(name))["result"])

    return _decoded(build, data, where, _FILE_RESULTS)


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
    return _decoded(lambda document: from_plain(Evaluation, document), data, where, _VERSIONS)


def encode_history(records: list[HistoryRow]) -> bytes:
    """The history of a run, oldest first."""
    rows = [_finite(to_plain(row)) for row in records]
    return json.dumps(_VERSIONS.stamp({"records": rows}), allow_nan=False, indent=1).encode()


def decode_history(data: bytes, where: str) -> tuple[list[HistoryRow], list[str]]:
    """The rows that can be read, and what is wrong with each of the others."""

    def build(document: Document) -> tuple[list[HistoryRow], list[str]]:
        found: list[HistoryRow] = []
        faults: list[str] = []
        for number, row in enumerate(document["records"]):
            try:
                found.append(from_plain(HistoryRow, row))
            except _FAULTS as error:
                faults.append(f"row {number}: {error!r}")
        return found, faults

    return _decoded(build, data, where, _VERSIONS)


def _from_1(document: Document) -> Document:
    """Version 1 knew neither damaged checkpoints, nor waiting, nor the base of a stage."""
    if "records" in document:
        return document | {"records": [row | {"baseline": False} for row in document["records"]]}
    return document | {"question": document["question"] | {"base": None}, "damaged": None, "waiting_for": ""}


def _from_2(document: Document) -> Document:
    """Version 2 knew no noise floor: the scores of before have none, and nothing need be filled in."""
    return document


def _from_3(document: Document) -> Document:
    """Version 3 had fields of its own; since then they are those of the .proto files, enums by the names there."""
    if "records" in document:
        return {"records": [_row_3(row) for row in document["records"]]}
    asked, model = dict(document["question"]), document["question"]["model"]
    point = model["line"] or {"weight": None, "parent": None}
    del asked["model"]
    asked |= {"checkpoint": model["checkpoint"], "interpolation": point["weight"], "parent": point["parent"]}
    asked |= {"run_id": asked.pop("run"), "sets": [_set_3(ref) for ref in asked["sets"]]}
    changed = document | {"request": asked, "measure_seconds": document["measure_s"], **_measured_3(document)}
    return {name: value for name, value in changed.items() if name not in ("question", "measure_s")}


def _from_4(document: Document) -> Document:
    """Version 4 had no project: whose an evaluation is was not asked, and is found by its run."""
    return document if "records" in document else {"project": ""} | document


def _row_3(row: Document) -> Document:
    try:
        return _whole_row_3(row)
    except _FAULTS:
        return row  # it is no row of this version either, and costs the history no other


def _whole_row_3(row: Document) -> Document:
    record = {name: value for name, value in row.items() if name not in ("evaluation_id", "exported", "run")}
    record |= {"run_id": row["run"], **_measured_3(row)}
    return {"evaluation_id": row["evaluation_id"], "exported": row["exported"], "record": record}


def _measured_3(document: Document) -> Document:
    results = [result | {"set": _set_3(result["set"])} for result in document["results"]]
    scores = [{"shown_only": False} | score | {"use": score["use"].upper()} for score in document["scores"]]
    return {"results": results, "scores": scores}


def _set_3(ref: Document) -> Document:
    return ref | {"role": ref["role"].upper(), "use": ref["use"].upper()}


def _no_seal(document: Document) -> Document:
    raise ValueError("version 1 of a measurement has no seal; it is measured again")


_VERSIONS = Versions(current=VERSION, upcasters={1: _from_1, 2: _from_2, 3: _from_3, 4: _from_4})
_MEASUREMENTS = Versions(current=2, upcasters={1: _no_seal})
_FLOORS = Versions(current=1, upcasters={})
_PROBES = Versions(current=1, upcasters={})
_FILE_RESULTS = Versions(current=1, upcasters={})
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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _measurement(document: Document) -> Measurement:
    measured = from_plain(Measurement, document)
    if not len(measured.unit_nats) == len(measured.unit_tokens) == len(measured.unit_bytes):
        raise ValueError("units of different numbers")
    if sum(measured.unit_tokens) != measured.tokens or measured.tokens <= 0:
        raise ValueError(f"units hold {sum(measured.unit_tokens)} tokens, the set {measured.tokens}")
    return measured
