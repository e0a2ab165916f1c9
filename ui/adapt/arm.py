"""One arm: its run through the platform, then what the model that came of it forgot and says."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ui.adapt.rows import Row, recipe_of
from ui.adapt.texts import MEASURED
from ui.client.client import RetainClient
from ui.client.errors import ClientError
from ui.client.views import CheckpointRef, Run
from ui.local.export import cached_model
from ui.sweep.carry_out import Submitter
from ui.sweep.file import Sweep

BEFORE = "before"  # the name of the row of the model as it was imported
CONTEXT = 256  # tokens of a window, as in training
TOKENS = 48  # of a sample, at most
SEED = 0
PROMPTS = (
    "Tom has 3 boxes with 12 pencils each. He gives away 8 pencils. How many pencils does he have left?",
    "Write two sentences about the sea.",
    "What is the capital of France?",
)
_TELLS = ("SUCCEEDED", "SUSPENDED")  # a run that failed or was cancelled says nothing of its arm
Say = Callable[[str], None]


def run_arm(client: RetainClient, sweep: Sweep, name: str, work: Path, say: Say) -> Row:
    """Submits the run of an arm, or finds it, waits until it has settled, and measures what came of it. One that failed
    or was cancelled before is resumed. Raises ClientError where it does so again."""
    alone = sweep.of_arms([name])
    (asked,) = alone.runs()
    recipe = recipe_of(asked)  # before local paths are made absolute
    submitter = Submitter(client=client, sweep=alone, send=not client.address.is_loopback, say=say)
    submitter.look()
    seen: list[Run] = []
    for _, run in submitter.run_all(at_most=1, retry=True):
        say(f"{name}: {run.id} {run.state} {run.status.message}".rstrip())
        seen.append(run)
    run = client.get_run(seen[-1].id)
    if run.state not in _TELLS:
        said = f"{run.id} of the arm {name} is {run.state}: {run.status.message}; the same command resumes it"
        raise ClientError(said, reason="RUN_NOT_DONE")
    return _row(client, run, name, recipe, work, say)


def before(client: RetainClient, ref: CheckpointRef, model: Path, work: Path, say: Say) -> Row:
    """The row of the imported model, and `before.json`, which the arms are compared with."""
    found = _measured(model, work, ["--save", str(work / "before.json")], say)
    return Row(
        arm=BEFORE,
        recipe="",
        state="",
        target_tokens=0,
        seconds=0.0,
        rollbacks=0,
        decisions=(),
        sets=[{"name": one["name"], "perplexity": one["perplexity"]} for one in found["sets"]],
        samples=_samples(client, ref),
    )


def _row(client: RetainClient, run: Run, name: str, recipe: str, work: Path, say: Say) -> Row:
    stage = run.stages[-1]
    decisions = client.decisions(run.id)
    sets: Sequence[Any] = ()
    if stage.accepted is not None:
        folder = cached_model(client, stage.accepted, work / "models", say=say)
        sets = _measured(folder, work, ["--against", str(work / "before.json")], say)["against"]
    return Row(
        arm=name,
        recipe=recipe,
        state=str(run.state),
        target_tokens=stage.tokens,
        seconds=round(stage.wall_seconds, 1),
        rollbacks=sum(one.verdict == "ROLL_BACK" for one in decisions),
        decisions=[f"step {one.step}: {one.verdict}, {one.message}" for one in decisions],
        sets=sets,
        samples=[] if stage.accepted is None else _samples(client, stage.accepted),
    )


def _measured(model: Path, work: Path, options: Sequence[str], say: Say) -> Any:
    """What `python -m model.cli.evaluate` says of a model on the measured sets."""
    say(f"measuring {model} on {', '.join(MEASURED)}")
    files = [str(work / "measured" / f"{name}.jsonl") for name in MEASURED]
    # -P: no folder here shadows the module.
    command = [sys.executable, "-P", "-m", "model.cli.evaluate", str(model), "--data", *files]
    command += ["--context", str(CONTEXT), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ClientError(f"measuring {model} ended with {done.returncode}: {last}", reason="CHECK_FAILED")
    return json.loads(done.stdout)


def _samples(client: RetainClient, ref: CheckpointRef) -> list[dict[str, str]]:
    options = {"max_new_tokens": TOKENS, "temperature": 0.7, "seed": SEED, "chat": True}
    return [{"prompt": one, "text": "".join(client.sample(ref, one, **options)).strip()} for one in PROMPTS]
