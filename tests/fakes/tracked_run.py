"""A run of two stages, with a rollback in the first, as a tracker is to show it; for tests of `retain track`."""

import math

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform

RUN = "r-tracked"


def put_run(platform: FakePlatform, *, ended: bool = False) -> None:
    """The run with its first series; `ended` has the second stage too."""
    run = res.PipelineRun(id=RUN, project="default")
    run.spec.name, run.spec.labels["team"] = "tracked", "lm"
    run.spec.stages.add(learning_rate=0.001)
    run.status.state = res.RUN_STATE_SUCCEEDED if ended else res.RUN_STATE_RUNNING
    first = run.status.stages.add(name="midtrain/code", total_steps=20)
    run.status.stages.add(name="finetune", index=1, total_steps=10)
    first.accepted.uri = "s3://retain/runs/r/step-20"
    platform.put(run)
    of_first = {"stage": "midtrain/code", "stage_index": 0, "steps": [10, 20], "tokens": [1, 2]}
    # Step 10 again in attempt 2: the first one was given up, and the server leaves it out.
    loss = res.MetricSeries(
        name="train_loss_nats", unix_seconds=[100.0, 130.0], attempts=[1, 1], values=[3.0, 2.5], **of_first
    )
    ppl = res.MetricSeries(
        name="perplexity", set="general", unix_seconds=[101.0, 131.0], attempts=[1, 1], values=[math.e, math.e**2],
        **of_first,
    )  # fmt: skip
    again = res.MetricSeries(
        name="train_loss_nats", unix_seconds=[120.0, 130.0], attempts=[2, 2], values=[2.9, 2.5], **of_first
    )
    later = res.MetricSeries(
        name="train_loss_nats", stage="finetune", stage_index=1, steps=[5], tokens=[1], unix_seconds=[200.0],
        attempts=[1], values=[1.5],
    )  # fmt: skip
    platform.series[RUN] = [again, ppl, later] if ended else [loss, ppl]
    platform.decisions[RUN] = [
        res.Decision(
            run_id=RUN, number=1, stage="midtrain/code", step=10, verdict=res.VERDICT_ROLL_BACK, message="general +30%"
        )
    ]


# What a tracker has to hold at the end: (key, step, milliseconds) -> value. Steps of the second stage begin at 20.
AT_THE_END = {
    ("train/loss", 10, 100_000): 3.0,
    ("train/loss", 10, 120_000): 2.9,
    ("train/loss", 20, 130_000): 2.5,
    ("train/loss", 25, 200_000): 1.5,
    ("eval/general/perplexity", 10, 101_000): math.e,
    ("eval/general/perplexity", 20, 131_000): math.e**2,
    ("eval/general/loss", 10, 101_000): 1.0,
    ("eval/general/loss", 20, 131_000): 2.0,
    ("train/attempt", 10, 100_000): 1.0,
    ("train/attempt", 10, 120_000): 2.0,
    ("train/attempt", 20, 130_000): 1.0,
    ("train/attempt", 25, 200_000): 1.0,
}
