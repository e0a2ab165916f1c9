"""Runs for the fake platform, told step by step: pre-training, a mid-training that forgets and is mended, fine-tuning.

The numbers are made up for the looks of a screen and for tests of arithmetic done on them; nothing here was trained.
"""

import math
import time

from retain.evaluator.v1 import resources_pb2 as evaluator_resources
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2, values_pb2
from tests.fakes.orchestrator_service import FakePlatform

BASELINE_PPL = 50.0
# (general perplexity in percent over the baseline, target perplexity) at each boundary of the mid-training
MIDTRAIN = ((3.0, 90.0), (12.0, 70.0), (23.0, 60.0), (8.0, 66.0), (6.0, 62.0), (4.0, 60.0))
STEPS_PER_BOUNDARY = 20


def spec() -> spec_pb2.PipelineSpec:
    """The spec with its thresholds filled in, as the server returns it."""
    made = spec_pb2.PipelineSpec(name="code-model")
    made.model.preset = "nano"
    for kind, domain in ((1, 0), (2, 1), (3, 0)):
        made.stages.add(kind=kind, domain=domain).duration.tokens = 120 * 4096
    made.stages[2].data.chat = "sample://exchanges?domain=math&documents=1000"
    made.forgetting.minor, made.forgetting.action, made.forgetting.stop, made.forgetting.budget = 0.05, 0.10, 0.20, 0.10
    return made


def new_run(platform: FakePlatform, run_id: str) -> res.PipelineRun:
    """A pending run with three locked stages."""
    run = res.PipelineRun(id=run_id, spec=spec())
    run.create_time.GetCurrentTime()
    run.status.state = res.RUN_STATE_PENDING
    for index, (name, kind, domain) in enumerate((("pretrain", 1, 0), ("midtrain/code", 2, 1), ("finetune", 3, 0))):
        stage = run.status.stages.add(
            index=index, name=name, kind=kind, domain=domain, total_steps=120, total_tokens=120 * 4096, lr_scale=1.0
        )
        stage.state = res.STAGE_STATE_READY if index == 0 else res.STAGE_STATE_LOCKED
        stage.unlocked_by = "" if index == 0 else f"an accepted checkpoint of {run.status.stages[index - 1].name}"
    platform.put(run)
    return run


def tell(platform: FakePlatform, run_id: str, *, pace_s: float = 0.0, until: str = "") -> res.PipelineRun:
    """Goes through the whole run; `until` names a stage before which it stops."""
    run = new_run(platform, run_id)
    run.status.state, run.status.phase = res.RUN_STATE_RUNNING, res.STAGE_PHASE_PREPARING
    for progress in (0.3, 0.7, 1.0):
        run.status.prepare_progress = progress
        platform.put(run)
        time.sleep(pace_s)
    for index, stage in enumerate(run.status.stages):
        if stage.name == until:
            return run
        _stage(platform, run, index, pace_s)
    run.status.state = res.RUN_STATE_SUCCEEDED
    run.end_time.GetCurrentTime()
    platform.put(run)
    return run


def finished(platform: FakePlatform, run_id: str) -> res.PipelineRun:
    """A run that has SUCCEEDED."""
    return tell(platform, run_id)


def suspended(platform: FakePlatform, run_id: str) -> res.PipelineRun:
    """A run that waits for a person in its mid-training."""
    run = tell(platform, run_id, until="midtrain/code")
    stage = run.status.stages[1]
    run.status.state, stage.state = res.RUN_STATE_SUSPENDED, res.STAGE_STATE_SUSPENDED
    run.status.reason, run.status.message = "RETRIES_USED_UP", "midtrain/code forgot 24.0 % of general after 2 retries"
    stage.attempt, stage.retries, stage.step, stage.forgetting, stage.worst_set = 3, 2, 60, 0.24, "general"
    platform.put(run)
    return run


def _stage(platform: FakePlatform, run: res.PipelineRun, index: int, pace_s: float) -> None:
    stage = run.status.stages[index]
    stage.state, stage.attempt = res.STAGE_STATE_RUNNING, 1
    run.status.phase = res.STAGE_PHASE_TRAINING
    if index:
        stage.shares["general"] = 0.02
    for boundary in range(1, 7):
        for step in range((boundary - 1) * STEPS_PER_BOUNDARY + 5, boundary * STEPS_PER_BOUNDARY + 1, 5):
            stage.step, stage.tokens, stage.tokens_per_second = step, step * 4096, 3000.0 + 10 * step
            stage.train_loss_nats = 8.3 - 3.5 * (1 - math.exp(-(step + 60 * index) / 60))
            platform.put(run)
            time.sleep(pace_s)
        _boundary(platform, run, stage, index, boundary)
    stage.state = res.STAGE_STATE_COMPLETE
    stage.accepted.CopyFrom(stage.latest)
    stage.wall_seconds = 61.0
    platform.checkpoints[0].state = res.CHECKPOINT_STATE_ACCEPTED
    if index + 1 < len(run.status.stages):
        following = run.status.stages[index + 1]
        following.state, following.unlocked_by = res.STAGE_STATE_READY, ""
    platform.put(run)


def _boundary(platform: FakePlatform, run: res.PipelineRun, stage: res.StageStatus, index: int, boundary: int) -> None:
    digest = f"{abs(hash((run.id, stage.name, boundary))):064x}"[-64:]
    uri = f"s3://retain/runs/{run.id}/{stage.name}/attempt-{stage.attempt}/step-{stage.step:09d}"
    reference = values_pb2.CheckpointRef(uri=uri, manifest_sha256=digest, step=stage.step, tokens=stage.tokens)
    stage.latest.CopyFrom(reference)
    stage.checkpoints = boundary
    percent, target = {
        0: (None, BASELINE_PPL + 200 / boundary),
        1: MIDTRAIN[boundary - 1],
        2: (4.0 + boundary / 3, 30.0 - boundary),
    }[index]
    record = evaluator_resources.ForgettingRecord(
        run_id=run.id, stage=stage.name, attempt=stage.attempt, step=stage.step, tokens=stage.tokens
    )
    record.time.GetCurrentTime()
    name = {0: "general", 1: "code", 2: "chat"}[index]
    record.results.append(_result(name, target if boundary < 6 or index else BASELINE_PPL, values_pb2.SET_ROLE_TARGET))
    decision = res.Decision(
        run_id=run.id,
        stage=stage.name,
        attempt=stage.attempt,
        boundary=boundary,
        step=stage.step,
        lr_scale=stage.lr_scale,
    )
    decision.number = len(platform.decisions.get(run.id, [])) + 1
    decision.time.GetCurrentTime()
    decision.actor = "gate"
    decision.verdict = res.VERDICT_ACCEPT if boundary == 6 else res.VERDICT_CONTINUE
    decision.message = "the stage is done" if boundary == 6 else "continue"
    if percent is not None:
        ratio = percent / 100
        record.results.append(_result("general", BASELINE_PPL * (1 + ratio), values_pb2.SET_ROLE_RETENTION))
        score = record.scores.add(
            retention_set="general",
            ratio=ratio,
            nats=math.log1p(ratio),
            ratio_low=ratio - 0.009,
            ratio_high=ratio + 0.009,
        )
        score.baseline_perplexity, score.perplexity, score.use = (
            BASELINE_PPL,
            BASELINE_PPL * (1 + ratio),
            values_pb2.SET_USE_CONTROL,
        )
        stage.forgetting, stage.worst_set = ratio, "general"
        decision.forgetting, decision.worst_set, decision.threshold = ratio, "general", 0.10
        decision.severity = 4 if ratio >= 0.2 else 3 if ratio >= 0.1 else 2 if ratio >= 0.05 else 1
        _act(decision, stage)
    decision.shares.update(stage.shares)
    platform.decisions.setdefault(run.id, []).append(decision)
    platform.records.setdefault(run.id, []).append(record)
    row = res.Checkpoint(
        id=uri.removeprefix("s3://retain/runs/"),
        ref=reference,
        run_id=run.id,
        stage=stage.name,
        attempt=decision.attempt,
    )
    row.state, row.kind, row.domain, row.bytes = res.CHECKPOINT_STATE_LIVE, stage.kind, stage.domain, 4_200_000
    row.create_time.GetCurrentTime()
    platform.checkpoints.insert(0, row)


def _act(decision: res.Decision, stage: res.StageStatus) -> None:
    if decision.severity == res.SEVERITY_ACTION:
        stage.shares["general"] = 0.20
        decision.verdict, decision.message = (
            res.VERDICT_ADJUST,
            "12.0 % is at or over 10 %: replay of general 2 % -> 20 %",
        )
        decision.recommendations.extend(
            ["Moderate forgetting", "INCREASE general data", "LOWER the learning rate by half"]
        )
    elif decision.severity == res.SEVERITY_STOP:
        decision.verdict, decision.message = res.VERDICT_ROLL_BACK, "23.0 % is at or over 20 %: back to step 40"
        decision.target.step = 40
        stage.attempt, stage.retries, stage.step = stage.attempt + 1, stage.retries + 1, 40
        stage.shares["general"] = 0.30
        decision.recommendations.append("STOP: restore the last good checkpoint")


def _result(name: str, perplexity: float, role: int) -> values_pb2.SetResult:
    loss = math.log(perplexity)
    result = values_pb2.SetResult(
        nats=loss * 15000, tokens=15000, bytes=52000, loss_nats=loss, perplexity=perplexity, units=120
    )
    result.set.name, result.set.role, result.set.use = name, role, values_pb2.SET_USE_CONTROL
    return result
