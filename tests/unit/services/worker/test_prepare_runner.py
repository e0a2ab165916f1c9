"""Preparing a run: what it is judged by stands in none of its training texts, and doing it again gives the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.checkpointing import checkpoint
from model.data.content import Content
from model.data.eval_set import EvalSet
from model.data.held_out import FILE, HeldOut
from model.data.shards import TokenShard
from model.data.sources import open_source
from model.gauge import gauge_texts
from model.nn.config import preset
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.types.v1 import spec_pb2, values_pb2
from services.common.store.object_store import get_folder, key_of, put_folder, s3_uri
from services.worker.local_cache import LocalCache
from services.worker.preparation.prepare_runner import PrepareRunner
from services.worker.reporting.progress import ProgressReporter
from tests.fakes.object_store import FakeObjectStore

pytestmark = pytest.mark.slow
CONTEXT = 64
# Texts that one file has as rows, and another as one long text with the line ends of another system.
TEXTS = [
    f"def function_{n}(argument):\n"
    + "".join(f"    step_{k} = argument * {n * k} + {n + k}  # step {k} of number {n}\n" for k in range(1, 9))
    + f"    return step_8 - {n % 7}"
    for n in range(2_400)
]


class Killed(Exception):
    """As if the process ended here."""


@pytest.fixture
def progress() -> Iterator[ProgressReporter]:
    reporter = ProgressReporter(lambda request: None)
    yield reporter
    reporter.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(TEXTS))
    (tmp_path / "general.jsonl").write_text(rows)
    (tmp_path / "code.py").write_bytes("\n\n\n".join(TEXTS).replace("\n", "\r\n").encode())
    return tmp_path


def asked(data: Path, *, base: values_pb2.CheckpointRef | None = None) -> pb.PrepareWork:
    """Pre-training on the rows, mid-training on the long text with the rows as replay."""
    general, code = str(data / "general.jsonl"), str(data / "code.py")
    spec = spec_pb2.PipelineSpec(name="small")
    spec.model.context = CONTEXT
    first = spec.stages.add(kind=spec_pb2.STAGE_KIND_PRETRAIN, learning_rate=1e-3)
    first.data.general = general
    second = spec.stages.add(kind=spec_pb2.STAGE_KIND_MIDTRAIN, domain=spec_pb2.DOMAIN_CODE, learning_rate=1e-3)
    second.data.domain, second.data.general = code, general
    second.duration.epochs, second.batch.sequences = 2, 4
    stages = [
        pb.PrepareStage(index=0, name="pretrain", sources={"general": general}, target="general"),
        pb.PrepareStage(
            index=1,
            name="midtrain/code",
            sources={"code": code, "general": general},
            target="code",
            shares={"general": 0.25},
        ),
    ]
    work = pb.PrepareWork(attempt=1, spec=spec, stages=stages)
    if base is None:
        work.spec.model.preset = "nano"
        work.spec.tokenizer.train.vocab_size = 300
    else:
        work.spec.model.checkpoint = base.uri
        work.base.CopyFrom(base)
    return work


def trained_on(store: FakeObjectStore, folder: values_pb2.PreparedFolder, tokenizer: Tokenizer, at: Path) -> list[str]:
    """The words of every document of a shard."""
    get_folder(store, key_of(store, folder.uri), at)
    shard = TokenShard.open(at, verify=True)
    return [words(tokenizer.decode(shard.document(n).tolist())) for n in range(len(shard))]


def measured_by(store: FakeObjectStore, ref: values_pb2.EvalSetRef, tokenizer: Tokenizer, at: Path) -> list[str]:
    """The words of every document of an evaluation set."""
    get_folder(store, key_of(store, ref.uri), at)
    found = EvalSet.open(at)
    owner = found.unit_documents_U[found.units_N]
    return [words(tokenizer.decode(found.tokens_N[owner == n].tolist())) for n in range(found.documents)]


def words(text: str) -> str:
    return " ".join(text.split())


def tokenizer_of(store: FakeObjectStore, made: pb.PreparedData, at: Path) -> Tokenizer:
    get_folder(store, key_of(store, made.tokenizer.uri), at)
    return Tokenizer.load(at)


def test_no_source_of_a_run_holds_text_of_its_sets(data: Path, tmp_path: Path, progress: ProgressReporter) -> None:
    """The long text is cut into pieces of several functions, so that nothing but their lines is common to both."""
    store = FakeObjectStore()
    cache = LocalCache(store, tmp_path / "cache")
    made = PrepareRunner(store=store, cache=cache, progress=progress).run(asked(data))
    tokenizer = tokenizer_of(store, made, tmp_path / "tokenizer")
    trained = {
        f"{stage.index}/{shard.name}": trained_on(store, shard, tokenizer, tmp_path / f"{stage.index}-{shard.name}")
        for stage in made.stages
        for shard in stage.shards
    }
    sets = {f"{ref.name}-{ref.use}": ref for stage in made.stages for ref in stage.sets}
    assert len(sets) == 4
    measured = [text for n, ref in sets.items() for text in measured_by(store, ref, tokenizer, tmp_path / n)]
    hit = [text for text in measured if any(text in other for texts in trained.values() for other in texts)]
    print(f"{len(hit) / len(measured):.1%} of {len(measured)} held-out documents are trained on")
    assert hit == []
    # A piece of the long text that holds a measured function is left out, and functions of a measured piece are.
    left_out = {f"{stage.index}/{shard.name}": shard.left_out for stage in made.stages for shard in stage.shards}
    assert left_out["1/code"] > 0
    assert left_out["0/general"] > 0
    assert left_out["0/general"] == left_out["1/general"]
    assert {name: overlap for name, overlap in made.overlap.items() if overlap} == {}
    assert set(made.overlap) == {"general/control", "general/report", "code/control", "code/report"}
    # What may not be trained on goes with the shards, and names what every set holds.
    held = HeldOut.read(tmp_path / "1-code")
    assert held == HeldOut.read(tmp_path / "0-general")
    assert len(held) >= len(measured)
    assert made.stages[1].steps > 0
    assert made.stages[1].passes == values_pb2.Passes(least=2, median=2, most=2)


def test_the_same_run_again_reads_nothing(
    data: Path, tmp_path: Path, progress: ProgressReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeObjectStore()
    cache = LocalCache(store, tmp_path / "cache")
    first = PrepareRunner(store=store, cache=cache, progress=progress).run(asked(data))
    monkeypatch.setattr(
        "services.worker.preparation.prepare_runner.hold", lambda *a, **k: pytest.fail("a source was read for its sets")
    )
    monkeypatch.setattr(
        "services.worker.preparation.prepare_runner.prepare", lambda *a, **k: pytest.fail("a source was packed")
    )
    assert PrepareRunner(store=store, cache=cache, progress=progress).run(asked(data)) == first


def test_a_killed_preparation_leaves_nothing_that_is_half_written(
    data: Path, tmp_path: Path, progress: ProgressReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again while objects are on their way into the store: in the end, the digests are those of one
    that was left alone."""
    store, whole = FakeObjectStore(), FakeObjectStore()
    expected = PrepareRunner(store=whole, cache=LocalCache(whole, tmp_path / "w"), progress=progress).run(asked(data))
    real, left = store.put_file, 0

    def put_file(key: str, path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        real(key, path)

    monkeypatch.setattr(store, "put_file", put_file)
    cache, made, kills = LocalCache(store, tmp_path / "cache"), None, 0
    while made is None:
        left = 5
        try:
            made = PrepareRunner(store=store, cache=cache, progress=progress).run(asked(data))
        except Killed:
            kills += 1
        for info in store.list("prepared/recipes/"):
            record = json.loads(store.get_bytes(info.key))
            assert store.stat(f"prepared/{record['digest']}/meta.json") is not None
    assert kills > 1
    assert made == expected


def test_what_the_base_was_measured_by_is_not_trained_on(
    data: Path, tmp_path: Path, progress: ProgressReporter
) -> None:
    """The base held out other texts than this run would: they are left out, and noted for whoever comes next."""
    tokenizer = Tokenizer.train_bpe(TEXTS[:50], 300)
    model = Llama(preset("nano", vocab_size=tokenizer.vocab_size, context=CONTEXT), seed=0)
    documents = list(open_source(str(data / "general.jsonl")))
    earlier = HeldOut.of(documents[10:20])
    folder = tmp_path / "base"
    folder.mkdir()
    manifest = checkpoint.write_imported(folder, model=model, tokenizer=tokenizer, held_out=earlier)
    assert f"model/{FILE}" in manifest.files
    store = FakeObjectStore()
    put_folder(store, folder, "runs/r0/finetune/attempt-1/step-000000001", last=checkpoint.MANIFEST)
    base = values_pb2.CheckpointRef(
        uri=s3_uri(store, "runs/r0/finetune/attempt-1/step-000000001"),
        manifest_sha256=manifest.sha256,
        weights_digest=manifest.weights_digest,
    )
    cache = LocalCache(store, tmp_path / "cache")
    made = PrepareRunner(store=store, cache=cache, progress=progress).run(asked(data, base=base))
    (shard,) = made.stages[0].shards
    trained = trained_on(store, shard, tokenizer, tmp_path / "general")
    assert not {words(d.plain_text()) for d in documents[10:20]} & set(trained)
    held = HeldOut.read(tmp_path / "general")
    assert all(held.finds(Content(document)) for document in documents[10:20])


def test_gauge_sets_are_made_of_the_bundled_texts_and_their_copies_are_not_trained_on(
    data: Path, tmp_path: Path, progress: ProgressReporter
) -> None:
    """A source that holds twenty of the texts, within other words: they are left out of the training of every stage."""
    copies = [document.plain_text() for document in gauge_texts("narrative").documents[:20]]
    with (data / "general.jsonl").open("a") as rows:
        for number, text in enumerate(copies):
            rows.write(json.dumps({"id": f"copy {number}", "text": f"Found in a drawer.\n{text}\nThe end."}) + "\n")
    work = asked(data)
    work.stages[1].never_replayed.extend(["gauge-code", "gauge-narrative"])
    store = FakeObjectStore()
    made = PrepareRunner(store=store, cache=LocalCache(store, tmp_path / "cache"), progress=progress).run(work)
    tokenizer = tokenizer_of(store, made, tmp_path / "tokenizer")
    gauges = [ref for ref in made.stages[1].sets if ref.name.startswith("gauge-")]
    uses = (values_pb2.SET_USE_CONTROL, values_pb2.SET_USE_REPORT)
    assert [(ref.name, ref.use) for ref in gauges] == [
        (f"gauge-{k}", use) for k in ("code", "narrative") for use in uses
    ]
    assert {ref.role for ref in gauges} == {values_pb2.SET_ROLE_RETENTION}
    assert not [ref for ref in made.stages[0].sets if ref.name.startswith("gauge-")]
    assert not [shard for stage in made.stages for shard in stage.shards if shard.name.startswith("gauge-")]
    measured = {
        text
        for number, ref in enumerate(ref for ref in gauges if ref.name == "gauge-narrative")
        for text in measured_by(store, ref, tokenizer, tmp_path / f"set-{number}")
    }
    assert len(measured) >= 100
    trained = [
        text
        for stage in made.stages
        for shard in stage.shards
        for text in trained_on(store, shard, tokenizer, tmp_path / f"{stage.index}-{shard.name}")
    ]
    assert not [copy for copy in copies if any(words(copy) in text for text in trained)]
    assert made.overlap["gauge-narrative/control"] == 0.0
    # Asked again it is all there; asked without them the same sources are other work.
    assert PrepareRunner(store=store, cache=LocalCache(store, tmp_path / "cache"), progress=progress).run(work) == made
    without = PrepareRunner(store=store, cache=LocalCache(store, tmp_path / "other"), progress=progress).run(
        asked(data)
    )
    assert without.stages[0].shards[0].digest != made.stages[0].shards[0].digest
