"""Killed inside fine-tuning, and inside every curriculum, and resumed from files: the same bits as left alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained
from model.data.shards import TokenShard
from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.nn.llama import Llama
from model.nn.lora import add_lora, load_lora_state
from model.training.job import Directive, StageJob, Verdict
from model.training.loop import ADAPTER, train_stage
from tests.unit.model.data_helpers import make_shard
from tests.unit.model.training_helpers import (
    CONFIG,
    ListPorts,
    fresh_model,
    make_job,
    weights_sha256,
    write_snapshot,
)

Shards = dict[str, TokenShard]
ADJUST = {1: Directive(verdict=Verdict.ADJUST, shares={"general": 0.5}, lr_scale=0.5)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("shards")
    rng = torch.Generator().manual_seed(0)
    documents = [torch.randint(0, CONFIG.vocab_size, (6 + n % 9,), generator=rng).tolist() for n in range(60)]
    difficulties = [1.0 + 4.0 * (n * 37 % 60) / 59 for n in range(60)]
    masks = [[0] * 3 + [1] * (len(document) - 3) for document in documents]
    return {
        "chat": make_shard(folder / "chat", documents, masks=masks),
        "math": make_shard(folder / "math", documents, difficulties=difficulties),
        "general": make_shard(folder / "general", documents[::-1]),
    }


def job_of(shards: Shards, target: str, strategy: Strategy, folder: Path | None = None, rank: int = 0) -> StageJob:
    """A stage over real shards, from the start or from a checkpoint folder."""
    stream = BatchStream(
        {name: shards[name] for name in (target, "general")},
        target=target,
        shares={"general": 0.2},
        seed=3,
        context=CONFIG.context,
        rows=4,
        curriculum=CurriculumSpec(strategy=strategy),
    )
    given: dict[str, Any] = {"stream": stream, "shares": {"general": 0.2}, "model": fresh_model()}
    moments = checkpoint.load_optimizer(folder) if folder is not None else {}
    adapters = {name.removeprefix(ADAPTER): moments.pop(name) for name in list(moments) if name.startswith(ADAPTER)}
    if folder is not None:
        state = checkpoint.load_state(folder)
        given |= {"resume": state, "shares": state.shares, "lr_scale": state.lr_scale, "optimizer_state": moments}
        if not rank:
            given["model"] = load_pretrained(folder / "model")
    if rank:
        add_lora(given["model"], rank=rank, seed=1)
        if adapters:
            load_lora_state(given["model"], adapters)
    return make_job(total_steps=9, steps_per_boundary=3, **given)


def ended(job: StageJob, folder: Path, **ports: Any) -> tuple[ListPorts, str]:
    """The ports and the SHA-256 of the last snapshot's model.safetensors."""
    given = ListPorts(last=3, directives=ADJUST, **ports)
    train_stage(job, given)
    last: Llama = given.snapshots[3].model
    return given, weights_sha256(last, folder)


@pytest.mark.parametrize(
    ("target", "strategy", "rank"),
    [
        ("chat", Strategy.RANDOM, 0),
        ("chat", Strategy.RANDOM, 4),
        ("math", Strategy.STAGED, 0),
        ("math", Strategy.COMPETENCE, 0),
        ("math", Strategy.SELF_PACED, 0),
    ],
    ids=["fine-tuning", "fine-tuning with LoRA", "staged", "competence", "self-paced"],
)
def test_killed_and_resumed_it_ends_with_the_same_bits(
    shards: Shards, target: str, strategy: Strategy, rank: int, tmp_path: Path
) -> None:
    left_alone, bits = ended(job_of(shards, target, strategy, rank=rank), tmp_path / "a")
    for killed_at in (5, 8):
        dying = ListPorts(last=3, directives=ADJUST, kill_at_step=killed_at)
        with pytest.raises(KeyboardInterrupt):
            train_stage(job_of(shards, target, strategy, rank=rank), dying)
        folder = write_snapshot(dying.snapshots[max(dying.snapshots)], tmp_path / f"checkpoint-{killed_at}")
        torch.manual_seed(99)
        again, same = ended(job_of(shards, target, strategy, folder, rank), tmp_path / f"b-{killed_at}")
        assert same == bits
        assert again.losses == left_alone.losses[-len(again.losses) :]


# Losses of nine steps of each, in nats: the mean over the assistant's tokens, and the order of a curriculum, are in
# them. The tolerance is that of the other golden losses.
GOLDEN: dict[tuple[str, Strategy], list[float]] = {
    ("chat", Strategy.RANDOM): [4.1061, 4.1146, 4.1368, 4.0926, 4.0649, 4.1072, 4.0874, 4.1116, 4.0693],
    ("math", Strategy.STAGED): [4.0996, 4.1025, 4.1175, 4.0716, 4.1358, 4.1398, 4.1038, 4.1087, 4.1145],
    ("math", Strategy.COMPETENCE): [4.1093, 4.0969, 4.0625, 4.0931, 4.0509, 4.1041, 4.1169, 4.1319, 4.1326],
    ("math", Strategy.SELF_PACED): [4.1028, 4.0869, 4.1182, 4.1272, 4.1226, 4.0956, 4.0943, 4.1447, 4.1216],
}


@pytest.mark.parametrize(("target", "strategy"), list(GOLDEN))
def test_golden_losses(shards: Shards, target: str, strategy: Strategy) -> None:
    ports = ListPorts(last=3, directives=ADJUST)
    train_stage(job_of(shards, target, strategy), ports)
    assert ports.losses == pytest.approx(GOLDEN[target, strategy], abs=2e-3)
