"""An evaluation request: a checkpoint, frozen sets, what to compare with. Checked whole before it is taken."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.common.errors import InvalidInput, Violation

_HEX64 = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"s3://[^/\s]+/(?:\S*[^/\s])")
_STEP = re.compile(r"s3://[^/\s]+/runs/[^/\s]+/(?:[^/\s]+/){1,2}attempt-[0-9]+/step-[0-9]+")
_POINT = r"-point-[0-9][0-9.e+-]{0,30}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


# Names the arithmetic of interpolation: another way of computing it gives other bits, and must not find the old ones.
INTERPOLATION_ARITHMETIC = "line of two weights, from the nearer end"


class SetRole(StrEnum):
    """What a set is measured for: the stage is to learn TARGET and must keep RETENTION."""

    TARGET = "target"
    RETENTION = "retention"


class SetUse(StrEnum):
    """Who looks at a set: the gate at CONTROL, people at REPORT (disjoint from it)."""

    CONTROL = "control"
    REPORT = "report"


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """A checkpoint and the bytes that it must have: SHA-256 of its manifest, digest over its weights."""

    uri: str
    manifest_sha256: str
    weights_digest: str
    step: int = 0
    tokens: int = 0

    def violations(self, path: str) -> list[Violation]:
        found = []
        if not _FOLDER.fullmatch(self.uri):
            found.append(_violation(f"{path}.uri", self.uri, "s3://BUCKET/KEY of the step folder, no slash at the end"))
        if not _HEX64.fullmatch(self.manifest_sha256):
            found.append(_violation(f"{path}.manifest_sha256", self.manifest_sha256, "64 hex digits, lower case"))
        if not _HEX64.fullmatch(self.weights_digest):
            found.append(_violation(f"{path}.weights_digest", self.weights_digest, "64 hex digits, lower case"))
        return found


@dataclass(frozen=True, kw_only=True)
class EvalSetRef:
    """A frozen evaluation set: its name for people, and the digest that names its content."""

    name: str
    uri: str
    digest: str
    role: SetRole
    use: SetUse = SetUse.CONTROL

    def violations(self, path: str) -> list[Violation]:
        found = []
        if not _NAME.fullmatch(self.name):
            found.append(_violation(f"{path}.name", self.name, "letters, digits, '.', '_', '-'"))
        if not _FOLDER.fullmatch(self.uri):
            found.append(_violation(f"{path}.uri", self.uri, "s3://BUCKET/KEY of the set's folder"))
        if not _HEX64.fullmatch(self.digest):
            found.append(_violation(f"{path}.digest", self.digest, "64 hex digits, lower case"))
        return found


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The checkpoint that a retention set is compared with: the one that introduced it. `most_bits_per_byte`: one that
    needs more did not know the text, and the score is shown only; None: it counts anyway."""

    set_name: str
    checkpoint: CheckpointRef
    most_bits_per_byte: float | None = None


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """An interpolation of two models: weight 0 is `parent`, 1 is the checkpoint asked about."""

    parent: CheckpointRef
    weight: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """The weights to measure: a checkpoint, or an interpolation between its parent and it."""

    checkpoint: CheckpointRef
    interpolation: Interpolation | None = None

    @property
    def ends(self) -> tuple[CheckpointRef, ...]:
        """The checkpoints that it is made of: one, also at weight 0 or 1; else the parent and the result."""
        if self.interpolation is None or self.interpolation.weight == 1.0:
            return (self.checkpoint,)
        if self.interpolation.weight == 0.0:
            return (self.interpolation.parent,)
        return (self.interpolation.parent, self.checkpoint)

    def digest(self, computed: Sequence[str]) -> str:
        """Names the weights, given the computed digests of `ends`. An interpolation of two has a digest made of
        both and the weight, so that it need not be computed to be looked up."""
        if self.interpolation is None or len(computed) == 1:
            return computed[0]
        parent, result = computed
        return hashlib.sha256(
            f"{INTERPOLATION_ARITHMETIC} {parent} {result} {self.interpolation.weight!r}".encode()
        ).hexdigest()


@dataclass(frozen=True, kw_only=True)
class InterpolationExport:
    """An interpolation to be exported as a checkpoint, and the folder for it."""

    model: Model
    output_uri: str

    def violations(self) -> list[Violation]:
        """Every fault of the order, with its path in the request."""
        found = self.model.checkpoint.violations("checkpoint")
        interpolation = self.model.interpolation
        if interpolation is not None:
            found += interpolation.parent.violations("parent")
        if interpolation is None or not 0.0 < interpolation.weight < 1.0:
            found.append(
                _violation("point", interpolation.weight if interpolation else None, "a number between 0 and 1")
            )
        place = _STEP.fullmatch(self.model.checkpoint.uri)
        if place is None:
            allowed = "s3://BUCKET/runs/RUN/STAGE/attempt-N/step-NNNNNNNNN: points lie beside a stage's result"
            found.append(_violation("checkpoint.uri", self.model.checkpoint.uri, allowed))
        elif not re.fullmatch(re.escape(self.model.checkpoint.uri) + _POINT, self.output_uri):
            allowed = f"{self.model.checkpoint.uri}-point-NUMBER, beside the result that it is a point of"
            found.append(_violation("output_uri", self.output_uri, allowed))
        return found


@dataclass(frozen=True, kw_only=True)
class ExportedCheckpoint:
    """An exported interpolation: a checkpoint in the store."""

    checkpoint: CheckpointRef
    bytes: int


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """One evaluation as asked. `train_loss_nats`, run, stage, attempt and step are carried into history and metrics.

    `base`: the checkpoint that the stage begins at. It is measured once, as the first row of the stage's history.
    """

    model: Model
    sets: tuple[EvalSetRef, ...]
    baselines: tuple[Baseline, ...] = ()
    run: str = ""
    stage: str = ""
    step: int = 0
    attempt: int = 0
    export_metrics: bool = False
    train_loss_nats: float = 0.0
    base: CheckpointRef | None = None

    @property
    def checkpoints(self) -> tuple[CheckpointRef, ...]:
        """Every checkpoint that the request names."""
        parent = (self.model.interpolation.parent,) if self.model.interpolation is not None else ()
        base = (self.base,) if self.base is not None else ()
        return (self.model.checkpoint, *parent, *base, *(baseline.checkpoint for baseline in self.baselines))

    def same_as(self, other: "EvaluationRequest") -> bool:
        """Whether both have the same result: the history's first row is beside it."""
        return replace(self, base=None) == replace(other, base=None)

    def baseline_of(self, name: str) -> Baseline | None:
        """What the retention set of this name is compared with."""
        return next((baseline for baseline in self.baselines if baseline.set_name == name), None)

    def violations(self) -> list[Violation]:
        """Every fault of the request, with its path in the request."""
        found = self.model.checkpoint.violations("request.checkpoint")
        if self.model.interpolation is not None:
            found += self.model.interpolation.parent.violations("request.parent")
            weight = self.model.interpolation.weight
            if not (math.isfinite(weight) and 0.0 <= weight <= 1.0):
                found.append(_violation("request.interpolation", weight, "0 (the parent) to 1 (the checkpoint)"))
        if not self.sets:
            found.append(_violation("request.sets", "none", "at least one set"))
        for index, ref in enumerate(self.sets):
            found += ref.violations(f"request.sets[{index}]")
            if any((other.name, other.use) == (ref.name, ref.use) for other in self.sets[:index]):
                found.append(_violation(f"request.sets[{index}].name", ref.name, "each name once per use"))
        retained = {ref.name for ref in self.sets if ref.role is SetRole.RETENTION}
        for index, baseline in enumerate(self.baselines):
            path = f"request.baselines[{index}]"
            found += baseline.checkpoint.violations(f"{path}.checkpoint")
            most = baseline.most_bits_per_byte
            if most is not None and not (math.isfinite(most) and most > 0):
                found.append(_violation(f"{path}.most_bits_per_byte", most, "a finite number above 0, or nothing"))
            if baseline.set_name not in retained:
                allowed = f"a retention set of the request: {', '.join(sorted(retained)) or 'there is none'}"
                found.append(_violation(f"{path}.set_name", baseline.set_name, allowed))
        if self.base is not None:
            found += self.base.violations("request.base")
        if self.run and not _NAME.fullmatch(self.run):
            found.append(_violation("request.run_id", self.run, "letters, digits, '.', '_', '-'"))
        if self.export_metrics and not (self.run and self.stage):
            found.append(_violation("request.run_id", self.run or "''", "a run and a stage, to export metrics"))
        return found


def check_run(run: str) -> None:
    """Raises InvalidInput unless it is the name of a run."""
    if not _NAME.fullmatch(run):
        raise InvalidInput([_violation("run_id", run, "letters, digits, '.', '_', '-'")])


def check(evaluation_id: str, request: EvaluationRequest) -> None:
    """Raises InvalidInput with every fault at once."""
    found = request.violations()
    if not _NAME.fullmatch(evaluation_id):
        found.append(_violation("evaluation_id", evaluation_id, "1 to 200 letters, digits, '.', '_', '-'"))
    if found:
        raise InvalidInput(found)


def _violation(field: str, came: object, allowed: str) -> Violation:
    return Violation(field=field, description=f"came {came!r}; allowed is {allowed}")
