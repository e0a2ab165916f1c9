"""Measures with torch: loads verified weights, runs them over a verified set, keeps the last models in memory.

This module imports torch and is itself imported at the first question only (see `LazyTorch`): an idle evaluator is
small.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch

from model.errors import NonFinite, RetainModelError
from model.evalset import EvalSet
from model.evaluate import evaluate_set
from model.hf import load_pretrained
from model.interpolate import interpolate
from model.llama import Llama
from model.sample import generate
from model.tokenizer import Tokenizer
from services.common.errors import FailedPrecondition
from services.evaluator.adapters.verified import VerifiedFiles
from services.evaluator.application.ports import Measurer, Sampler
from services.evaluator.domain.answer import Measurement
from services.evaluator.domain.question import CheckpointRef, Model, SetRef

MODELS_IN_MEMORY = 2  # both ends of a line


class TorchMeasurer(Measurer, Sampler):
    """`threads` is fixed: another number of threads sums in another order, and other last bits would come out."""

    def __init__(self, files: VerifiedFiles, *, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._files, self._device = files, torch.device(device)
        self._models: OrderedDict[str, Llama] = OrderedDict()

    def measure(self, model: Model, ref: SetRef) -> Measurement:
        eval_set = self._files.eval_set(ref)
        try:
            weights = self.weights(model)
            self._check_tokenizer(model.checkpoint, eval_set)
            found = evaluate_set(weights, eval_set, device=self._device)
        except NonFinite:
            return _not_finite(eval_set)
        except RetainModelError as error:
            raise FailedPrecondition(
                f"{model.checkpoint.uri} on set {ref.name}: {error}", reason=error.reason
            ) from error
        return Measurement(
            nats=found.nats,
            tokens=found.tokens,
            bytes=found.bytes,
            unit_nats=tuple(unit.nats for unit in found.units),
            unit_tokens=tuple(unit.tokens for unit in found.units),
            unit_bytes=tuple(unit.bytes for unit in found.units),
        )

    def release(self) -> None:
        self._models.clear()

    def sample(
        self,
        checkpoint: CheckpointRef,
        *,
        prompt: str,
        max_new_tokens: int,
        temperature: float,
        top_k: int | None,
        seed: int,
        chat: bool,
    ) -> Iterator[str]:
        folder = self._files.model_folder(checkpoint)
        try:
            model = self.weights(Model(checkpoint=checkpoint))
            tokenizer = Tokenizer.load(folder)
            turns = [{"role": "user", "content": prompt}]
            yield from generate(
                model,
                tokenizer,
                turns if chat else prompt,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_k=top_k,
                seed=seed,
            )
        except RetainModelError as error:
            raise FailedPrecondition(f"{checkpoint.uri}: {error}", reason=error.reason) from error

    def weights(self, model: Model) -> Llama:
        """The model in memory: a checkpoint, or a point between two that are kept there."""
        if model.weights_digest not in self._models:
            line = model.line
            if line is None or line.weight in (0.0, 1.0):
                at_parent = line is not None and line.weight == 0.0
                checkpoint = line.parent if line is not None and at_parent else model.checkpoint
                return self._loaded(checkpoint)
            return interpolate(self._loaded(line.parent), self._loaded(model.checkpoint), line.weight)
        return self._remember(model.weights_digest, self._models[model.weights_digest])

    def _loaded(self, checkpoint: CheckpointRef) -> Llama:
        digest = checkpoint.weights_digest
        known = self._models.get(digest) or self._load(self._files.model_folder(checkpoint))
        return self._remember(digest, known)

    def _load(self, folder: Path) -> Llama:
        return load_pretrained(folder).to(self._device).eval()

    def _remember(self, digest: str, model: Llama) -> Llama:
        self._models[digest] = model
        self._models.move_to_end(digest)
        while len(self._models) > MODELS_IN_MEMORY:
            self._models.popitem(last=False)
        return model

    def _check_tokenizer(self, checkpoint: CheckpointRef, eval_set: EvalSet) -> None:
        """A set's ids are those of its tokenizer; another one of the same size would be measured without notice."""
        folder = self._files.model_folder(checkpoint)
        found = Tokenizer.load(folder).digest if (folder / "tokenizer.json").is_file() else eval_set.tokenizer_digest
        if found != eval_set.tokenizer_digest:
            came = f"it was made with tokenizer {eval_set.tokenizer_digest[:12]}, the model has {found[:12]}"
            raise FailedPrecondition(f"set {eval_set.name}: {came}", reason="TOKENIZER_DIFFERS")


def _not_finite(eval_set: EvalSet) -> Measurement:
    """A broken model is an answer, not a fault: NaN for the whole set, so that the gate sees what it must not pass."""
    units_N = eval_set.units_N[1:] if eval_set.mask_N is None else eval_set.units_N[1:][eval_set.mask_N[1:] == 1]
    counts = torch.bincount(torch.from_numpy(units_N.astype("int64")), minlength=eval_set.units).tolist()
    return Measurement(
        nats=math.nan,
        tokens=eval_set.target_tokens,
        bytes=eval_set.bytes,
        unit_nats=(math.nan,) * eval_set.units,
        unit_tokens=tuple(counts),
        unit_bytes=tuple(eval_set.unit_bytes_U.tolist()),
    )
