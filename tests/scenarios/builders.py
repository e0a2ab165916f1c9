"""What the scenarios are about: a run of one mid-training on an imported model, what preparing makes of it, scores."""

import math

from model.evaluation.paired_interval import paired_interval
from retain.values import (
    BatchSpec,
    CheckpointRef,
    CheckpointSpec,
    Controller,
    Domain,
    DurationSpec,
    EvalSetRef,
    EvaluationSpec,
    ForgettingScore,
    ForgettingSpec,
    GaugeKind,
    GaugeSpec,
    InterpolationSpec,
    IntervalSpec,
    ModelSpec,
    PipelineSpec,
    PointKind,
    PreparedData,
    PreparedFolder,
    PreparedStage,
    ProbeKind,
    ProbeReport,
    ProbeResult,
    ProbeSpec,
    ReplayFor,
    SetResult,
    SetRole,
    SetUse,
    StageData,
    StageKind,
    StageSpec,
    StopOn,
)
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.plan import PlannedStage

STORE = "s3://retain"
BASE = CheckpointRef(uri=f"{STORE}/prepared/base", manifest_sha256="b" * 64, weights_digest="base")
INTEGERS = ("confirm", "max_retries")


def run(header: str = "") -> PipelineRun:
    """A PENDING run; `header` holds settings that differ from the defaults."""
    given = dict(word.split("=") for word in header.split())
    lag, share = int(given.pop("lag", "0")), given.pop("share", "0.1")
    controller = Controller(given.pop("controller", "LADDER"))
    stop_on = StopOn(given.pop("stop_on", "RAW"))
    replay_for = ReplayFor(given.pop("replay_for", "ALL"))
    points = tuple(float(p) for p in given.pop("points", "").split(",") if p)
    point_kinds = tuple(PointKind(kind) for kind in given.pop("kinds", "").split(",") if kind)
    steps, every = int(given.pop("steps", "100")), int(given.pop("every", "10"))
    chat, finetune = bool(int(given.pop("chat", "0"))), bool(int(given.pop("finetune", "0")))
    probe = ProbeSpec(every=int(given.pop("probe_every", "0")))
    gain, kept = float(given.pop("gain", "0")), int(given.pop("keep", "0"))
    kinds = tuple(GaugeKind(kind.upper()) for kind in given.pop("gauges", "").split(",") if kind)
    rules: dict = {k: int(v) if k in INTEGERS else float(v) for k, v in given.items()}
    if "mitigate" in rules:
        rules["mitigate"] = bool(rules["mitigate"])
    stage = StageSpec(
        kind=StageKind.MIDTRAIN,
        domain=Domain.CODE,
        data=StageData(domain="sample://code", general="sample://docs", general_share=float(share)),
        duration=DurationSpec(steps=steps),
        batch=BatchSpec(sequences=4),
    )
    spec = PipelineSpec(
        name="scenario",
        model=ModelSpec(huggingface=f"{STORE}/uploads/base/model", context=64),
        stages=(_chat(steps),) if finetune else (stage, *((_chat(steps),) if chat else ())),
        forgetting=ForgettingSpec(
            gauges=GaugeSpec(off=not kinds, kinds=kinds),
            controller=controller,
            stop_on=stop_on,
            replay_for=replay_for,
            probe=probe,
            interpolation=InterpolationSpec(points=points, kinds=point_kinds, least_gain_nats=gain),
            **rules,
        ),
        evaluation=EvaluationSpec(every=IntervalSpec(steps=every), decision_lag=lag),
        checkpoints=CheckpointSpec(keep_last=kept),
    )
    return new_run("r1", fill(spec), store_uri=STORE, base=None, queue_number=1, now_s=1000.0)


def _chat(steps: int) -> StageSpec:
    """A stage that builds on the first."""
    return StageSpec(
        kind=StageKind.FINETUNE,
        data=StageData(chat="sample://chat", general="sample://docs"),
        duration=DurationSpec(steps=steps),
        batch=BatchSpec(sequences=4),
    )


def prepared(state: PipelineRun) -> PreparedData:
    """What preparing makes for the scenario's stages."""
    stages = tuple(_prepared_stage(stage.plan) for stage in state.stages)
    return PreparedData(tokenizer=_folder("tokenizer"), stages=stages, base=BASE)


def _prepared_stage(plan: PlannedStage) -> PreparedStage:
    names = sorted(plan.sources, key=lambda name: (name != plan.target, name))
    sets = tuple(
        EvalSetRef(
            name=name, uri=f"{STORE}/evalsets/{name}-{use}", digest=f"{name}{use}", use=use,
            role=SetRole.TARGET if name == plan.target else SetRole.RETENTION,
        )
        for name in (*names, *plan.never_replayed)
        for use in SetUse
    )  # fmt: skip
    shards = tuple(_folder(name) for name in names)
    return PreparedStage(index=plan.index, shards=shards, sets=sets)


def _folder(name: str) -> PreparedFolder:
    return PreparedFolder(name=name, uri=f"{STORE}/prepared/{name}", digest=name, tokens=1000, loss_tokens=1000)


def score_of(name: str, ratio: float, use: SetUse, low: float | None, unknown: bool = False) -> ForgettingScore:
    return ForgettingScore(
        retention_set=name, ratio=ratio, nats=0.0, ratio_low=low, ratio_high=None if low is None else 2 * ratio - low,
        baseline_perplexity=10.0, perplexity=10.0 * (1 + ratio), use=use,
        shown_only=unknown,
    )  # fmt: skip


def probe_of(lost: int, items: int) -> ProbeReport:
    """A probe whose start was right in every item of one kind, and whose model lost some."""
    low, high = paired_interval(lost, 0, items)
    row = ProbeResult(
        kind=ProbeKind.FORMAT, items=items, right=items - lost, baseline_right=items, lost=lost, loss=lost / items,
        loss_low=low, loss_high=high,
    )  # fmt: skip
    return ProbeReport(results=(row,), digest="p")


def result_of(name: str, loss: float, role: SetRole, use: SetUse = SetUse.CONTROL) -> SetResult:
    ref = EvalSetRef(name=name, uri="", digest=name, role=role, use=use)
    return SetResult(
        set=ref, nats=loss * 100, tokens=100, bytes=400, loss_nats=loss, perplexity=math.exp(loss) if loss < 50 else
        math.inf, bits_per_byte=loss / 4 / math.log(2), units=60,
    )  # fmt: skip
