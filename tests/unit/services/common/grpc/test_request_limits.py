"""Every part of every request has a limit, looked at before its handler sees it."""

from collections.abc import Iterator
from typing import Any

import pytest

from retain.evaluator.v1 import service_pb2 as evaluator_pb2
from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoints_pb2
from retain.orchestrator.v1 import identity_service_pb2 as identity_pb2
from retain.orchestrator.v1 import orchestrator_service_pb2 as runs_pb2
from retain.orchestrator.v1 import project_service_pb2 as projects_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as stages_pb2
from services.common import limits
from services.common.errors import InvalidInput
from services.common.grpc.requests import SPEC, check_request, unknown_fields
from services.common.limits import Text
from services.common.texts import escaped, fault_of_place, fault_of_text

FILES = (runs_pb2, checkpoints_pb2, stages_pb2, identity_pb2, projects_pb2, evaluator_pb2)


def parts(message: Any, seen: set[str]) -> Iterator[tuple[str, Any]]:
    """(message, field) of everything that a request can hold, but for specs."""
    if message.full_name in seen or message.full_name == SPEC:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield message.name, field
        if field.message_type is not None:
            yield from parts(field.message_type, seen)


def all_parts() -> list[tuple[str, Any]]:
    seen: set[str] = set()
    return [
        part
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        for part in parts(method.input_type, seen)
    ]


def holds_text(field: Any) -> bool:
    """A text, texts, or a map of them, whose limit has the map's name."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return holds_text(field.message_type.fields_by_name["value"])
    return bool(field.type == field.TYPE_STRING)


def test_texts_in_a_map_have_the_limit_of_the_map() -> None:
    request = checkpoints_pb2.RecordBenchmarkRequest()
    request.benchmark.versions["lm_eval"] = "0.4.13"
    check_request(request, strict=True)
    request.benchmark.versions["lm_eval"] = "x" * 257
    with pytest.raises(InvalidInput, match="up to 256 characters"):
        check_request(request, strict=True)


def test_a_mix_may_forget_less_than_nothing_but_no_amount_that_is_none() -> None:
    request = stages_pb2.ReportMixTrialRequest()
    request.points.add(share=0.5, target_loss_nats=4.2).forgetting_nats["general"] = -1.17
    check_request(request, strict=True)
    request.points[0].forgetting_nats["general"] = float("nan")
    with pytest.raises(InvalidInput, match=r"points\[0\]\.forgetting_nats\['general'\]: got nan"):
        check_request(request, strict=True)


def test_every_text_of_every_request_has_a_limit_and_no_limit_is_of_something_else() -> None:
    texts = {(m, f.name) for m, f in all_parts() if holds_text(f) and not m.endswith("Entry")}
    lacking = {f"{m}.{n}" for m, n in texts if f"{m}.{n}" not in limits.TEXTS and n not in limits.TEXTS}
    assert lacking == set(), "a line in services/common/limits.py"
    known = {name for m, n in texts for name in (n, f"{m}.{n}")}
    assert set(limits.TEXTS) <= known
    numbers = {name for m, f in all_parts() for name in (f.name, f"{m}.{f.name}")}
    assert set(limits.NUMBERS) <= numbers


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\x00b", Text.LINE), ("a\x1b[31mb", Text.LINE), ("a\nb", Text.LINE), ("abc\u202efdp.exe", Text.LINE),
        ("a\u2066b", Text.PROSE), ("a\x00b", Text.PROSE), ("\u2028", Text.LINE), ("\x7f", Text.NAME),
        ("../b", Text.NAME), ("a/b", Text.NAME), ("..", Text.NAME), ("a%2e", Text.NAME), ("a\\b", Text.NAME),
        ("s3://b/../c", Text.PLACE), ("s3://b/%2e%2E/c", Text.PLACE), ("s3://b/%252e%252e/c", Text.PLACE),
        ("s3://b\\c", Text.PLACE), ("file:///a%5c..%5cb", Text.PLACE), ("file:///a%00.txt", Text.PLACE),
        ("file:///a?x=\x00", Text.PLACE),
    ],
)  # fmt: skip
def test_what_nobody_sees_and_what_leads_out_is_refused(text: str, kind: Text) -> None:
    fault = fault_of_text(text, kind)
    assert fault is not None
    assert fault.isascii()
    assert fault.isprintable()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Modell für Grüße, 模型, نموذج, 👩‍🔬", Text.LINE),
        ("two\nlines\tand a tab", Text.PROSE), ("run-1.a_b", Text.NAME),
        ("s3://bucket/runs/a/pretrain/attempt-1/step-000000100", Text.PLACE), ("/data/a..b/c.txt", Text.PLACE),
        ("sample://math?difficulty=[1,3]&template=a%0Ab", Text.PLACE), ("file:///My%20Data/a.txt", Text.PLACE),
    ],
)  # fmt: skip
def test_what_people_write_is_allowed(text: str, kind: Text) -> None:
    assert fault_of_text(text, kind) is None


def test_options_behind_a_place_are_their_readers() -> None:
    assert fault_of_place("file:///data/a.jsonl?template={a}%0A..%0A{b}") is None


def test_all_faults_of_a_request_come_at_once_with_their_paths() -> None:
    request = evaluator_pb2.CreateEvaluationRequest(evaluation_id="a/b")
    request.request.checkpoint.uri = "s3://b/../c"
    request.request.train_loss_nats = float("nan")
    request.request.step = 2**62
    request.request.sets.add(name="x" * 300)
    with pytest.raises(InvalidInput) as caught:
        check_request(request, strict=False)
    assert [v.field for v in caught.value.violations] == [
        "evaluation_id", "request.checkpoint.uri", "request.sets[0].name", "request.step", "request.train_loss_nats",
    ]  # fmt: skip


def test_a_list_that_is_too_long_is_not_looked_into() -> None:
    request = evaluator_pb2.CreateEvaluationRequest(evaluation_id="a")
    for _ in range(65):
        request.request.sets.add(name="\x00")
    with pytest.raises(InvalidInput) as caught:
        check_request(request, strict=False)
    assert [(v.field, v.description) for v in caught.value.violations] == [
        ("request.sets", "got 65 entries; expected up to 64")
    ]


def test_what_a_worker_tells_people_is_escaped_and_cut_and_the_call_is_taken() -> None:
    request = stages_pb2.EndStageRequest(run_id="r", message="\x1b[31mred" + "x" * 5000, reason="r" * 200)
    check_request(request, strict=False)
    assert request.message.startswith("\\x1b[31mred")
    assert len(request.message) < 4200
    assert len(request.reason) < 170
    assert escaped("Grüße\n\u202e", 100) == "Grüße\n\\u202e"


def test_a_field_that_this_program_does_not_know_is_a_fault_where_people_ask() -> None:
    request = runs_pb2.GetPipelineRunRequest.FromString(
        runs_pb2.GetPipelineRunRequest(run_id="r").SerializeToString() + bytes([99 << 3 & 0x7F | 0x80, 99 >> 4, 1])
    )
    assert [v.field for v in unknown_fields(request)] == ["request"]
    with pytest.raises(InvalidInput, match="99"):
        check_request(request, strict=True)
    check_request(request, strict=False)
