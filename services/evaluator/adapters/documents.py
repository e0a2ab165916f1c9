"""The JSON documents that the evaluator keeps: plain fields of the domain's values, by name.

JSON knows neither NaN nor infinity, and other readers choke on Python's way of writing them, so such numbers are the
strings "nan", "inf" and "-inf".
"""

import json
import math
from dataclasses import asdict
from typing import Any

from services.common.errors import Corrupt
from services.evaluator.domain.answer import Evaluation, Measurement, Record, Score, SetResult, State
from services.evaluator.domain.question import Baseline, CheckpointRef, Line, Model, Question, Role, SetRef, Use

VERSION = 1


def encode(value: Measurement | Evaluation | Record) -> bytes:
    """The document of a value."""
    return json.dumps({"version": VERSION} | _plain(asdict(value)), allow_nan=False, separators=(",", ":")).encode()


def decode_measurement(data: bytes, where: str) -> Measurement:
    """Raises Corrupt, as the others here do, when the document is not one that `encode` wrote."""
    return _decoded(_measurement, data, where)


def decode_evaluation(data: bytes, where: str) -> Evaluation:
    return _decoded(_evaluation, data, where)


def encode_history(records: list[Record]) -> bytes:
    """The history of a run, oldest first."""
    rows = [_plain(asdict(record)) for record in records]
    return json.dumps({"version": VERSION, "records": rows}, allow_nan=False, indent=1).encode()


def decode_history(data: bytes, where: str) -> list[Record]:
    return _decoded(lambda document: [_record(row) for row in document["records"]], data, where)


def _decoded(build: Any, data: bytes, where: str) -> Any:
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}, allowed is {VERSION}")
        return build(document)
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{where} is not a document of the evaluator: {error!r}", reason="BAD_DOCUMENT") from error


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


def _set(document: dict[str, Any]) -> SetRef:
    return SetRef(**{**document, "role": Role(document["role"]), "use": Use(document["use"])})


def _question(document: dict[str, Any]) -> Question:
    line = document["model"]["line"]
    return Question(
        **{
            **document,
            "model": Model(
                checkpoint=_checkpoint(document["model"]["checkpoint"]),
                line=line and Line(parent=_checkpoint(line["parent"]), weight=float(line["weight"])),
            ),
            "sets": tuple(map(_set, document["sets"])),
            "baselines": tuple(
                Baseline(set_name=row["set_name"], checkpoint=_checkpoint(row["checkpoint"]))
                for row in document["baselines"]
            ),
            "train_loss_nats": float(document["train_loss_nats"]),
        }
    )


def _result(document: dict[str, Any]) -> SetResult:
    numbers = {name: float(document[name]) for name in ("nats", "loss_nats", "perplexity", "bits_per_byte")}
    return SetResult(**{**document, **numbers, "set": _set(document["set"])})


def _score(document: dict[str, Any]) -> Score:
    numbers = {name: float(document[name]) for name in ("ratio", "nats", "baseline_perplexity", "perplexity")}
    return Score(**{**document, **numbers, "use": Use(document["use"])})


def _rows(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "results": tuple(map(_result, document["results"])),
        "scores": tuple(map(_score, document["scores"])),
    }


def _evaluation(document: dict[str, Any]) -> Evaluation:
    fields = {key: value for key, value in document.items() if key != "version"}
    changed = {"question": _question(document["question"]), "state": State(document["state"])}
    return Evaluation(**{**fields, **changed, **_rows(document)})


def _record(document: dict[str, Any]) -> Record:
    return Record(**{**document, **_rows(document), "train_loss_nats": float(document["train_loss_nats"])})
