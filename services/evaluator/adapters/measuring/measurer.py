"""Measures with torch: loads verified weights, runs them over a verified set, keeps the last models in memory.

This module imports torch and is itself imported at the first request only (see `LazyTorch`): an idle evaluator is
small.
"""

import hashlib
import json
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from model.data.eval_set import EvalSet
from model.errors import BadCheckpoint, NonFinite, RetainModelError
from model.evaluation.generate import generate_from, prompt_ids
from model.evaluation.noise_floor import measure_floor
from model.evaluation.perplexity import HEAD_LOGITS, ROWS_TOKENS, evaluate_set
from model.evaluation.probe import ask_probe
from model.nn.causal_lm import CausalLM
from model.nn.interpolation import interpolate, prune_task_vector
from model.probe import probe_digest
from model.tokenization.tokenizer import Tokenizer
from retain.values import CheckpointRef, EvalSetRef, ProbeRequest, SampleTextRequest, SampleTextResponse
from services.common.concurrency.heart import beat
from services.common.errors import FailedPrecondition
from services.evaluator.adapters.measuring.model_cache import ModelCache
from services.evaluator.adapters.measuring.turns import Turns
from services.evaluator.adapters.measuring.verified_files import VerifiedFiles, damaged, read_manifest
from services.evaluator.adapters.measuring.weights import Weights, claims, load
from services.evaluator.application.ports import Measurer, Prober, Sampler
from services.evaluator.domain.request import Model
from services.evaluator.domain.result import Measurement, NoiseFloor

MODELS_IN_MEMORY = 2  # both ends of an interpolation
DIGESTS_IN_MEMORY = 10_000
# Raise it with every change to model/ that changes a bit of a measurement: what was kept before is measured again.
ARITHMETIC = 1
# The same of model/evaluation/noise_floor.py: floors that were kept before are measured again.
FLOOR = 1


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What was computed of a checkpoint when it was loaded: the digests of its weights and of its shape."""

    digest: str
    shape: str


class TorchMeasurer(Measurer, Prober, Sampler):
    """`threads` is fixed: another number of threads sums in another order, and other last bits would come out."""

    def __init__(self, files: VerifiedFiles, *, threads: int, device: str, make_room: Callable[[], object]) -> None:
        torch.set_num_threads(threads)
        self._files, self._device, self._make_room = files, torch.device(device), make_room
        self._models: ModelCache[Weights] = ModelCache(MODELS_IN_MEMORY)
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()  # by manifest and claim
        self.turns = Turns()  # whoever changes the number of threads is alone
        self._sets: OrderedDict[str, str] = OrderedDict()  # digest of a set -> computed, over its units too
        self._lock = threading.Lock()
        facts = {
            "arithmetic": ARITHMETIC,
            "dtype": "float32",
            "device": self._device.type,
            "threads": threads,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
            "batch_tokens": ROWS_TOKENS,
            "batch_logits": HEAD_LOGITS,
        }
        self._method = " ".join(f"{name}={value}" for name, value in facts.items())

    def method(self) -> str:
        return self._method

    def shape(self, model: Model) -> str:
        ref = model.checkpoint
        with self._lock:
            known = self._known.get((ref.manifest_sha256, ref.weights_digest))
        return known.shape if known is not None else shape_of(self._loaded(ref).model)

    def floor_method(self) -> str:
        return f"{self._method} floor={FLOOR} cores={len(os.sched_getaffinity(0))}"

    def floor(self, model: Model, ref: EvalSetRef) -> NoiseFloor:
        doing = f"measuring the noise floor on {ref.name}"
        try:
            found = measure_floor(
                self.weights(model),
                self._files.eval_set(ref),
                device=self._device,
                cores=len(os.sched_getaffinity(0)),
                alone=self.turns.alone,
                on_tokens=lambda _: beat(doing),
            )
        except RetainModelError as error:
            raise FailedPrecondition(f"noise floor of {ref.name}: {error}", reason=error.reason) from error
        return NoiseFloor(nats=found.nats, repeats=found.repeats, tokens=found.tokens)

    def identify(self, model: Model) -> str:
        return model.digest([self._identified(end) for end in model.ends])

    def identify_set(self, ref: EvalSetRef) -> str:
        with self._lock:
            known = self._sets.get(ref.digest)
        if known is None:
            known = content_digest(self._files.eval_set(ref))
            with self._lock:
                self._sets[ref.digest] = known
                while len(self._sets) > DIGESTS_IN_MEMORY:
                    self._sets.popitem(last=False)
        return known

    def measure(self, model: Model, ref: EvalSetRef) -> Measurement:
        eval_set = self._files.eval_set(ref)
        try:
            weights = self.weights(model)
            self._check_tokenizer(model.checkpoint, eval_set)
            doing = f"measuring {model.checkpoint.uri} on {ref.name}"
            found = evaluate_set(weights, eval_set, device=self._device, on_tokens=lambda _: beat(doing))
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

    def probe_method(self) -> str:
        return f"{self._method} probe={probe_digest()}"

    def probe(self, model: Model, settings: ProbeRequest, only: Sequence[str] | None) -> dict[str, bool]:
        checkpoint = model.checkpoint
        try:
            weights = self.weights(model)
            with self._files.model_folder(checkpoint) as folder:
                tokenizer = Tokenizer.load(folder)
            doing = f"asking {checkpoint.uri} the probe"
            return ask_probe(
                weights,
                tokenizer,
                answer_tokens=settings.answer_tokens,
                most_seconds=settings.most_seconds,
                only=only,
                on_item=lambda: beat(doing),
            )
        except NonFinite:
            return dict.fromkeys(only or (), False)  # weights that are no numbers know nothing any more
        except RetainModelError as error:
            raise FailedPrecondition(f"{checkpoint.uri}: {error}", reason=error.reason) from error

    def release(self) -> None:
        self._models.clear()

    def make_room(self) -> None:
        self._make_room()

    def sample(self, order: SampleTextRequest) -> Iterator[SampleTextResponse]:
        checkpoint = order.checkpoint
        try:
            model = self.weights(Model(checkpoint=checkpoint))
            with self._files.model_folder(checkpoint) as folder:
                tokenizer = Tokenizer.load(folder)
            turns = [{"role": turn.role, "content": turn.content} for turn in order.turns]
            turns.append({"role": "user", "content": order.prompt})
            ids = prompt_ids(tokenizer, turns if order.chat else order.prompt)
            yield SampleTextResponse(prompt_tokens=len(ids), context=model.config.context)
            pieces = generate_from(
                model,
                tokenizer,
                ids,
                max_new_tokens=order.max_new_tokens,
                temperature=order.temperature,
                top_k=order.top_k or None,
                seed=order.seed,
            )
            while True:
                with self.turns.together():
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield SampleTextResponse(text=piece)
        except RetainModelError as error:
            raise FailedPrecondition(f"{checkpoint.uri}: {error}", reason=error.reason) from error

    def weights(self, model: Model) -> CausalLM:
        """The model in memory: a checkpoint, or an interpolation of two that are there."""
        ends = [self._loaded(end).model for end in model.ends]
        if len(ends) == 1:
            return ends[0]
        beat(f"interpolating {model.checkpoint.uri}")
        if model.fapm:
            return prune_task_vector(ends[0], ends[1], model.weight)
        return interpolate(ends[0], ends[1], model.weight)

    def _identified(self, ref: CheckpointRef) -> str:
        with self._lock:
            known = self._known.get((ref.manifest_sha256, ref.weights_digest))
        if known is not None:
            return known.digest
        try:
            return self._loaded(ref).digest
        except NonFinite as error:
            # Weights that are not numbers load nowhere; as what they are they are measured, under a name of their own.
            return hashlib.sha256(f"not finite {ref.manifest_sha256} {error.reason}".encode()).hexdigest()

    def _loaded(self, ref: CheckpointRef) -> Weights:
        """Under the manifest's name: what a manifest claims of its weights is no name. Raises CheckpointDamaged when
        the claim, or the request's, is not what the weights have."""

        def load_it() -> Weights:
            with self._files.model_folder(ref) as folder:
                manifest = read_manifest(folder.parent, ref)
                try:
                    weights = load(folder, self._device)
                except BadCheckpoint as error:
                    raise damaged(ref, str(error)) from error
            allowed = claims(weights.digest, manifest)
            for said, came in (("manifest", manifest.weights_digest), ("request", ref.weights_digest)):
                if came not in allowed:
                    raise damaged(ref, f"its weights have the digest {weights.digest}, the {said} says {came}")
            return weights

        weights = self._models.get(f"{ref.manifest_sha256} {ref.weights_digest}", load_it)
        known = _Known(digest=weights.digest, shape=shape_of(weights.model))
        with self._lock:
            self._known[(ref.manifest_sha256, ref.weights_digest)] = known
            while len(self._known) > DIGESTS_IN_MEMORY:
                self._known.popitem(last=False)
        return weights

    def _check_tokenizer(self, checkpoint: CheckpointRef, eval_set: EvalSet) -> None:
        """A set's ids are those of its tokenizer; another one of the same size would be measured without notice."""
        with self._files.model_folder(checkpoint) as folder:
            present = (folder / "tokenizer.json").is_file()
            found = Tokenizer.load(folder).digest if present else eval_set.tokenizer_digest
        if found != eval_set.tokenizer_digest:
            came = f"it was made with tokenizer {eval_set.tokenizer_digest[:12]}, the model has {found[:12]}"
            raise FailedPrecondition(f"set {eval_set.name}: {came}", reason="TOKENIZER_DIFFERS")


def shape_of(model: CausalLM) -> str:
    """SHA-256 (hex) over a model's sizes and variants."""
    canonical = json.dumps(asdict(model.config), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def content_digest(eval_set: EvalSet) -> str:
    """SHA-256 (hex) over a set's digest and its units: whose nats are summed together, and where one conversation ends
    for the attention, stands in files that the set's own digest leaves out."""
    units = (eval_set.units_N, eval_set.unit_bytes_U, eval_set.unit_documents_U)
    digest = hashlib.sha256(eval_set.digest.encode())
    for array in units:
        digest.update(len(array).to_bytes(8, "little") + array.astype("<i8").tobytes())
    return digest.hexdigest()


def _not_finite(eval_set: EvalSet) -> Measurement:
    """A broken model is a result, not a fault: NaN for the whole set, so that the gate sees what it must not pass."""
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
