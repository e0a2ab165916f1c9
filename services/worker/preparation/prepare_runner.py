"""Preparing a run, on the first rank: the base, the tokenizer, every stage's shards, every evaluation set.

All of it goes into the store under its digest, and what is there already is not made again: a record under the digest
of its recipe (source, tokenizer, options, what the run is judged by) says what came of it. A record is written last, so
it never names what is missing.

    imports/{manifest sha256}/   an imported model as a checkpoint of its own
    tokenizers/{fingerprint}/    and tokenizers/recipes/{recipe}.json for those trained here
    prepared/{digest}/           shards, and prepared/recipes/{recipe}.json
    evalsets/{digest}/

A retention set is frozen by the stage that introduces it: its evaluation sets are made from the first source that any
stage names for its role, whatever later stages replay. Gauge sets have no source: their texts come with the model
package (model/gauge), all of them for measuring. All these sets together, and what the base was measured by, are what
no source of the run may train on: each is read once to find the sets, and once more to be packed without them.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from model.checkpointing import checkpoint
from model.checkpointing.hf_config import read_config
from model.checkpointing.hf_files import parameter_count
from model.child_process.tokenizer import ApartTokenizer
from model.child_process.training import train_apart
from model.data.eval_set import EvalSet
from model.data.exam import Exam, Held, hold
from model.data.held_out import HeldOut
from model.data.prepare import prepare, training_texts, versions
from model.data.prepared import Prepared, open_prepared
from model.data.sources import Source, source_digest
from model.data.split import HoldOut
from model.tokenization.long_words import LONGEST_WORD
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import spec_pb2, values_pb2
from services.common.cache.disk_space import when_there_is_room
from services.common.errors import Stale
from services.common.logging import get_logger
from services.common.store.layout import DAMAGED, META, TOKENIZER
from services.common.store.object_store import ObjectStore, put_folder, s3_uri
from services.worker.attempt import convert
from services.worker.attempt.damage import DamagedData
from services.worker.attempt.streams import measure_length
from services.worker.leaving import Leaving
from services.worker.local_cache import LocalCache
from services.worker.preparation.base_model import Base, take_base
from services.worker.preparation.data_sources import CappedSource, open_role
from services.worker.preparation.gauge_sets import gauge_digests, held_gauges, write_gauges
from services.worker.preparation.prepared_stages import first_sources, prepared_stage, share_of_sets
from services.worker.preparation.self_replay import SCHEME, SelfTexts, sampled_texts
from services.worker.reporting.progress import ProgressReporter

T = TypeVar("T")
log = get_logger(__name__)

# More text than this does not change the merges of a byte-level BPE, only the time that training it takes.
TOKENIZER_BYTES = 50_000_000


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """What every source of a run is prepared with. `before`: what the base was measured by."""

    work: control_pb2.PrepareWork
    tokenizer: Tokenizer
    base: Base | None
    before: HeldOut
    folder: Path


class PrepareRunner:
    """Prepares one run. Raises RetainModelError (a fault of the spec or its data) and the store's errors."""

    def __init__(
        self, *, store: ObjectStore, cache: LocalCache, progress: ProgressReporter, leaving: Leaving | None = None
    ) -> None:
        self._store, self._cache, self._progress = store, cache, progress
        self._leaving = leaving or Leaving()
        self._done, self._parts = 0, 1
        self._opened: dict[tuple[Any, ...], Source] = {}
        self._self_texts = SelfTexts(store, beat=self._alive, progress=self._part_progress)
        self._digests: dict[int, str] = {}

    def run(self, work: control_pb2.PrepareWork) -> control_pb2.PreparedData:
        """Everything, in order. Raises ToldToLeave as soon as it is told to."""
        sources = first_sources(work)
        self._parts = 3 + len({(role, uri) for stage in work.stages for role, uri in stage.sources.items()})
        with self._cache.work_folder() as folder:
            base = self._room(lambda: take_base(work, store=self._store, cache=self._cache, beat=self._alive))
            self._part_done()
            tokenizer = self._room(lambda: self._tokenizer(work, base, folder))
            self._part_done()
            data = control_pb2.PreparedData(
                tokenizer=self._room(lambda: self._put_tokenizer(tokenizer)),
                parameters=parameters_of(work.spec, base, tokenizer),
            )
            if base is not None:
                data.base.CopyFrom(base.reference)
            before = HeldOut() if base is None else HeldOut.read(base.folder / checkpoint.MODEL_FOLDER)
            with ApartTokenizer(tokenizer, waiting=self._alive) as bounded:
                texts = _Texts(work=work, tokenizer=bounded, base=base, before=before, folder=folder)
                records = self._texts(texts)
                gauges = self._room(lambda: self._gauges(texts))
            for stage in work.stages:
                made = prepared_stage(stage, records, sources)
                made.sets.extend(one for name in stage.never_replayed for one in gauges[name])
                self._measure_length(work.spec, stage, made)
                data.stages.append(made)
            data.overlap.update(share_of_sets(records.values(), "exact"))
            data.near_duplicates.update(share_of_sets(records.values(), "near"))
            data.sampled.extend(sampled_texts(records))
            return data

    def _room(self, part: Callable[[], T]) -> T:
        """A part of the work, begun anew when there was no room on the disk."""
        content = self._cache.content
        return when_there_is_room(
            part, content.root, told=self._progress.waiting, pause=self._leaving.pause, free=content.free
        )

    def _tokenizer(self, work: control_pb2.PrepareWork, base: Base | None, folder: Path) -> Tokenizer:
        """The base's, or one trained on the first general source (without any: on the first source there is)."""
        if base is not None:
            return base.tokenizer
        sources = first_sources(work)
        role = "general" if "general" in sources else next(iter(sources))
        index = sources[role]
        source = self._open(work, index, role, work.stages[index].sources[role], folder)
        vocab_size = work.spec.tokenizer.train.vocab_size
        said = [
            *versions(),
            LONGEST_WORD,
            self._digest(source),
            vocab_size,
            asdict(hold_out(work.spec)),
            TOKENIZER_BYTES,
        ]
        recipe = _sha256(["bpe", *said])
        record = f"tokenizers/recipes/{recipe}.json"
        known = self._read(record)
        if known is not None:
            reference = values_pb2.PreparedFolder(
                uri=s3_uri(self._store, f"tokenizers/{known['digest']}"), digest=known["digest"]
            )
            try:
                return self._cache.tokenizer(reference)
            except DamagedData as error:
                log.warning("the stored tokenizer is damaged and trained again", error=str(error))
        texts = training_texts(source, hold_out(work.spec), limit_bytes=TOKENIZER_BYTES)
        tokenizer = train_apart(
            texts,
            vocab_size,
            waiting=self._alive,
            progress=lambda done: self._part_progress(done, TOKENIZER_BYTES),
            say=lambda note: log.info("tokenizer", note=note),
        )
        self._put_tokenizer(tokenizer)
        self._write(record, {"digest": tokenizer.fingerprint})
        return tokenizer

    def _texts(self, texts: "_Texts") -> dict[tuple[int, str], dict[str, Any]]:
        """The record of every source of every stage. Nothing is read when all of them are known."""
        work, first = texts.work, first_sources(texts.work)
        sources = {
            (stage.index, role): self._capped(texts, stage.index, role, uri)
            for stage in work.stages
            for role, uri in stage.sources.items()
        }
        judged = {role: sources[index, role] for role, index in first.items()}
        recipes = {}
        for (index, role), source in sources.items():
            recipes[index, role] = self._recipe(texts, role, source, judged)
        records: dict[str, dict[str, Any]] = {}
        for recipe in recipes.values():
            known = self._read(f"prepared/recipes/{recipe}.json")
            if known is not None and self._is_there(known):
                records[recipe] = known
        held: dict[str, Held] = {}
        if len(records) < len(set(recipes.values())):
            held = self._room(lambda: self._hold(texts, judged))
        self._part_done()
        exam = Exam.of(held | held_gauges(work), texts.before)
        for key, recipe in recipes.items():
            if recipe not in records:
                source, role = sources[key], key[1]
                own = held[role] if source is judged[role] else Held()
                records[recipe] = self._room(
                    lambda s=source, r=role, o=own, c=recipe: self._prepare(texts, r, s, o, exam, c)  # type: ignore[misc]
                )
            self._part_done()
        return {key: records[recipe] for key, recipe in recipes.items()}

    def _capped(self, texts: "_Texts", index: int, role: str, uri: str) -> Source:
        """The source of a role in a stage, with the stage's cap; the same one for stages that ask for the same."""
        if uri.startswith(SCHEME):
            source: Source = self._self_texts.open(texts.work.spec, index, uri, texts.base, texts.tokenizer)
        else:
            source = self._open(texts.work, index, role, uri, texts.folder)
        most = texts.work.spec.stages[index].data.max_tokens
        if not most:
            return source
        key = (id(source), most)
        if key not in self._opened:
            self._opened[key] = CappedSource(source, texts.tokenizer, most)
        return self._opened[key]

    def _recipe(self, texts: "_Texts", role: str, source: Source, judged: dict[str, Source]) -> str:
        """Names what is made of a source in this run: by what goes in, so that nothing need be read to find it made."""
        spec = texts.work.spec
        exam = {name: self._digest(one) for name, one in judged.items()} | gauge_digests(texts.work)
        content = [*versions(), role, source is judged[role], self._digest(source), texts.tokenizer.fingerprint]
        return _sha256([*content, asdict(hold_out(spec)), spec.model.context, exam, texts.before.digest])

    def _hold(self, texts: "_Texts", judged: dict[str, Source]) -> dict[str, Held]:
        """What each role's evaluation sets are made of."""
        rule = hold_out(texts.work.spec)
        return {role: hold(source, texts.tokenizer, rule, beat=self._alive) for role, source in judged.items()}

    def _prepare(
        self, texts: "_Texts", role: str, source: Source, held: Held, exam: Exam, recipe: str
    ) -> dict[str, Any]:
        """The shard of one source and the sets that are made of it, as a record."""
        spec = texts.work.spec
        prepared = prepare(
            source,
            texts.tokenizer,
            texts.folder / "prepare",
            context=spec.model.context,
            hold_out=hold_out(spec),
            name=role,
            held=held,
            exam=exam,
            progress=self._part_progress,
        )
        record = self._put(prepared) | self._self_texts.of_record(source)
        self._write(f"prepared/recipes/{recipe}.json", record)
        self._cache.keep_shard(prepared.shard, prepared.digest)
        for note in source.notes():
            log.info("source", role=role, note=note)
        if prepared.left_out:
            log.info("documents that hold text of an evaluation set", role=role, left_out=prepared.left_out)
        return record

    def _gauges(self, texts: "_Texts") -> dict[str, list[values_pb2.EvalSetRef]]:
        """The sets of every gauge that a stage is measured by, in the store."""
        made: dict[str, list[values_pb2.EvalSetRef]] = {}
        rule, role = hold_out(texts.work.spec), values_pb2.SET_ROLE_RETENTION
        for name, use, folder in write_gauges(texts.work, texts.tokenizer, rule, texts.folder / "gauges"):
            self._put_once(folder, f"evalsets/{folder.name}")
            uri = s3_uri(self._store, f"evalsets/{folder.name}")
            ref = values_pb2.EvalSetRef(name=name, uri=uri, digest=folder.name, role=role, use=use)
            made.setdefault(name, []).append(ref)
        return made

    def _is_there(self, known: dict[str, Any]) -> bool:
        """Whether what a record names is still in the store, and nobody found it damaged."""
        keys = [f"prepared/{known['digest']}", *(f"evalsets/{digest}" for digest, _ in known["sets"].values())]
        return all(self._whole(key) for key in keys)

    def _whole(self, key: str, marker: str = META) -> bool:
        there = self._store.stat(f"{key}/{marker}") is not None
        return there and self._store.stat(f"{key}/{DAMAGED}") is None

    def _measure_length(
        self, spec: spec_pb2.PipelineSpec, stage: control_pb2.PrepareStage, made: control_pb2.PreparedStage
    ) -> None:
        """Writes into `made` how many steps the stage's epochs take, and how often its target's documents come."""
        if convert.epochs(spec.stages[stage.index]) is None and convert.curriculum(spec.stages[stage.index]) is None:
            return
        shards = {folder.name: self._cache.shard(folder) for folder in made.shards}
        steps, passes = measure_length(
            spec, stage.index, shards, target=stage.target, shares=stage.shares, beat=self._alive
        )
        made.steps = steps
        if passes is not None:
            made.passes.CopyFrom(values_pb2.Passes(least=passes.least, median=passes.median, most=passes.most))

    def _open(self, work: control_pb2.PrepareWork, index: int, role: str, uri: str, folder: Path) -> Source:
        """A role keeps the options of the stage that introduced it, when its text is the same."""
        first = first_sources(work)[role]
        owner = first if work.stages[first].sources[role] == uri else index
        stage = work.spec.stages[owner]
        key = (owner, role, uri)
        if key not in self._opened:
            self._opened[key] = open_role(stage, role, uri, store=self._store, folder=folder, waiting=self._alive)
        return self._opened[key]

    def _digest(self, source: Source) -> str:
        """Of a source, computed once: it reads whole files."""
        if id(source) not in self._digests:
            self._digests[id(source)] = source_digest(source)
        return self._digests[id(source)]

    def _put(self, prepared: Prepared) -> dict[str, Any]:
        """Upload a shard and its sets; what the store has already is left alone."""
        shard, control, report = open_prepared(prepared)
        self._put_once(prepared.shard, f"prepared/{prepared.digest}")
        sets = {}
        for part, folder, opened in (("control", prepared.control, control), ("report", prepared.report, report)):
            if folder is not None and isinstance(opened, EvalSet):
                sets[part] = folder.name
                self._put_once(folder, f"evalsets/{folder.name}")
        return {
            "digest": prepared.digest,
            "uri": s3_uri(self._store, f"prepared/{prepared.digest}"),
            "tokens": shard.meta.tokens,
            "loss_tokens": shard.meta.loss_tokens,
            "documents": shard.meta.documents,
            "sets": {part: [digest, s3_uri(self._store, f"evalsets/{digest}")] for part, digest in sets.items()},
            "left_out": prepared.left_out,
            "overlap": {
                overlap.name: {"documents": overlap.documents, "exact": overlap.exact, "near": overlap.near}
                for overlap in prepared.overlap
            },
        }

    def _put_once(self, folder: Path, key: str) -> None:
        self._put_folder(folder, key, marker=META)

    def _put_folder(self, folder: Path, key: str, *, marker: str) -> None:
        if not self._whole(key, marker):
            put_folder(self._store, folder, key, last=marker)
            self._store.delete(f"{key}/{DAMAGED}")
        self._alive()

    def _put_tokenizer(self, tokenizer: Tokenizer) -> values_pb2.PreparedFolder:
        key = f"tokenizers/{tokenizer.fingerprint}"
        with self._cache.work_folder() as folder:
            tokenizer.save(folder)
            self._put_folder(folder, key, marker=TOKENIZER)
        return values_pb2.PreparedFolder(name="tokenizer", uri=s3_uri(self._store, key), digest=tokenizer.fingerprint)

    def _read(self, key: str) -> dict[str, Any] | None:
        return None if self._store.stat(key) is None else json.loads(self._store.get_bytes(key))

    def _write(self, key: str, record: dict[str, Any]) -> None:
        self._store.put_bytes(key, json.dumps(record, indent=1).encode(), content_type="application/json")

    def _alive(self) -> None:
        """A bit of work was done, here or in a child that is waited for. Raises ToldToLeave, and Stale when the attempt
        is somebody else's by now."""
        self._leaving.check()
        self._progress.beat()
        if self._progress.fenced:
            raise Stale("the attempt was fenced off while it prepared")

    def _part_done(self) -> None:
        self._leaving.check()
        self._done += 1
        self._progress.prepared(min(1.0, self._done / self._parts))

    def _part_progress(self, done_bytes: int, total_bytes: int | None) -> None:
        self._alive()
        part = min(1.0, done_bytes / total_bytes) if total_bytes else 0.0
        self._progress.prepared(min(1.0, (self._done + part) / self._parts))


def hold_out(spec: spec_pb2.PipelineSpec) -> HoldOut:
    """What is kept for measuring. The size of the control set is the spec's."""
    return HoldOut(control_tokens=spec.evaluation.tokens_per_set) if spec.evaluation.tokens_per_set else HoldOut()


def parameters_of(spec: spec_pb2.PipelineSpec, base: Base | None, tokenizer: Tokenizer) -> int:
    """Parameters of the model that is trained."""
    if base is not None:
        files = base.folder / checkpoint.MODEL_FOLDER
        return parameter_count(files, read_config(files))
    return convert.model_config(spec, vocab_size=tokenizer.vocab_size).parameter_count()


def _sha256(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
