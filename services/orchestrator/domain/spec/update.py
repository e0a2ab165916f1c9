"""What may change of a run's spec after it was created: fields by their paths, as in a field mask (AIP-134, AIP-161).

Labels and retention may change at any time; what the gate promises may change until the run has succeeded, and holds
from the next boundary on. Everything else decides which tokens are seen or what scores mean: it is fixed when a run is
created, so that a run stays what its spec says.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from retain.values import PipelineSpec
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.orchestrator.domain.spec.defaults import fill_checkpoints, fill_forgetting
from services.orchestrator.domain.spec.validation.validate import validate

AT_ANY_TIME = ("labels", "labels.KEY", "checkpoints.keep_last")
UNTIL_SUCCESS = ("forgetting.budget", "forgetting.max_retries")
_LABEL = "labels."
_EXPECTED = f"one of {', '.join((*AT_ANY_TIME, *UNTIL_SUCCESS))}; the rest of a spec is fixed when a run is created"


def updated(spec: PipelineSpec, given: PipelineSpec, paths: Sequence[str]) -> PipelineSpec:
    """The spec of a run with the values that `given` has at `paths`; where it has none, with the default of the field,
    and without that label. Raises InvalidInput with every fault, each with its path."""
    faults = [
        Violation(field=f"update_mask.paths[{number}]", description=mismatch(repr(path), _EXPECTED))
        for number, path in enumerate(paths)
        if not may_change(path)
    ]
    if not paths:
        faults = [Violation(field="update_mask", description=mismatch("no path", _EXPECTED))]
    if faults:
        raise InvalidInput(faults)
    for path in paths:
        spec = _with(spec, given, path)
    # What was stored by an earlier program is not judged anew: only what changes is.
    heads = tuple("labels" if path.startswith(_LABEL) else path for path in paths)
    faults = [fault for fault in validate(spec) if fault.field.startswith(heads)]
    if faults:
        raise InvalidInput(faults, reason="INVALID_SPEC")
    return replace(spec, forgetting=fill_forgetting(spec.forgetting), checkpoints=fill_checkpoints(spec.checkpoints))


def may_change(path: str) -> bool:
    """Whether a field may change at all."""
    return path in (*AT_ANY_TIME, *UNTIL_SUCCESS) or (len(path) > len(_LABEL) and path.startswith(_LABEL))


def value_at(spec: PipelineSpec, path: str) -> Any:
    """What stands at the path of a field that may change; None for nothing."""
    if path.startswith(_LABEL):
        return spec.labels.get(path.removeprefix(_LABEL))
    part, _, name = path.partition(".")
    return getattr(getattr(spec, part), name) if name else dict(getattr(spec, part))


def _with(spec: PipelineSpec, given: PipelineSpec, path: str) -> PipelineSpec:
    part, _, name = path.partition(".")
    if part == "labels":
        labels = {key: text for key, text in spec.labels.items() if name and key != name}
        wanted = {key: text for key, text in given.labels.items() if not name or key == name}
        return replace(spec, labels={**labels, **wanted})
    changed: Any = replace(getattr(spec, part), **{name: getattr(getattr(given, part), name)})
    return replace(spec, **{part: changed})
