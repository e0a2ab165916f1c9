"""The same request makes one run, also when the server was started anew in between."""

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from retain.mapper import to_value
from retain.values import PipelineSpec
from services.common.errors import AlreadyExists
from services.orchestrator.transport.orchestrator_servicer import request_digest
from tests.fakes.platform import demo_spec
from tests.unit.services.orchestrator.offline import Offline

# What another process makes of the same message: protobuf gives maps in another order in each.
PROCESS = """
import sys
from retain.types.v1 import spec_pb2
from services.orchestrator.transport.orchestrator_servicer import request_digest
print(request_digest(spec_pb2.PipelineSpec.FromString(sys.stdin.buffer.read())))
"""


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


def labelled():
    spec = demo_spec("maps")
    for number in range(20):
        spec.labels[f"label-{number}"] = str(number)
    for name in ("one", "two", "three"):
        spec.forgetting.retention[name] = "sample://math"
    return spec


def test_five_processes_give_one_digest() -> None:
    sent = labelled().SerializeToString()
    digests = {
        subprocess.run([sys.executable, "-c", PROCESS], input=sent, capture_output=True, check=True)
        .stdout.decode()
        .strip()
        for _ in range(5)
    }
    assert digests == {request_digest(labelled())}
    assert len(request_digest(labelled())) <= 64
    other = labelled()
    other.labels["label-7"] = "another"
    assert request_digest(other) not in digests


async def test_a_request_that_an_earlier_program_answered_is_known_again(offline: Offline) -> None:
    """Its digest was of another kind and differed between processes; what the run was made from decides."""
    spec = to_value(labelled(), PipelineSpec)
    old = "17a44df885697f78ec9fc26b2d0d12ee398b4f4675be1aba995374757f5b3000"
    first = await offline.app.runs.create(spec, "one", digest=old)
    digest = request_digest(labelled())
    again = await offline.app.runs.create(spec, "one", digest=digest)
    assert again.id == first.id
    spelt_out = replace(spec, seed=first.spec.seed, checkpoints=first.spec.checkpoints)
    assert (await offline.app.runs.create(spelt_out, "one", digest="2-another")).id == first.id
    with pytest.raises(AlreadyExists, match=f"made run {first.id} from another spec"):
        await offline.app.runs.create(replace(spec, seed=9), "one", digest="2-another")


async def test_another_body_under_a_known_request_id_is_refused(offline: Offline) -> None:
    spec = to_value(labelled(), PipelineSpec)
    first = await offline.app.runs.create(spec, "one", digest=request_digest(labelled()))
    assert (await offline.app.runs.create(spec, "one", digest=request_digest(labelled()))).id == first.id
    with pytest.raises(AlreadyExists):
        await offline.app.runs.create(spec, "one", digest="2-another")
