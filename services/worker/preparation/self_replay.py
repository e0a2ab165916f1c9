"""`self://bos` and `self://chat`: the base writes the text that is replayed, into the store, in blocks.

    prepared/{digest}/block-00000.json             what came of a block: documents, tokens, SHA-256 of its lines
    prepared/{digest}/block-00000-{sha256}.jsonl   its lines

The digest is that of the weights, the tokenizer and all settings but the number of tokens: a run that asks for more
takes the blocks that are there and writes the rest. A block's facts come after its lines, and the first to write them
decides; so nothing half-written is read, and a worker that is lost in the middle loses one block. What has been
prepared from the text is named by the same digest and number of tokens: then nothing of it is even read.
"""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained
from model.data.sources import Source
from model.document import Document, content_origin
from model.errors import BadConfig
from model.self_replay.prompts import Prompts
from model.self_replay.writing import LONGEST, Writer, Writing, blocks
from model.tokenization.tokenizer import Tokenizer
from retain.types.v1 import spec_pb2, values_pb2
from services.common.logging import get_logger
from services.common.store.object_store import ObjectStore, s3_uri
from services.worker.preparation.base_model import Base

SCHEME = "self://"
PIECES = 2  # of the context, that a document may be long
log = get_logger(__name__)


class SelfText(Source):
    """What a base writes, as a source. Nothing is written before the documents are asked for.

    progress: called with the tokens that there are and those that are wanted; beat: called for every position of every
    batch, may raise.
    """

    def __init__(
        self,
        uri: str,
        writing: Writing,
        base: Base,
        tokenizer: Tokenizer,
        *,
        store: ObjectStore,
        beat: Callable[[], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self.uri, self.kind = uri, "chat" if writing.prompts is Prompts.CHAT else "text"
        self.options = {"tokens": writing.tokens}
        self._writing, self._base, self._tokenizer, self._store = writing, base, tokenizer, store
        self._beat, self._progress = beat, progress
        self._written: list[dict[str, Any]] = []
        self.digest = replace(writing, tokens=1).digest(f"{base.reference.weights_digest} {tokenizer.fingerprint}")
        self._key = f"prepared/{self.digest}"

    def fingerprint(self) -> str:
        """Of weights, tokenizer and settings; how many tokens are wanted is among the options."""
        return self.digest

    def documents(self) -> Iterator[Document]:
        """The documents of every block, in order. Writes those that are not there yet."""
        for number, facts in enumerate(self._facts()):
            for row, line in enumerate(self._lines(number, facts)):
                raw = json.loads(line)
                origin, meta = content_origin(raw, "self"), {"row": f"{self.uri}: {number}.{row}"}
                if "messages" in raw:
                    yield Document(messages=tuple(raw["messages"]), origin=origin, meta=meta)
                else:
                    yield Document(text=raw["text"], origin=origin, meta=meta)

    def notes(self) -> tuple[str, ...]:
        """What was dropped."""
        dropped = self._dropped()
        if not dropped:
            return ()
        said = ", ".join(f"{count} {why}" for why, count in sorted(dropped.items()))
        return (f"{self.uri}: {sum(dropped.values())} documents that the model wrote were dropped: {said}",)

    def told(self) -> dict[str, Any]:
        """What the lineage says of the text, by the fields of SampledText without its name. After `documents`."""
        facts, writing = self._facts(), self._writing
        return {
            "uri": s3_uri(self._store, self._key),
            "digest": hashlib.sha256("\n".join(one["sha256"] for one in facts).encode()).hexdigest(),
            "parent": self._base.reference.weights_digest,
            "prompts": str(writing.prompts),
            "temperature": writing.temperature,
            "top_p": writing.top_p,
            "seed": writing.seed,
            "tokens": sum(one["tokens"] for one in facts),
            "documents": sum(one["documents"] for one in facts),
            "dropped": dict(self._dropped()),
        }

    def _dropped(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for one in self._written:
            total.update(one["dropped"])
        return total

    def _facts(self) -> list[dict[str, Any]]:
        """Of every block that is wanted; those that are not there are written, with the parent in memory meanwhile."""
        if not self._written:
            writer = functools.cache(self._open)
            made = blocks(self._writing, self._known, lambda number: self._write(writer(), number), self._progress)
            self._written = list(made)
        return self._written

    def _open(self) -> Writer:
        model = load_pretrained(self._base.folder / checkpoint.MODEL_FOLDER, beat=self._beat)
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        return Writer(model, self._tokenizer, self._writing)

    def _known(self, number: int) -> dict[str, Any] | None:
        key = self._facts_key(number)
        return None if self._store.stat(key) is None else json.loads(self._store.get_bytes(key))

    def _write(self, writer: Writer, number: int, *, again: bool = False) -> dict[str, Any]:
        """`again`: in place of a block whose lines are not what its facts say."""
        block = writer.block(number, beat=self._beat)
        data = block.to_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        facts = {**block.facts(), "sha256": sha256}
        self._store.put_bytes(self._lines_key(number, sha256), data, content_type="application/jsonl")
        body = json.dumps(facts, indent=1).encode()
        if again:
            self._store.put_bytes(self._facts_key(number), body, content_type="application/json")
        elif not self._store.put_if_absent(self._facts_key(number), body):
            facts = json.loads(self._store.get_bytes(self._facts_key(number)))  # another run was first
        log.info("the base wrote a block", uri=self.uri, block=number, **block.facts())
        return facts

    def _lines(self, number: int, facts: Mapping[str, Any]) -> list[str]:
        key = self._lines_key(number, facts["sha256"])
        data = self._store.get_bytes(key) if self._store.stat(key) is not None else b""
        if hashlib.sha256(data).hexdigest() != facts["sha256"]:
            log.warning("a block is damaged and written again", uri=s3_uri(self._store, key))
            self._written[number] = self._write(self._open(), number, again=True)
            data = self._store.get_bytes(self._lines_key(number, self._written[number]["sha256"]))
        return data.decode().split("\n")[:-1]

    def _facts_key(self, number: int) -> str:
        return f"{self._key}/block-{number:05d}.json"

    def _lines_key(self, number: int, sha256: str) -> str:
        return f"{self._key}/block-{number:05d}-{sha256}.jsonl"


class SelfTexts:
    """The texts that the base of one run writes, each opened once."""

    def __init__(self, store: ObjectStore, *, beat: Callable[[], None], progress: Callable[[int, int], None]) -> None:
        self._store, self._beat, self._progress = store, beat, progress
        self._opened: dict[str, SelfText] = {}

    def open(
        self, spec: spec_pb2.PipelineSpec, index: int, uri: str, base: Base | None, tokenizer: Tokenizer
    ) -> SelfText:
        """The same source for every stage that replays it. Raises BadConfig."""
        if base is None:
            raise BadConfig("data.general", f"{uri} for random weights", "a base that can write")
        if uri not in self._opened:
            writing = writing_of(spec, spec.stages[index], uri)
            self._opened[uri] = SelfText(
                uri, writing, base, tokenizer, store=self._store, beat=self._beat, progress=self._progress
            )
        return self._opened[uri]

    def of_record(self, source: Source) -> dict[str, Any]:
        """What the record of a prepared source says of its text, where a base wrote it."""
        written = self._opened.get(source.uri)
        return {} if written is None else {"sampled": written.told()}


def writing_of(spec: spec_pb2.PipelineSpec, stage: spec_pb2.StageSpec, uri: str) -> Writing:
    """How the text of a stage is written. Raises BadConfig for what the orchestrator did not fill in."""
    given = stage.data.sampling
    if not (given.tokens and given.HasField("temperature") and given.HasField("top_p")):
        raise BadConfig("data.sampling", "nothing", "values: the orchestrator fills in every default")
    return Writing(
        prompts=Prompts(uri.removeprefix(SCHEME)),
        tokens=given.tokens,
        temperature=given.temperature,
        top_p=given.top_p,
        seed=spec.seed,
        # A longer document is read in pieces anyway, and the rows that are still written wait for the longest.
        longest=min(LONGEST, PIECES * spec.model.context),
    )


def sampled_texts(records: Mapping[tuple[int, str], Mapping[str, Any]]) -> list[values_pb2.SampledText]:
    """What models wrote among the records of all roles of all stages, as the orchestrator is told it."""
    found = {one["sampled"]["uri"]: (role, one["sampled"]) for (_, role), one in records.items() if "sampled" in one}
    return [values_pb2.SampledText(name=role, **told) for role, told in found.values()]
