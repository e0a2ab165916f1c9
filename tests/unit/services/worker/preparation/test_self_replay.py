"""Text that the base writes: prepared like any other, written once, resumed where it was lost."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model.checkpointing import checkpoint
from model.data.shards import TokenShard
from model.errors import BadConfig
from model.nn.config import preset
from model.nn.llama import Llama
from model.self_replay import writing as writing_module
from model.self_replay.rows import write_rows
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.types.v1 import spec_pb2, values_pb2
from services.common.errors import Stale
from services.common.store.object_store import get_folder, key_of, put_folder, s3_uri
from services.worker.local_cache import LocalCache
from services.worker.preparation.prepare_runner import PrepareRunner
from services.worker.reporting.progress import ProgressReporter
from tests.fakes.object_store import FakeObjectStore

CONTEXT = 32
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
TEXTS = [" ".join(WORDS[(n * k) % 10] for k in range(1, 40)) + f" number {n}" for n in range(300)]


@pytest.fixture
def progress() -> Iterator[ProgressReporter]:
    reporter = ProgressReporter(lambda request: None)
    yield reporter
    reporter.close()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_module, "BLOCK", 32)


@pytest.fixture
def store(tmp_path: Path) -> FakeObjectStore:
    """A store with a base in it."""
    tokenizer = Tokenizer.train_bpe(TEXTS[:50], 300)
    model = Llama(preset("nano", vocab_size=tokenizer.vocab_size, context=CONTEXT), seed=0)
    folder = tmp_path / "base"
    folder.mkdir()
    checkpoint.write_imported(folder, model=model, tokenizer=tokenizer)
    store = FakeObjectStore()
    put_folder(store, folder, "imports/base", last=checkpoint.MANIFEST)
    (tmp_path / "code.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return store


def asked(store: FakeObjectStore, tmp_path: Path, *, uri: str = "self://bos", tokens: int = 2_000) -> pb.PrepareWork:
    manifest = checkpoint.Manifest.from_bytes(store.get_bytes("imports/base/manifest.json"))
    base = values_pb2.CheckpointRef(
        uri=s3_uri(store, "imports/base"),
        manifest_sha256=manifest.sha256,
        weights_digest=manifest.weights_digest,
    )
    spec = spec_pb2.PipelineSpec(name="small", seed=7)
    spec.model.checkpoint, spec.model.context = base.uri, CONTEXT
    code = str(tmp_path / "code.jsonl")
    stage = spec.stages.add(kind=spec_pb2.STAGE_KIND_MIDTRAIN, domain=spec_pb2.DOMAIN_CODE, learning_rate=1e-3)
    stage.data.domain, stage.data.general = code, uri
    stage.data.sampling.CopyFrom(spec_pb2.SamplingSpec(tokens=tokens, temperature=1, top_p=1))
    one = pb.PrepareStage(
        index=0, name="midtrain/code", sources={"code": code, "general": uri}, target="code", shares={"general": 0.2}
    )
    work = pb.PrepareWork(attempt=1, spec=spec, stages=[one])
    work.base.CopyFrom(base)
    return work


def runner(store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter) -> PrepareRunner:
    return PrepareRunner(store=store, cache=LocalCache(store, tmp_path / "cache"), progress=progress)


def blocks_in(store: FakeObjectStore) -> list[str]:
    return sorted(info.key for info in store.list("prepared/") if "/block-" in info.key and info.key.endswith(".json"))


def test_the_text_is_prepared_like_any_other_and_the_lineage_names_it(
    store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter
) -> None:
    work = asked(store, tmp_path)
    made = runner(store, tmp_path, progress).run(work)
    (told,) = made.sampled
    assert (told.name, told.prompts, told.temperature, told.top_p, told.seed) == ("general", "bos", 1, 1, 7)
    assert told.parent == work.base.weights_digest
    assert told.tokens >= 2_000
    assert len(blocks_in(store)) == 3  # of 32 documents of up to 31 tokens each
    shards = {shard.name: shard for shard in made.stages[0].shards}
    assert told.documents > shards["general"].documents > 0.8 * told.documents  # the rest is held out
    get_folder(store, key_of(store, shards["general"].uri), tmp_path / "shard")
    assert TokenShard.open(tmp_path / "shard", verify=True).meta.kind == "text"
    sets = sorted((one.name, one.use) for one in made.stages[0].sets)
    assert sets == [("code", 1), ("code", 2), ("general", 1), ("general", 2)]


def test_the_same_again_writes_nothing_and_more_tokens_only_what_is_missing(
    store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runner(store, tmp_path, progress).run(asked(store, tmp_path))
    rows = []

    def counted(*arguments: object, **named: object) -> object:
        rows.append(len(arguments[2]))  # type: ignore[arg-type]
        return write_rows(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(writing_module, "write_rows", counted)
    assert runner(store, tmp_path, progress).run(asked(store, tmp_path)) == first
    assert rows == []
    # Another domain text: prepared anew, by the text that is there.
    (tmp_path / "code.jsonl").write_text("".join(json.dumps({"text": text + "!"}) + "\n" for text in TEXTS))
    other = runner(store, tmp_path, progress).run(asked(store, tmp_path))
    assert (list(other.sampled), rows) == (list(first.sampled), [])
    more = runner(store, tmp_path, progress).run(asked(store, tmp_path, tokens=3_000))
    assert rows == [32]
    assert more.sampled[0].uri == first.sampled[0].uri
    assert more.sampled[0].digest != first.sampled[0].digest
    # Another seed, another temperature: another text.
    work = asked(store, tmp_path)
    work.spec.seed = 8
    assert runner(store, tmp_path, progress).run(work).sampled[0].uri != first.sampled[0].uri


def test_a_worker_that_is_lost_in_the_middle_loses_one_block(
    store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = runner(store, tmp_path, progress).run(asked(store, tmp_path))
    facts = {key: store.get_bytes(key) for key in blocks_in(store)}
    for info in list(store.list("prepared/")):
        store.delete(info.key)
    real, left = store.put_bytes, 4

    def dying(key: str, data: bytes, **named: str) -> None:
        nonlocal left
        left -= 1 if "/block-" in key else 0
        if left < 0:
            raise Stale("the process ended here")
        real(key, data, **named)

    monkeypatch.setattr(store, "put_bytes", dying)
    left = 2  # the third block's lines do not get there
    with pytest.raises(Stale):
        runner(store, tmp_path, progress).run(asked(store, tmp_path))
    assert len(blocks_in(store)) == 2
    monkeypatch.setattr(store, "put_bytes", real)
    assert runner(store, tmp_path, progress).run(asked(store, tmp_path)) == whole
    assert {key: store.get_bytes(key) for key in blocks_in(store)} == facts


def test_a_block_whose_lines_are_damaged_or_gone_is_written_again(
    store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter
) -> None:
    whole = runner(store, tmp_path, progress).run(asked(store, tmp_path))
    lines = sorted(info.key for info in store.list("prepared/") if info.key.endswith(".jsonl"))
    store.put_bytes(lines[0], b'{"text": "half a li')
    store.delete(lines[1])
    for info in list(store.list("prepared/recipes/")):  # so that the text is read again
        store.delete(info.key)
    assert runner(store, tmp_path, progress).run(asked(store, tmp_path)) == whole


def test_conversations_become_a_shard_of_conversations(
    store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter, monkeypatch: pytest.MonkeyPatch
) -> None:

    class Ending(torch.nn.Module):
        """Says the end of a turn with probability 1/6."""

        def __init__(self, end: int, vocabulary: int) -> None:
            super().__init__()
            self.register_buffer("logits", torch.zeros(vocabulary))
            self.logits[end] = torch.log(torch.tensor(vocabulary / 6.0))

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.logits.expand(*hidden.shape[:-1], -1)

    def open_writer(self: object) -> writing_module.Writer:
        model = Llama(preset("nano", vocab_size=self._tokenizer.vocab_size, context=64), seed=0)  # type: ignore[attr-defined]
        model.lm_head = Ending(self._tokenizer.token_id("<|end|>"), self._tokenizer.vocab_size)  # type: ignore[attr-defined]
        return writing_module.Writer(model, self._tokenizer, self._writing)  # type: ignore[attr-defined]

    monkeypatch.setattr("services.worker.preparation.self_replay.SelfText._open", open_writer)

    made = runner(store, tmp_path, progress).run(asked(store, tmp_path, uri="self://chat", tokens=600))
    shards = {shard.name: shard for shard in made.stages[0].shards}
    assert 0 < shards["general"].loss_tokens < shards["general"].tokens  # the answers alone are targets
    assert made.sampled[0].prompts == "chat"


def test_what_the_orchestrator_did_not_fill_in_is_refused(
    store: FakeObjectStore, tmp_path: Path, progress: ProgressReporter
) -> None:
    work = asked(store, tmp_path)
    work.spec.stages[0].data.sampling.ClearField("top_p")
    with pytest.raises(BadConfig, match="sampling"):
        runner(store, tmp_path, progress).run(work)
