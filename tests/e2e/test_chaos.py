"""The long storm: faults drawn at random strike a longer run, and it must come to the bits of one left alone.

    RETAIN_CHAOS=1 RETAIN_CHAOS_SEEDS=4711,4712 RETAIN_CHAOS_FAULTS=20 pytest tests/e2e/test_chaos.py -s

Ten seeds by default, each a run of its own on the same stack. The same seed draws the same faults and pauses again
(when they strike depends on the machine).
"""

import os
import random
import shutil
import time
from collections.abc import Callable

import psutil
import pytest

from services.common.store.object_store import key_of
from tests.e2e import faults
from tests.e2e.pipelines import three_stages
from tests.e2e.stack import PATIENCE_S, Stack, newest_checkpoint, until, until_ended
from ui.client.client import RetainClient
from ui.client.views import Run

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(4 * 3600)]

SEEDS = [int(seed) for seed in os.environ.get("RETAIN_CHAOS_SEEDS", "1,2,3,4,5,6,7,8,9,10").split(",")]
FAULTS = int(os.environ.get("RETAIN_CHAOS_FAULTS") or 5)
STRETCH = 1
STORE_AWAY_S = 20.0
LONGEST_PAUSE_S = 10.0
# The orchestrator gives a run up after five groups without a checkpoint: the storm is to be hard, not hopeless.
FAULTS_WITHOUT_CHECKPOINT = 3


class Storm:
    """Draws faults and lets them strike."""

    def __init__(self, stack: Stack, client: RetainClient, run_id: str, dice: random.Random) -> None:
        self.stack, self.client, self.run_id, self.dice = stack, client, run_id, dice
        self.faults: dict[str, Callable[[], object]] = {
            "orchestrator killed": lambda: faults.kill_program(stack, "orchestrator"),
            "evaluator killed": lambda: faults.kill_program(stack, "evaluator"),
            "object store killed": lambda: faults.kill_program(stack, "object_store"),
            "Ray head killed": lambda: faults.kill_program(stack, "ray"),
            "worker killed": lambda: self.strike_first(stack.training_workers, "kill"),
            "driver killed": lambda: self.strike_first(stack.drivers, "kill"),
            "worker stopped": self.stop_worker,
            "orchestrator stopped": lambda: faults.freeze_program(stack, "orchestrator", dice.uniform(1, 20)),
            "evaluator stopped": lambda: faults.freeze_program(stack, "evaluator", dice.uniform(1, 20)),
            "supervisor killed": self.kill_supervisor,
            "worker told to leave": lambda: self.strike_first(stack.training_workers, "terminate"),
            "newest checkpoint damaged": self.damage_newest,
        }

    def strike_first(self, find: Callable[[], list], how: str) -> None:
        """Strike a process that may be there or not: between two groups there is none."""
        for process in find()[:1]:
            getattr(process, how)()

    def stop_worker(self) -> None:
        """A worker that hangs for good: it is replaced, and ended, while it sleeps."""
        workers = self.stack.training_workers()
        self.strike_first(lambda: workers, "suspend")
        submission = self.client.get_run(self.run_id).status.submission
        if workers:
            until(
                self.client,
                self.run_id,
                lambda run: run.status.submission > submission or faults.gone(workers[0]) or run.is_terminal,
                "the hang is noticed",
            )

    def damage_newest(self) -> None:
        """A file of the newest checkpoint is cut in the store, and the worker that has it in its own cache dies."""
        stage = next((stage for stage in self.client_run().stages if stage.state == "RUNNING" and stage.latest), None)
        if stage is None or stage.latest is None:
            return
        store = self.stack.store()
        key = f"{key_of(store, stage.latest.uri)}/trainer_state.json"
        if store.stat(key) is not None:
            store.put_bytes(key, store.get_bytes(key)[:-20])
        copy = self.stack.cache / "content" / "checkpoints" / stage.latest.manifest_sha256
        shutil.rmtree(copy, ignore_errors=True)
        self.strike_first(self.stack.training_workers, "kill")

    def kill_supervisor(self) -> None:
        """The programs outlive their supervisor; another `up` takes them over."""
        supervisor = psutil.Process(int(self.stack.home.read_record()["supervisor"]["pid"]))
        supervisor.kill()
        faults.until_gone(supervisor)
        self.stack.up()

    def blow(self, count: int) -> list[str]:
        """So many faults, and once among them the object store is away for a minute. Returns their names."""
        drawn = [self.dice.choice(sorted(self.faults)) for _ in range(count)]
        drawn.insert(count // 2, "object store away")
        struck: list[str] = []
        without = 0
        for name in drawn:
            before = self.client_run()
            if before.is_terminal:
                break
            print(f"{len(struck) + 1:3} {name}: {newest_checkpoint(before)}", flush=True)
            if name == "object store away":
                faults.freeze_program(self.stack, "object_store", STORE_AWAY_S)
            else:
                self.faults[name]()
            struck.append(name)
            without += 1
            if without == FAULTS_WITHOUT_CHECKPOINT or self.dice.random() < 0.6:
                self.until_checkpoint_after(before)
                without = 0
            time.sleep(self.dice.uniform(0, LONGEST_PAUSE_S))
        return struck

    def client_run(self) -> Run:
        return until(self.client, self.run_id, lambda run: True, "the orchestrator answers")

    def until_checkpoint_after(self, before: Run) -> None:
        until(
            self.client,
            self.run_id,
            lambda run: newest_checkpoint(run) > newest_checkpoint(before) or run.state == "SUCCEEDED",
            "another checkpoint",
            2 * PATIENCE_S,
        )


@pytest.fixture(scope="module")
def alone(client: RetainClient) -> Run:
    """The run that nothing happens to."""
    return until_ended(client, client.create_run(three_stages("alone", stretch=STRETCH)).id, 3600)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_in_a_storm_comes_to_the_same_bits(seed: int, stack: Stack, client: RetainClient, alone: Run) -> None:
    assert alone.state == "SUCCEEDED"
    print(f"\nseed {seed}, {FAULTS} faults", flush=True)
    run_id = client.create_run(three_stages(f"storm-{seed}", stretch=STRETCH)).id
    until(client, run_id, lambda run: newest_checkpoint(run) > (0, 0), "a first checkpoint")
    struck = Storm(stack, client, run_id, random.Random(seed)).blow(FAULTS)
    ended = until_ended(client, run_id, 3600)

    assert "object store away" in struck, "the run was long enough for the storm"
    assert ended.state == "SUCCEEDED", ended.status.message
    assert [stage.accepted and stage.accepted.weights_digest for stage in ended.stages] == [
        stage.accepted and stage.accepted.weights_digest for stage in alone.stages
    ]
    assert verdicts(client, run_id) == verdicts(client, alone.id)


def verdicts(client: RetainClient, run_id: str) -> list[tuple[str, int, str, float | None]]:
    """What the gate decided, in order; one whose checkpoint was made again may be decided twice, alike."""
    found = [(d.stage, d.step, d.verdict, d.forgetting) for d in client.decisions(run_id) if d.actor == "gate"]
    return list(dict.fromkeys(found))
