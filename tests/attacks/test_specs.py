"""Rows 1 to 12: specs, on the wire and as files."""

import math
import time
from typing import Any

import grpc
import pytest

from retain.evaluator.v1 import service_pb2 as evaluator_pb2
from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoints_pb2
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import stage_control_service_pb2 as stages_pb2
from retain.types.v1 import spec_pb2
from tests.attacks.installation import Installation, refused
from tests.attacks.matrix import Attack
from tests.fakes.platform import demo_spec
from tests.unit.services.orchestrator.test_limits import NUMERIC, _descriptors, _with
from ui.client.errors import BadInput
from ui.spec.text import parse_yaml

FAST_S = 0.05
CREATE = "/retain.orchestrator.v1.OrchestratorService/CreatePipelineRun"


def test_row_01_rates_that_are_no_numbers(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        for name in NUMERIC:
            if next(_descriptors(name)) == "double":
                for value in (math.nan, math.inf, -math.inf):
                    refused(attack, lambda n=name, v=value: caller.create(_with(n, v)))


def test_row_02_numbers_at_the_ends_of_their_types(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        for name in NUMERIC:
            kind = next(_descriptors(name))
            for value in {"int32": (2**31 - 1, -(2**31)), "int64": (2**63 - 1, -(2**63)), "double": (1e300, -1e300),
                          "uint64": (2**64 - 1,)}[kind]:  # fmt: skip
                if name == "seed":
                    continue  # any seed is one
                refused(attack, lambda n=name, v=value: caller.create(_with(n, v)))
        caller.runs.ListPipelineRuns(pb.ListPipelineRunsRequest(), timeout=20)


def with_unknown(message: Any) -> Any:
    """The same message with a field that nobody knows."""
    return type(message).FromString(message.SerializeToString() + bytes([0xF8, 0x3F, 1]))


def test_row_03_fields_that_this_server_does_not_know(attack: Attack, installation: Installation) -> None:
    spec = demo_spec()
    stage = demo_spec()
    stage.stages[1].MergeFromString(bytes([0xF8, 0x3F, 1]))
    with installation.caller() as caller:
        refused(attack, lambda: caller.create(with_unknown(spec)), naming="1023")
        refused(attack, lambda: caller.create(stage), naming="stages[1]")
        wrapped = with_unknown(pb.CreatePipelineRunRequest(spec=spec))
        refused(attack, lambda: caller.runs.CreatePipelineRun(wrapped, timeout=20))
        refused(attack, lambda: caller.runs.CancelPipelineRun(with_unknown(pb.CancelPipelineRunRequest(run_id="a"))))


def test_row_04_enum_numbers_that_stand_for_nothing(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        for number in (0, 99, -1):
            spec = demo_spec()
            spec.stages[0].kind = number
            refused(attack, lambda s=spec: caller.create(s), naming="kind")
            spec = demo_spec()
            spec.stages[1].domain = number
            refused(attack, lambda s=spec: caller.create(s), naming="domain")
            refused(attack, lambda n=number: caller.runs.ListPipelineRuns(pb.ListPipelineRunsRequest(states=[n])))
            request = pb.ApprovePipelineRunRequest(run_id="a", action=number)
            refused(attack, lambda r=request: caller.runs.ApprovePipelineRun(r), naming="action")
            end = stages_pb2.EndStageRequest(run_id="a", outcome=number)
            codes = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED}
            refused(attack, lambda r=end: caller.stages.EndStage(r), codes=codes)
        spec = demo_spec()
        spec.forgetting.controller = 99
        refused(attack, lambda: caller.create(spec), naming="controller")


def test_row_05_a_million_stages(attack: Attack, installation: Installation) -> None:
    """An empty stage is two bytes: a million of them are more than a message may have, and 400,000 are counted only."""
    with installation.caller() as caller:
        call = caller.channel.unary_unary(CREATE)
        for count, code in ((1_000_000, "RESOURCE_EXHAUSTED"), (400_000, "INVALID_ARGUMENT")):
            spec = spec_pb2.PipelineSpec(name="many").SerializeToString() + bytes([4 << 3 | 2, 0]) * count
            size = len(spec)
            length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
            body = bytes([1 << 3 | 2]) + length + spec
            took = []
            for _ in range(5):
                began = spent_s(installation)
                refused(attack, lambda b=body: call(b, timeout=20), codes={grpc.StatusCode[code]})
                took.append(spent_s(installation) - began)
            assert min(took) < FAST_S, f"{count} stages cost the server {1000 * min(took):.0f} ms"
            attack.refused(f"{count:,} stages cost {1000 * min(took):.0f} ms")


def spent_s(installation: Installation) -> float:
    """Processor time of the orchestrator so far: a machine that is busy with others makes nothing slower that way."""
    if installation.stack is None:
        return time.process_time()
    spent = installation.stack.program("orchestrator").cpu_times()
    return spent.user + spent.system


@pytest.mark.parametrize("kind", ["yaml"])
def test_row_06_objects_in_yaml(attack: Attack, kind: str) -> None:
    for text in (
        '!!python/object/apply:os.system ["id"]',
        "name: !!python/name:os.system",
        "a: !!python/object/new:subprocess.Popen [[id]]",
        "a: !binary aGVsbG8=",
        "a: !ruby/object:Gem::Requirement {}",
    ):
        _refused_text(attack, text)


def _refused_text(attack: Attack, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_yaml(text)
    assert sum(len(v.field) + len(v.description) for v in caught.value.violations) < 4096
    attack.refused("BadInput before anything is built")


def test_row_07_alias_bombs_and_deep_nesting(attack: Attack) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    began = time.perf_counter()
    for text in (bomb, "&a [*a]", "[" * 5000, "{a: " * 200 + "}" * 200, '{"a":' * 5000, "- " * 3000):
        _refused_text(attack, text)
    assert time.perf_counter() - began < 10


def test_row_08_keys_that_stand_twice(attack: Attack) -> None:
    for text in ("name: a\nname: b", '{"name": "a", "name": "b"}', "stages:\n- kind: A\n  kind: B", "{a: 1, a: 2}"):
        _refused_text(attack, text)


HIDDEN = ("\x00", "\x1b[2J", "\r", "\u202e", "\u2066", "\x07", "\u2028")


def test_row_09_characters_that_nobody_sees(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        for mark in HIDDEN:
            for change in ("name", "labels", "key", "source"):
                spec = demo_spec("a" if change != "name" else f"a{mark}b")
                if change == "labels":
                    spec.labels["team"] = f"a{mark}b"
                elif change == "key":
                    spec.labels[f"a{mark}b"] = "x"
                elif change == "source":
                    spec.stages[0].data.general = f"s3://retain/a{mark}.txt"
                said = refused(attack, lambda s=spec: caller.create(s))
                assert said.isprintable(), ascii(said)
            refused(attack, lambda m=mark: caller.create(demo_spec(), request_id=f"a{m}"))
            approve = pb.ApprovePipelineRunRequest(run_id="a", action=1, comment=f"a{mark}b")
            refused(attack, lambda r=approve: caller.runs.ApprovePipelineRun(r))
            void = checkpoints_pb2.VoidCheckpointRequest(checkpoint_id="a", reason=f"a{mark}b")
            refused(attack, lambda r=void: caller.checkpoints.VoidCheckpoint(r))
            named = checkpoints_pb2.ImportCheckpointRequest(uri="s3://retain/uploads/a", name=f"a{mark}b")
            refused(attack, lambda r=named: caller.checkpoints.ImportCheckpoint(r))


UPWARDS = ("../x", "a/../../x", "%2e%2e/x", "%252e%252e/x", "..\\x", "a%5c..%5cx", "a%00b")


def test_row_10_names_and_paths_that_lead_out(attack: Attack, installation: Installation) -> None:
    missing = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    with installation.caller() as caller:
        for place in UPWARDS:
            for base in ("s3://retain/", "file:///data/"):
                spec = demo_spec()
                spec.stages[0].data.general = base + place
                refused(attack, lambda s=spec: caller.create(s), naming="stages[0].data.general")
                spec = demo_spec()
                spec.forgetting.retention["mine"] = base + place
                refused(attack, lambda s=spec: caller.create(s), naming="retention")
            for upload in (
                pb.CreateUploadRequest(sha256="a" * 64, file_name=place, bytes=1),
                pb.CreateUploadRequest(sha256="a" * 64, file_name="a.txt", bytes=1, folder=place),
            ):
                refused(attack, lambda r=upload: caller.runs.CreateUpload(r))
            uri = checkpoints_pb2.ImportCheckpointRequest(uri=f"s3://retain/uploads/{place}")
            refused(attack, lambda r=uri: caller.checkpoints.ImportCheckpoint(r), codes=missing)
            asked = checkpoints_pb2.GetCheckpointRequest(checkpoint_id=place)
            refused(attack, lambda r=asked: caller.checkpoints.GetCheckpoint(r), codes=missing)
            if installation.evaluator:
                wanted = evaluator_pb2.GetEvaluationRequest(evaluation_id=place)
                refused(attack, lambda r=wanted: caller.evaluator.GetEvaluation(r), codes=missing)
                gone = evaluator_pb2.DeleteRunRecordsRequest(run_id=place)
                refused(attack, lambda r=gone: caller.evaluator.DeleteRunRecords(r))


def test_row_11_thresholds_out_of_order(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        for change in (
            {"minor": 0.3}, {"action": 0.01}, {"stop": 0.01}, {"minor": -0.1}, {"minor": 0.1, "action": 0.1},
            {"budget": 5.0}, {"settle": 1.0}, {"suspicious_below": 0.5},
        ):  # fmt: skip
            refused(attack, lambda c=change: caller.create(demo_spec("order", **c)), naming="forgetting")


def test_row_12_workers_and_gpus_that_can_never_be_placed(attack: Attack, installation: Installation) -> None:
    with installation.caller() as caller:
        wanted = [("workers", 4096), ("cpus_per_worker", 4096.0), ("gpus_per_worker", 64)]
        for field, value in wanted if installation.stack is not None else wanted[:2]:
            spec = demo_spec()
            setattr(spec.compute, field, value)
            for stage in spec.stages:
                stage.batch.sequences = 4096
            refused(attack, lambda s=spec: caller.create(s), naming="compute")
