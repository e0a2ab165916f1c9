"""An arm of the experiments, repeated through the platform's API, ends with the same weights bit for bit.

The run goes the whole way: upload, preparing, a Ray job, checkpoints in the store. The arm reads the token shards that
the run prepared and trains in this process. So what the experiments say of an arm holds for a run.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpointing.hf import weights_digest
from model.data.eval_set import EvalSet
from model.data.shards import TokenShard
from model.experiments.arms import Arm
from model.experiments.corpora import BASE_MODEL, READERS, Corpus, load_tokenizer
from model.experiments.stage_run import Bench, run_arm
from services.common.store.object_store import get_folder
from services.worker.attempt.convert import stream_seed
from tests.e2e.stack import Stack, until_ended
from ui.client.client import RetainClient
from ui.client.spec import to_message

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

STEPS, ROWS, CONTEXT, RATE, SHARE = 12, 16, 64, 1e-3, 0.25
FILES = {"gsm8k": "math/gsm8k.train.jsonl", "general": "general/tinystories.train.jsonl"}
LINES = 300


@dataclass(frozen=True, kw_only=True)
class PlatformBench(Bench):
    """Reads the shards of a run from its store in place of making them."""

    shards: dict[str, Path]

    def corpus(self, name: str, arm: Arm) -> Corpus:
        held = READERS[name](self.shared).held[:5]
        measured = EvalSet.build(name, held, load_tokenizer(self.shared), arm.context)
        return Corpus(name=name, shard=TokenShard.open(self.shards[name]), control=measured, report=measured)


def spec(shared_data: Path, folder: Path) -> dict[str, Any]:
    """A mid-training of the pre-trained model on arithmetic problems, measured only."""
    sources = {}
    for name, path in FILES.items():
        target = folder / f"{name}.jsonl"
        with (shared_data / path).open(encoding="utf-8") as file:
            target.write_text("".join(itertools.islice(file, LINES)), encoding="utf-8")
        sources[name] = str(target)
    return {
        "name": "arm",
        "seed": 3,
        "model": {"huggingface": str(shared_data / BASE_MODEL), "context": CONTEXT},
        "stages": [
            {
                "kind": "MIDTRAIN",
                "domain": "MATH",
                "data": {"domain": sources["gsm8k"], "general": sources["general"], "general_share": SHARE},
                "duration": {"steps": STEPS},
                "batch": {"sequences": ROWS},
                "learning_rate": RATE,
            }
        ],
        "forgetting": {"mitigate": False},
        "evaluation": {"every": {"steps": STEPS}, "tokens_per_set": 2000},
    }


def prepared_shards(stack: Stack, folder: Path) -> dict[str, Path]:
    """The shards that the run prepared, by the corpus whose file they were made from."""
    store, found = stack.store(), {}
    for key in sorted(stack.keys("prepared/")):
        if not key.endswith("/meta.json"):
            continue
        shard = folder / key.split("/")[1]
        shard.mkdir(parents=True)
        get_folder(store, key.removesuffix("/meta.json"), shard)
        source = TokenShard.open(shard, verify=True).meta.source
        found |= {name: shard for name in FILES if f"{name}.jsonl" in source}
    return found


def test_an_arm_through_the_api_has_the_same_weights(
    stack: Stack, client: RetainClient, shared_data: Path, tmp_path: Path
) -> None:
    asked = spec(shared_data, tmp_path)
    run = until_ended(client, client.create_run(asked).id)
    assert run.state == "SUCCEEDED", run.status.message
    (stage,) = run.stages
    assert stage.accepted is not None

    message, _ = to_message(asked)
    arm = Arm(
        domain="gsm8k", seed=stream_seed(message, 0), general_share=SHARE, learning_rate=RATE,
        steps=STEPS, rows=ROWS, context=CONTEXT, measure_line=False,
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bench = PlatformBench(
            shared=shared_data, root=tmp_path / "arms", shards=prepared_shards(stack, tmp_path / "shards")
        )
        row = run_arm(arm, bench)
    finally:
        torch.set_num_threads(threads)
    assert row["tokens"] == stage.tokens == STEPS * ROWS * CONTEXT
    assert weights_digest(bench.models / arm.digest) == stage.accepted.weights_digest
