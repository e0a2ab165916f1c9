"""Each family through the worker's own path against a real object store: imported, trained, adapted, interrupted and
resumed to the same bits, exported, opened by transformers."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained, save_pretrained
from model.families.decoder import FamilyModel
from model.families.names import FAMILIES
from model.nn.interpolation import interpolate
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.types.v1 import spec_pb2
from services.common.store.minio_store import MinioStore
from services.common.store.object_store import get_folder, key_of
from services.orchestrator.domain.spec.families.sizes import APART
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl, StagePlan
from tests.integration.families.models import difference, write_family
from tests.integration.families.outcome import LINES, Line
from tests.integration.worker.harness import connect, orchestrator, point_worker_at, small_spec, work

pytestmark = pytest.mark.integration
BUCKET, SMOKE = "retain", "qwen3"
SAME_LOGITS = 1e-5  # of the largest, in float32
AWKWARD = "def f(x):\n\treturn x ** 2  # naïve — 数学 12345.67e-8 🙂\n\n   end"


@pytest.fixture(scope="module")
def server(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        yield server


@pytest.fixture(scope="module")
def store(server: Server) -> MinioStore:
    return connect(server, BUCKET)


def two_stages(folder: Path) -> tuple[spec_pb2.PipelineSpec, list[StagePlan]]:
    """Mid-training of every weight with replay, and once more with adapters, on an imported model."""
    spec = small_spec()
    spec.ClearField("tokenizer")
    spec.model.huggingface = str(folder)
    spec.stages[0].CopyFrom(spec.stages[1])
    spec.stages[0].learning_rate = 3e-3
    spec.stages[1].learning_rate = 1e-2
    spec.stages[1].lora.rank, spec.stages[1].lora.alpha = 4, 8
    sources = {"math": "sample://math", "general": "sample://science"}
    plans = [
        StagePlan(name=name, target="math", sources=sources, shares={"general": 0.25})
        for name in ("midtrain/math", "midtrain/math-2")
    ]
    return spec, plans


def fence_each_stage(control: FakeStageControl) -> None:
    """After the first checkpoint of each stage the attempt is another's, which resumes from there."""
    fenced: set[int] = set()

    def fence(request: pb.ReportCheckpointRequest) -> None:
        if request.stage_index not in fenced:
            fenced.add(request.stage_index)
            control.resume[request.stage_index] = request.checkpoint
            control.attempt += 1

    control.on_checkpoint = fence


def losses(control: FakeStageControl, stage: int) -> tuple[float, float]:
    reported = control.checkpoints[stage]
    return reported[0].train_loss_nats, reported[-1].train_loss_nats


@pytest.mark.parametrize(
    "name", [name if name == SMOKE else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_a_family_goes_the_whole_way_of_a_worker(
    name: str,
    server: Server,
    store: MinioStore,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, plans = two_stages(
        write_family(name, tmp_path / "imported", tokenizer=shared_data / "models" / "stories260K-hf")
    )
    runs = []
    for disturbed in (False, True):
        control = FakeStageControl(spec, copy.deepcopy(plans))
        if disturbed:
            fence_each_stage(control)
        cache = tmp_path / f"cache-{disturbed}"
        with orchestrator(control):
            work(point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=cache))
        assert not control.failed, control.ended
        runs.append(control)
    whole, resumed = runs
    assert [len({c.attempt for c in resumed.checkpoints[stage]}) for stage in (0, 1)] == [2, 2], "each was interrupted"
    digests = [[run.accepted(stage).weights_digest for stage in (0, 1)] for run in runs]
    assert digests[0] == digests[1], "a resumed stage ends with the same bits"
    assert len({whole.prepared.base.weights_digest, *digests[0]}) == 3, "both stages changed the weights"
    for stage in (0, 1):
        first, last = losses(whole, stage)
        assert last < first
    worst = opened_by_transformers(whole, store, tmp_path)
    model = load_pretrained(tmp_path / "lora" / checkpoint.MODEL_FOLDER)
    assert isinstance(model, FamilyModel)
    assert model.packs == (name not in APART)
    LINES.append(
        Line(
            name=name,
            packed=model.packs,
            trained=losses(whole, 0),
            adapted=losses(whole, 1),
            resumed=digests[0] == digests[1],
            exported=worst,
            through="worker, store",
        )
    )


def opened_by_transformers(control: FakeStageControl, store: MinioStore, folder: Path) -> float:
    """The base, both results and a point between base and result, opened by transformers as they lie in the store: the
    largest difference of logits. The tokenizer is opened too."""
    made = {"base": control.prepared.base, "full": control.accepted(0), "lora": control.accepted(1)}
    places = []
    for said, reference in made.items():
        get_folder(store, key_of(store, reference.uri), folder / said)
        checkpoint.verify(folder / said, reference.manifest_sha256)
        places.append(folder / said / checkpoint.MODEL_FOLDER)
    save_pretrained(interpolate(load_pretrained(places[0]), load_pretrained(places[1]), 0.5), folder / "between")
    worst = max(difference(place) for place in (*places, folder / "between"))
    assert worst <= SAME_LOGITS
    theirs = AutoTokenizer.from_pretrained(places[-1], local_files_only=True)
    assert Tokenizer.load(places[-1]).encode(AWKWARD) == theirs(AWKWARD).input_ids
    return worst
