"""Four families through the whole platform: uploaded and imported as a user does it, trained on Ray with the gate at
work, a worker killed, adapters, a point of the line taken, sampled by the evaluator, exported, opened by transformers.

`make test-families` runs it (RETAIN_FAMILIES=1): it takes minutes. tests/integration/families has every family."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from transformers import AutoTokenizer

from model.tokenization.tokenizer import Tokenizer
from tests.e2e.stack import Stack, newest_checkpoint, until, until_ended, wait_until
from tests.integration.families.models import difference, write_family
from ui.client.client import RetainClient
from ui.client.views import Run
from ui.local.export import write_export
from ui.local.hf_folder import upload_names
from ui.local.transfer import upload_files

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]
EVERY_STEPS, SAME_LOGITS = 10, 1e-5
TEXT = "def f(x):\n\treturn x ** 2  # naïve — 数学 12345.67e-8\n\n   end"


def spec_on(checkpoint: str, name: str) -> dict[str, Any]:
    """General text first, then mathematics at a rate far too high and without replay, then adapters."""
    data = {"domain": "sample://math", "general": "sample://docs", "max_tokens": 60_000}
    last = {
        "kind": "MIDTRAIN",
        "domain": "MATH",
        "data": {**data, "general_share": 0.3},
        "duration": {"steps": 2 * EVERY_STEPS},
        "learning_rate": 3e-3,
        "lora": {"rank": 4, "alpha": 8},
    }
    return {
        "name": name,
        "seed": 7,
        "model": {"checkpoint": checkpoint, "context": 64},
        "evaluation": {"every": {"steps": EVERY_STEPS}, "tokens_per_set": 2000, "decision_lag": 0},
        "forgetting": {
            "minor": 0.05, "action": 0.10, "stop": 0.30, "budget": 0.10, "settle": 0.0, "max_retries": 6,
            "controller": "LADDER", "stop_on": "RAW", "interpolation": {"points": [0.25, 0.5, 0.75]},
        },
        "stages": [
            {
                "kind": "PRETRAIN",
                "data": {"general": "sample://docs", "max_tokens": 60_000},
                "duration": {"steps": 6 * EVERY_STEPS},
                "learning_rate": 3e-3,
                "batch": {"sequences": 32},
            },
            {
                "kind": "MIDTRAIN",
                "domain": "CODE",
                "data": {**data, "domain": "sample://code", "general_share": 0.0},
                "duration": {"steps": 4 * EVERY_STEPS},
                "learning_rate": 2e-2,
                "batch": {"sequences": 32},
            },
            last,
        ],
    }  # fmt: skip


def kill_a_worker(stack: Stack) -> None:
    """SIGKILL to the process that trains."""
    wait_until(stack.training_workers, "somebody trains")
    workers = stack.training_workers()
    try:
        os.kill(workers[0].pid, signal.SIGKILL)
    except (ProcessLookupError, psutil.NoSuchProcess):
        pytest.fail("the worker ended by itself before it was killed")


@pytest.mark.parametrize("name", ["qwen3", "gemma3_text", "mixtral", "gpt2"])
def test_a_family_goes_through_the_whole_platform(
    name: str, stack: Stack, client: RetainClient, shared_data: Path, tmp_path: Path
) -> None:
    folder = write_family(name, tmp_path / "model", tokenizer=shared_data / "models" / "stories260K-hf")
    imported = client.import_checkpoint(upload_files(client, upload_names(folder)), name=f"tiny {name}")
    run = client.create_run(spec_on(imported.ref.uri, name.replace("_", "-")))
    until(client, run.id, lambda run: newest_checkpoint(run) >= (0, EVERY_STEPS), "a first checkpoint")
    kill_a_worker(stack)
    run = until_ended(client, run.id)
    told = {decision.verdict.name for decision in client.decisions(run.id)}
    print(name, sorted(told), [(stage.name, stage.retries, stage.forgetting) for stage in run.stages])
    assert run.state == "SUCCEEDED", run.status
    _the_gate_was_at_work(run, told)
    _what_it_made_opens(client, run, tmp_path / "export")


def _the_gate_was_at_work(run: Run, told: set[str]) -> None:
    """It went back, or took a point of the line; and what was accepted at the end is within the budget."""
    assert told & {"ROLL_BACK", "INTERPOLATE"}
    last = run.stages[-1]
    assert last.forgetting is not None
    assert last.forgetting < 0.30


def _what_it_made_opens(client: RetainClient, run: Run, folder: Path) -> None:
    for stage in run.stages:
        assert stage.accepted is not None
        _, target = write_export(client, stage.accepted.uri, folder / str(stage.index))
        assert difference(target) <= SAME_LOGITS
        theirs = AutoTokenizer.from_pretrained(target, local_files_only=True)
        assert theirs(TEXT).input_ids == Tokenizer.load(target).encode(TEXT)
    accepted = run.stages[-1].accepted
    assert accepted is not None
    said = ["".join(client.sample(accepted, "The", max_new_tokens=8, temperature=0.0)) for _ in range(2)]
    assert said[0]
    assert said[0] == said[1]
