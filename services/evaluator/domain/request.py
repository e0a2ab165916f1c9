"""What may be asked of the evaluator: a checkpoint, frozen sets, what to compare with. Checked before it is taken.

The requests themselves are values of `retain.values`.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from retain.values import Baseline, CheckpointRef, EvalSetRef, EvaluationRequest, PointKind, SetRole, WritePointRequest
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation

_HEX64 = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"s3://[^/\s]+/(?:\S*[^/\s])")
_STEP = re.compile(r"s3://[^/\s]+/runs/[^/\s]+/(?:[^/\s]+/){1,2}attempt-[0-9]+/step-[0-9]+")
_POINT = r"-point-[0-9][0-9.e+-]{0,30}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_DIGITS = "64 hex digits, lower case"
_LETTERS = "letters, digits, '.', '_', '-'"
MOST_ANSWER_TOKENS = 1024


# Names the arithmetic of interpolation: another way of computing it gives other bits, and must not find the old ones.
INTERPOLATION_ARITHMETIC = "line of two weights, from the nearer end"
FAPM_ARITHMETIC = "change pruned by FAPM, whole elements of each matrix"


@dataclass(frozen=True, kw_only=True)
class Model:
    """The weights to measure: a checkpoint or, with `parent`, the interpolation of both (weight 0: `parent`, 1: the
    checkpoint), or with `fapm` the parent with the share `weight` of the change's elements."""

    checkpoint: CheckpointRef
    parent: CheckpointRef | None = None
    weight: float = 1.0
    fapm: bool = False

    @classmethod
    def of(cls, request: EvaluationRequest | WritePointRequest) -> "Model":
        """The weights that a request is about."""
        if isinstance(request, WritePointRequest):
            weight = request.point if request.weight is None else request.weight
            return cls(checkpoint=request.checkpoint, parent=request.parent, weight=weight, fapm=_is_fapm(request))
        if request.interpolation is None:
            return cls(checkpoint=request.checkpoint)
        return cls(
            checkpoint=request.checkpoint, parent=request.parent, weight=request.interpolation, fapm=_is_fapm(request)
        )

    @property
    def ends(self) -> tuple[CheckpointRef, ...]:
        """The checkpoints that it is made of: one, also at weight 0 or 1; else the parent and the result."""
        if self.parent is None or self.weight == 1.0:
            return (self.checkpoint,)
        return (self.parent,) if self.weight == 0.0 else (self.parent, self.checkpoint)

    def digest(self, computed: Sequence[str]) -> str:
        """Names the weights, given the computed digests of `ends`. An interpolation of two has a digest made of
        both and the weight, so that it need not be computed to be looked up."""
        if len(computed) == 1:
            return computed[0]
        parent, result = computed
        arithmetic = FAPM_ARITHMETIC if self.fapm else INTERPOLATION_ARITHMETIC
        return hashlib.sha256(f"{arithmetic} {parent} {result} {self.weight!r}".encode()).hexdigest()


def _is_fapm(request: EvaluationRequest | WritePointRequest) -> bool:
    return request.kind is PointKind.FAPM


def checkpoints_of(request: EvaluationRequest) -> tuple[CheckpointRef, ...]:
    """Every checkpoint that a request names."""
    named = (request.checkpoint, request.parent, request.base, *(row.checkpoint for row in request.baselines))
    return tuple(ref for ref in named if ref is not None)


def baseline_of(request: EvaluationRequest, set_name: str) -> Baseline | None:
    """What the retention set of this name is compared with."""
    return next((baseline for baseline in request.baselines if baseline.set_name == set_name), None)


def same_result(one: EvaluationRequest, other: EvaluationRequest) -> bool:
    """Whether both requests have the same result: the history's first row is beside it."""
    if one.probe is not None:  # the base is what the probe's answers are compared with
        return one == other
    return replace(one, base=None) == replace(other, base=None)


def in_history(request: EvaluationRequest) -> bool:
    """Interpolations, and what belongs to no run, are no part of a history."""
    return bool(request.run_id) and request.interpolation is None


def check(evaluation_id: str, request: EvaluationRequest) -> None:
    """Raises InvalidInput with every fault at once."""
    found = request_faults(request)
    if not _NAME.fullmatch(evaluation_id):
        found.append(_violation("evaluation_id", evaluation_id, f"1 to 200 {_LETTERS}"))
    if found:
        raise InvalidInput(found)


def check_run(run: str) -> None:
    """Raises InvalidInput unless it is the name of a run."""
    if not _NAME.fullmatch(run):
        raise InvalidInput([_violation("run_id", run, _LETTERS)])


def check_export(order: WritePointRequest) -> None:
    """Raises InvalidInput with every fault of an order to export an interpolation."""
    found = checkpoint_faults(order.checkpoint, "checkpoint") + checkpoint_faults(order.parent, "parent")
    if not 0.0 < order.point < 1.0:
        found.append(_violation("point", order.point, "a number between 0 and 1"))
    if order.weight is not None and not 0.0 < order.weight < 1.0:
        found.append(_violation("weight", order.weight, "a number between 0 and 1, or nothing"))
    if not _STEP.fullmatch(order.checkpoint.uri):
        expected = "s3://BUCKET/runs/RUN/STAGE/attempt-N/step-NNNNNNNNN: points lie beside a stage's result"
        found.append(_violation("checkpoint.uri", order.checkpoint.uri, expected))
    elif not re.fullmatch(re.escape(order.checkpoint.uri) + _POINT, order.output_uri):
        expected = f"{order.checkpoint.uri}-point-NUMBER, beside the result that it is a point of"
        found.append(_violation("output_uri", order.output_uri, expected))
    if found:
        raise InvalidInput(found)


def checkpoint_faults(ref: CheckpointRef, path: str) -> list[Violation]:
    """Every fault of a reference to a checkpoint."""
    found = []
    if not _FOLDER.fullmatch(ref.uri):
        found.append(_violation(f"{path}.uri", ref.uri, "s3://BUCKET/KEY of the step folder, no slash at the end"))
    if not _HEX64.fullmatch(ref.manifest_sha256):
        found.append(_violation(f"{path}.manifest_sha256", ref.manifest_sha256, _DIGITS))
    if not _HEX64.fullmatch(ref.weights_digest):
        found.append(_violation(f"{path}.weights_digest", ref.weights_digest, _DIGITS))
    return found


def request_faults(request: EvaluationRequest) -> list[Violation]:
    """Every fault of a request, with its path in the call."""
    found = checkpoint_faults(request.checkpoint, "request.checkpoint")
    if (request.interpolation is None) != (request.parent is None):
        description = "goes with `interpolation`: both or neither"
        found.append(Violation(field="request.parent", description=description))
    if request.parent is not None:
        found += checkpoint_faults(request.parent, "request.parent")
    if request.interpolation is not None and not 0.0 <= request.interpolation <= 1.0:
        expected = "0 (the parent) to 1 (the checkpoint)"
        found.append(_violation("request.interpolation", request.interpolation, expected))
    if request.kind is not None and request.interpolation is None:
        found.append(_violation("request.kind", str(request.kind), "none without `interpolation`"))
    if not request.sets:
        found.append(_violation("request.sets", "none", "at least one set"))
    for index, ref in enumerate(request.sets):
        found += _set_faults(ref, f"request.sets[{index}]")
        if any((other.name, other.use) == (ref.name, ref.use) for other in request.sets[:index]):
            found.append(_violation(f"request.sets[{index}].name", ref.name, "each name once per use"))
    retained = sorted({ref.name for ref in request.sets if ref.role is SetRole.RETENTION})
    for index, baseline in enumerate(request.baselines):
        found += _baseline_faults(baseline, f"request.baselines[{index}]", retained)
    if request.base is not None:
        found += checkpoint_faults(request.base, "request.base")
    found += _probe_faults(request)
    if request.run_id and not _NAME.fullmatch(request.run_id):
        found.append(_violation("request.run_id", request.run_id, _LETTERS))
    if request.export_metrics and not (request.run_id and request.stage):
        found.append(_violation("request.run_id", request.run_id or "''", "a run and a stage, to export metrics"))
    return found


def _probe_faults(request: EvaluationRequest) -> list[Violation]:
    found: list[Violation] = []
    probe = request.probe
    if probe is None:
        return found
    if request.base is None or request.interpolation is not None:
        expected = "a base to compare with, and a checkpoint that is no interpolation"
        found.append(_violation("request.probe", "a probe", expected))
    if not 1 <= probe.answer_tokens <= MOST_ANSWER_TOKENS:
        found.append(_violation("request.probe.answer_tokens", probe.answer_tokens, f"1 to {MOST_ANSWER_TOKENS}"))
    if not (math.isfinite(probe.most_seconds) and probe.most_seconds > 0):
        found.append(_violation("request.probe.most_seconds", probe.most_seconds, "a finite number above 0"))
    return found


def _set_faults(ref: EvalSetRef, path: str) -> list[Violation]:
    found = []
    if not _NAME.fullmatch(ref.name):
        found.append(_violation(f"{path}.name", ref.name, _LETTERS))
    if not _FOLDER.fullmatch(ref.uri):
        found.append(_violation(f"{path}.uri", ref.uri, "s3://BUCKET/KEY of the set's folder"))
    if not _HEX64.fullmatch(ref.digest):
        found.append(_violation(f"{path}.digest", ref.digest, _DIGITS))
    if ref.role is SetRole.UNSPECIFIED:
        found.append(_violation(f"{path}.role", "none", "TARGET or RETENTION"))
    return found


def _baseline_faults(baseline: Baseline, path: str, retained: Sequence[str]) -> list[Violation]:
    found = checkpoint_faults(baseline.checkpoint, f"{path}.checkpoint")
    most = baseline.most_bits_per_byte
    if most is not None and not (math.isfinite(most) and most > 0):
        found.append(_violation(f"{path}.most_bits_per_byte", most, "a finite number above 0, or nothing"))
    if baseline.set_name not in retained:
        expected = f"a retention set of the request: {', '.join(retained) or 'there is none'}"
        found.append(_violation(f"{path}.set_name", baseline.set_name, expected))
    return found


def _violation(field: str, got: object, expected: str) -> Violation:
    return Violation(field=field, description=mismatch(repr(got), expected))
