"""Measures a model on a file that was uploaded: fetched, read and tokenised within bounds, then in the same windows as
frozen sets, beside the evaluations that runs wait for."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from model.child_process.tokenizer import ApartTokenizer
from model.data.eval_set import EvalSet
from model.data.measured_texts import measured_apart
from model.errors import NonFinite, RetainModelError
from model.evaluation.perplexity import evaluate_set
from model.tokenization.tokenizer import Tokenizer
from retain.values.faults import mismatch
from services.common.concurrency.heart import beat
from services.common.errors import FailedPrecondition, InvalidInput
from services.common.store.object_store import ObjectStore
from services.evaluator.adapters.fetched import fetched
from services.evaluator.adapters.measuring.measurer import TorchMeasurer
from services.evaluator.adapters.measuring.turns import Turns
from services.evaluator.adapters.measuring.verified_files import VerifiedFiles
from services.evaluator.application.ports import FileMeasured, FileOrder
from services.evaluator.domain.request import Model
from services.evaluator.domain.result import Measurement

LARGEST_FILE_BYTES = 256_000_000  # of which the first documents may be asked for
MOST_TEXT_BYTES = 16_000_000
MOST_TOKENS = 4_000_000  # of one question: what a person waits for, and others wait behind
# Raise it with every change to how files are read or encoded: what was kept before is measured again.
FILES = 1


class TorchFileMeasurer:
    """`measurer` has the models in memory, `store` the uploads."""

    def __init__(self, measurer: TorchMeasurer, files: VerifiedFiles, store: ObjectStore) -> None:
        self._measurer, self._files, self._store = measurer, files, store

    def method(self) -> str:
        """See `FileMeasurer.file_method`."""
        return f"{self._measurer.method()} files={FILES}"

    def measure(self, model: Model, order: FileOrder, progress: Callable[[int, int], None]) -> FileMeasured:
        """See `FileMeasurer.measure_file`. Raises InvalidInput, FailedPrecondition, and what `TorchMeasurer.weights`
        does."""
        weights = self._measurer.weights(model)
        context = order.context or weights.config.context
        if context > weights.config.context:
            raise InvalidInput.at("context", mismatch(context, f"up to the model's context, {weights.config.context}"))
        eval_set = self._read(model, order, context)
        tokens = len(eval_set.tokens_N)
        if tokens > MOST_TOKENS:
            got, expected = f"{tokens:,} tokens", f"up to {MOST_TOKENS:,}; the first documents of it can be asked for"
            raise InvalidInput.at("uri", mismatch(got, expected))
        progress(0, tokens)
        with _Passes(self._measurer.turns) as passes:

            def on_tokens(count: int) -> None:
                beat(f"measuring {model.checkpoint.uri} on {order.file_name}")
                passes.step(count)
                progress(min(passes.done, tokens), tokens)

            try:
                found = evaluate_set(weights, eval_set, on_tokens=on_tokens)
            except NonFinite as error:
                said = f"{model.checkpoint.uri} on {order.file_name}: {error}"
                raise FailedPrecondition(said, reason=error.reason) from error
            except RetainModelError as error:
                raise InvalidInput.at("uri", f"{error.field}: {error.description}") from error
        measured = Measurement(
            nats=found.nats,
            tokens=found.tokens,
            bytes=found.bytes,
            unit_nats=tuple(unit.nats for unit in found.units),
            unit_tokens=tuple(unit.tokens for unit in found.units),
            unit_bytes=tuple(unit.bytes for unit in found.units),
        )
        return FileMeasured(measurement=measured, documents=found.documents, context=context)

    def _read(self, model: Model, order: FileOrder, context: int) -> EvalSet:
        """The file as a set of this model's tokens; foreign text is read and encoded by children."""
        name = order.file_name
        doing = f"reading {name}"
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retain-file-")))
            with self._files.model_folder(model.checkpoint) as place:
                tokenizer = Tokenizer.load(place)
            beat(doing)
            path = fetched(self._store, order.uri, folder, field="uri", most_bytes=LARGEST_FILE_BYTES)
            try:
                documents = measured_apart(
                    path, name, limit=order.documents, most_bytes=MOST_TEXT_BYTES, waiting=lambda: beat(doing)
                )
                apart = stack.enter_context(ApartTokenizer(tokenizer, waiting=lambda: beat(f"encoding {name}")))
                return EvalSet.build(name, documents, apart, context)
            except RetainModelError as error:
                said = f"{error.field}: {error.description}".replace(f"{folder}/", "")
                raise InvalidInput.at("uri", said) from error


class _Passes:
    """The batches of one measurement: between two of them whoever wants to be alone has a turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self.done = turns, 0
        self._turn: ExitStack | None = None

    def __enter__(self) -> "_Passes":
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def step(self, count: int) -> None:
        """A batch of `count` tokens is done."""
        self.done += count
        self._end()
        self._begin()

    def _begin(self) -> None:
        self._turn = ExitStack()
        self._turn.enter_context(self._turns.together())

    def _end(self) -> None:
        if self._turn is not None:
            self._turn.close()
            self._turn = None
