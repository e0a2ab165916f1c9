"""Requests and measurements for tests of the evaluator."""

import hashlib

from retain.values import Baseline, CheckpointRef, EvalSetRef, EvaluationRequest, SetRole, SetUse
from services.evaluator.domain.result import Measurement


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def checkpoint(name: str) -> CheckpointRef:
    return CheckpointRef(uri=f"s3://retain/{name}", manifest_sha256=digest("m" + name), weights_digest=digest(name))


def set_ref(name: str, role: SetRole = SetRole.RETENTION, use: SetUse = SetUse.CONTROL) -> EvalSetRef:
    return EvalSetRef(
        name=name,
        uri=f"s3://retain/evalsets/{name}-{use.lower()}",
        digest=digest(name + use.lower()),
        role=role,
        use=use,
    )


def request(
    model: str = "now",
    *,
    sets: tuple[EvalSetRef, ...] = (set_ref("general"),),
    baseline: str | None = "base",
    run: str = "r1",
    stage: str = "midtrain/code",
    export: bool = True,
    weight: float | None = None,
    base: str | None = None,
    step: int = 0,
    attempt: int = 0,
) -> EvaluationRequest:
    retained = [ref.name for ref in sets if ref.role is SetRole.RETENTION and ref.use is SetUse.CONTROL]
    baselines = tuple(Baseline(set_name=name, checkpoint=checkpoint(baseline)) for name in retained) if baseline else ()
    return EvaluationRequest(
        checkpoint=checkpoint(model),
        interpolation=weight,
        parent=None if weight is None else checkpoint("base"),
        sets=sets,
        baselines=baselines,
        run_id=run,
        stage=stage,
        export_metrics=export,
        base=checkpoint(base) if base else None,
        step=step,
        attempt=attempt,
    )


def measurement(loss_nats: float, *, units: int = 60, tokens: int = 100) -> Measurement:
    """Units of equal length and loss."""
    return Measurement(
        nats=loss_nats * tokens * units,
        tokens=tokens * units,
        bytes=4 * tokens * units,
        unit_nats=(loss_nats * tokens,) * units,
        unit_tokens=(tokens,) * units,
        unit_bytes=(4 * tokens,) * units,
    )
