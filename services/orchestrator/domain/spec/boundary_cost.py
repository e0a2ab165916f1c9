"""What the boundaries of a stage will cost, said before it begins.

At a boundary a checkpoint goes to the store and every set is measured. With `decision_lag: 0` the workers wait for
both; with 1 they train the next interval meanwhile, and wait only for what takes longer, and at the stage's end.

    training step     6 FLOPs a parameter and token (forward and backward), so with P parameters and T tokens 6 P T
    evaluation        2 P T, a forward pass
    upload            12 bytes a parameter (weights and both moments in float32), over the store's bandwidth
    probe             at most what probe_tokens (probe.py) says, for each model that is asked: what comes out, every
                      time, and the stage's start once

Speeds are those that earlier runs of this installation measured, per parameter, so that they serve models of another
size; where nothing was measured, an assumption stands in for it, and the estimate names it. The share needs no speed of
the device for its evaluation part: there only the proportion of training and evaluation counts.
"""

from dataclasses import dataclass

from retain.values import BoundaryCost, EvaluationSpec, PipelineSpec
from services.orchestrator.domain.spec.model_size import BYTES_PER_PARAMETER
from services.orchestrator.domain.spec.plan import PlannedStage
from services.orchestrator.domain.spec.probe import probe_at, probe_tokens, probes_before_end

WARN_OVER = 0.1
WARN_FROM_S = 30.0  # less than this in a whole stage is nobody's reason to change a spec
TRAINING_FLOPS, EVALUATION_FLOPS = 6, 2  # per parameter and token
CPU_FLOPS_PER_S, GPU_FLOPS_PER_S = 30e9, 50e12  # a core of a usual machine; a training GPU, at a usual utilisation
STORE_BYTES_PER_S = 100e6
TOKENS_PER_SET = 15_000  # where the spec leaves it to preparing
GAUGE_TOKENS = 4_750  # of half of a gauge's texts (model/gauge), for a vocabulary of 4,096; a larger one needs fewer


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What was measured; None: never. Training and evaluation in parameters x tokens a second, so that they serve a
    model of another size; uploads in bytes a second."""

    training: float | None = None
    evaluation: float | None = None
    store: float | None = None


def boundary_cost(spec: PipelineSpec, stage: PlannedStage, parameters: int, speeds: Speeds) -> BoundaryCost | None:
    """The cost of a stage's boundaries; None where the size of the model or the length of the stage is not known yet.
    `spec` is filled."""
    if parameters <= 0 or stage.boundaries <= 0 or stage.tokens <= 0:
        return None
    training, evaluation, store, basis = _speeds(spec, speeds)
    gauges = len(stage.never_replayed)
    sets = len({stage.target, *stage.retention_sets}) - gauges
    per_set = spec.evaluation.tokens_per_set or TOKENS_PER_SET
    tokens = sets * per_set + gauges * GAUGE_TOKENS
    checkpoint_bytes = parameters * BYTES_PER_PARAMETER
    upload_s, evaluation_s = checkpoint_bytes / store, parameters * tokens / evaluation
    training_s = parameters * stage.tokens / training
    interval_s = training_s * stage.steps_per_boundary / stage.steps
    waits_s = upload_s + evaluation_s
    asking_s, early = _probe(spec, stage, parameters / evaluation)

    def between(seconds: float) -> float:
        return seconds if spec.evaluation.decision_lag == 0 else max(0.0, seconds - interval_s)

    # At the stage's end every lag is 0, and the report sets are measured beside the control sets.
    boundary_s = (stage.boundaries - 1 - early) * between(waits_s) + waits_s + evaluation_s
    if early:
        boundary_s += between(waits_s + 2 * asking_s) + (early - 1) * between(waits_s + asking_s) + asking_s
    else:
        boundary_s += 2 * asking_s
    share = boundary_s / (boundary_s + training_s)
    dear = share > WARN_OVER and boundary_s >= WARN_FROM_S
    return BoundaryCost(
        checkpoint_bytes=checkpoint_bytes,
        upload_seconds=upload_s,
        evaluation_tokens=tokens,
        evaluation_seconds=evaluation_s,
        interval_seconds=interval_s,
        boundary_seconds=boundary_s,
        training_seconds=training_s,
        share=share,
        basis=(*basis, _sets(sets, per_set, gauges), *_told(asking_s, early)),
        warning=_warning(spec.evaluation, stage, share, upload_s, evaluation_s, training_s, (early + 2) * asking_s)
        if dear
        else "",
    )


def _probe(spec: PipelineSpec, stage: PlannedStage, token_s: float) -> tuple[float, int]:
    """Seconds of asking one model, of `token_s` a token, and at how many boundaries before the last it is asked."""
    last = probe_at(spec, stage.index, boundary=stage.boundaries, boundaries=stage.boundaries)
    if last is None:
        return 0.0, 0
    return min(last.most_seconds, token_s * probe_tokens(last)), probes_before_end(spec, stage.boundaries)


def _told(asking_s: float, early: int) -> tuple[str, ...]:
    if not asking_s:
        return ()
    return (f"the probe, asked of {early + 2} models, at most {_seconds(asking_s)} each",)


def _sets(sets: int, per_set: int, gauges: int) -> str:
    of_gauges = f" and {gauges} gauges of {GAUGE_TOKENS:,}" if gauges else ""
    return f"{sets} sets of {per_set:,} tokens{of_gauges}; report sets, measured at the end, taken to be as large"


def _speeds(spec: PipelineSpec, speeds: Speeds) -> tuple[float, float, float, tuple[str, ...]]:
    """Training, evaluation, store, and where each figure comes from."""
    basis = []
    training, evaluation = speeds.training, speeds.evaluation
    ratio = TRAINING_FLOPS / EVALUATION_FLOPS
    if training is not None:
        basis.append("training speed measured in earlier runs")
    elif evaluation is not None:
        training = evaluation / ratio
        basis.append(f"training assumed to take {ratio:g} times as long as evaluation, which was measured")
    else:
        gpus = spec.compute.workers * spec.compute.gpus_per_worker
        cores = spec.compute.workers * spec.compute.cpus_per_worker
        flops = gpus * GPU_FLOPS_PER_S if gpus > 0 else cores * CPU_FLOPS_PER_S
        training = flops / TRAINING_FLOPS
        basis.append(f"training speed assumed: {flops / 1e9:,.0f} GFLOP/s ({'GPUs' if gpus > 0 else 'CPU cores'})")
    if evaluation is not None:
        basis.append("evaluation speed measured in earlier runs")
    else:
        evaluation = training * ratio
        basis.append(f"evaluation assumed on the same device as training, {ratio:g} times as fast a token")
    if speeds.store is not None:
        basis.append(f"store measured: {speeds.store / 1e6:,.0f} MB/s")
    else:
        basis.append(f"store assumed: {STORE_BYTES_PER_S / 1e6:,.0f} MB/s")
    return training, evaluation, speeds.store or STORE_BYTES_PER_S, tuple(basis)


def _warning(
    evaluation: EvaluationSpec,
    stage: PlannedStage,
    share: float,
    upload_s: float,
    evaluation_s: float,
    training_s: float,
    probe_s: float,
) -> str:
    """What it costs and what would make it cheaper, each with a figure of its own."""
    # With n boundaries the share is (n (u + e) + e) / (n (u + e) + e + t); a tenth of it leaves n (u + e) + e <= t / 9.
    room_s = training_s * WARN_OVER / (1 - WARN_OVER) - evaluation_s - probe_s
    allowed = int(room_s / (upload_s + evaluation_s)) if room_s > 0 else 0
    advice = []
    if 1 <= allowed < stage.boundaries:
        tokens = -(-stage.steps // allowed) * stage.tokens_per_step
        advice.append(f"a longer interval (evaluation.every: {{tokens: {tokens}}})")
    elif stage.boundaries > 1:
        advice.append(f"a longer interval (evaluation.every: {{tokens: {stage.tokens}}}, the end of the stage alone)")
    if evaluation.decision_lag == 0 and stage.boundaries > 1:
        advice.append("asynchronous evaluation (evaluation.decision_lag: 1)")
    if evaluation_s > upload_s:
        per_set = evaluation.tokens_per_set or TOKENS_PER_SET
        advice.append(f"smaller sets (evaluation.tokens_per_set below {per_set})")
    if probe_s > stage.boundaries * (upload_s + evaluation_s):
        advice.append("a probe with shorter answers or less time (forgetting.probe.answer_tokens, most_seconds)")
    what = f"boundaries will take {share:.0%} of the time of {stage.name}"
    each = f"each waits {_seconds(upload_s)} for the upload and {_seconds(evaluation_s)} for the verdict"
    each += f", the probe takes at most {_seconds(probe_s)} in all" if probe_s else ""
    return f"{what}: {each}; {', or '.join(advice) if advice else 'a longer stage'} costs less"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
