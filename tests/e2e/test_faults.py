"""One run that everything happens to, beside the same run left alone: it must come to the same bits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import pytest

from tests.e2e import faults
from tests.e2e.pipelines import EVERY_STEPS, three_stages
from tests.e2e.stack import POLL_S, STALL_TIMEOUT_S, Stack, newest_checkpoint, until, until_ended
from ui.client.client import RetainClient
from ui.client.views import Run, Stage

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

UPLOAD_FAILURES = "retain_checkpoint_upload_failures_total"
STORE_AWAY_S = 15.0  # three times as long as the worker waits for an answer; a minute of it is in test_chaos.py


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A fault: the run just before it, and the run once it had got a checkpoint further."""

    before: Run
    after: Run
    recovered_s: float

    @property
    def submissions(self) -> int:
        return self.after.status.submission - self.before.status.submission

    @property
    def attempts(self) -> int:
        return attempts(self.after) - attempts(self.before)


def attempts(run: Run) -> int:
    """Attempts of the stage that was at work or came last, and those before it."""
    return sum(stage.attempt for stage in run.stages) - sum(stage.attempt > 0 for stage in run.stages)


@dataclass
class Disturbed:
    """The run, fault after fault."""

    stack: Stack
    client: RetainClient
    run_id: str
    strikes: dict[str, Strike] = field(default_factory=dict)
    last: tuple[int, int] = (0, EVERY_STEPS)
    # The worker that was stopped for a while.
    noticed_s: float = 0.0
    fenced_prefix: str = ""
    fenced_keys: set[str] = field(default_factory=set)
    sleeper: psutil.Process | None = None
    same_worker: bool = False
    ended: Run | None = None
    failed_uploads: float = 0.0

    def until(self, reached: Callable[[Run], bool], what: str) -> Run:
        return until(self.client, self.run_id, reached, what)

    def strike(self, name: str, act: Callable[[Run], None], phase: str = "") -> None:
        """Strike amid a stage (in a phase), and wait until the run has another checkpoint."""
        before = self.until(
            lambda run: newest_checkpoint(run) >= self.last and in_the_middle(run) and phase in ("", run.status.phase),
            f"time for {name}",
        )
        began = time.monotonic()
        act(before)
        after = self.until(lambda run: newest_checkpoint(run) > newest_checkpoint(before), f"recovery from {name}")
        self.strikes[name] = Strike(before=before, after=after, recovered_s=time.monotonic() - began)
        print(f"{name}: {self.strikes[name].recovered_s:.1f} s", flush=True)
        self.last = newest_checkpoint(after)

    # --- the faults

    def kill_orchestrator(self, before: Run) -> None:
        worker = faults.the_worker(self.stack)
        faults.kill_program(self.stack, "orchestrator")
        self.same_worker = worker.is_running()

    def kill_evaluator(self, before: Run) -> None:
        faults.kill_program(self.stack, "evaluator")

    def kill_worker(self, before: Run) -> None:
        faults.the_worker(self.stack).kill()
        self.until(lambda run: attempts(run) > attempts(before), "another attempt")

    def freeze_store(self, before: Run) -> None:
        """Before an upload: the newest checkpoint is judged, and of the next one no manifest is there."""
        worker, store = faults.the_worker(self.stack), self.stack.program("object_store")
        failures = self.stack.metric(UPLOAD_FAILURES, self.run_id)
        while True:
            with faults.frozen(worker):
                run = self.client.get_run(self.run_id)
                stage = at_work(run)
                judged = {(d.stage, d.attempt, d.step) for d in self.client.decisions(self.run_id)}
                newest = stage.latest.step if stage.latest else 0
                written = self.stack.keys(f"runs/{self.run_id}/{stage.name}/attempt-{stage.attempt}/step-")
                later = [key for key in written if key.endswith("manifest.json") and step_of(key) > newest]
                if (stage.name, stage.attempt, newest) in judged and not later:
                    store.suspend()
                    break
            time.sleep(POLL_S)
        with faults.frozen(store):
            time.sleep(STORE_AWAY_S)
        self.until(lambda run: newest_checkpoint(run) > (stage.index, newest), "the upload that was tried again")
        self.failed_uploads = self.stack.metric(UPLOAD_FAILURES, self.run_id) - failures

    def kill_driver(self, before: Run) -> None:
        faults.the_driver(self.stack).kill()
        self._until_next_group(before)

    def stop_worker(self, before: Run) -> None:
        self.sleeper = faults.the_worker(self.stack)
        began = time.monotonic()
        with faults.frozen(self.sleeper):
            self.fenced_prefix = f"runs/{self.run_id}/{at_work(before).name}/attempt-{at_work(before).attempt}/"
            self.until(lambda run: run.status.submission > before.status.submission, "the hang is noticed")
            self.noticed_s = time.monotonic() - began
            self.fenced_keys = self.stack.keys(self.fenced_prefix)
        self._until_next_group(before)

    def kill_ray_head(self, before: Run) -> None:
        faults.kill_program(self.stack, "ray")
        self._until_next_group(before)

    def _until_next_group(self, before: Run) -> None:
        self.until(
            lambda run: run.status.submission > before.status.submission and attempts(run) > attempts(before),
            "another worker group's attempt",
        )


def step_of(key: str) -> int:
    """The step of a checkpoint's object."""
    return int(key.split("/step-")[1].split("/")[0])


def at_work(run: Run) -> Stage:
    """The stage that is being trained."""
    return next(stage for stage in run.stages if stage.state == "RUNNING")


def in_the_middle(run: Run) -> bool:
    """Whether a stage is at work that has a checkpoint and is not about to end."""
    stage = next((stage for stage in run.stages if stage.state == "RUNNING"), None)
    if stage is None or stage.latest is None:
        return False
    return stage.latest.step <= stage.total_steps - 2 * EVERY_STEPS


@pytest.fixture(scope="module")
def disturbed(client: RetainClient, stack: Stack, undisturbed: Run) -> Disturbed:
    """The spec and seed of `undisturbed`, through every fault."""
    run = Disturbed(stack=stack, client=client, run_id=client.create_run(three_stages("disturbed")).id)
    run.strike("orchestrator killed", run.kill_orchestrator)
    run.strike("evaluator killed", run.kill_evaluator)
    run.strike("worker stopped", run.stop_worker, phase="TRAINING")
    run.strike("worker killed", run.kill_worker)
    run.strike("object store away", run.freeze_store, phase="TRAINING")
    run.strike("Ray driver killed", run.kill_driver)
    run.strike("Ray head killed", run.kill_ray_head)
    run.ended = until_ended(client, run.run_id)
    return run


def test_training_outlives_the_orchestrator_and_no_second_job_is_started(disturbed: Disturbed) -> None:
    strike = disturbed.strikes["orchestrator killed"]
    assert disturbed.same_worker
    assert (strike.submissions, strike.attempts) == (0, 0)


def test_a_killed_evaluator_costs_a_wait(disturbed: Disturbed) -> None:
    strike = disturbed.strikes["evaluator killed"]
    assert (strike.submissions, strike.attempts) == (0, 0)


def test_a_killed_worker_is_replaced_once(disturbed: Disturbed) -> None:
    """By Ray within the job; on a machine so busy that this takes longer than the stall timeout, by another job."""
    strike = disturbed.strikes["worker killed"]
    assert strike.submissions in (0, 1)
    assert strike.attempts == 1


def test_an_object_store_that_is_away_costs_a_wait(disturbed: Disturbed) -> None:
    strike = disturbed.strikes["object store away"]
    assert (strike.submissions, strike.attempts) == (0, 0)
    assert strike.recovered_s >= STORE_AWAY_S, "no checkpoint is registered while the store is away"
    assert disturbed.failed_uploads >= 1, "the uploads that failed and were tried again are counted"


def test_a_killed_driver_is_replaced_by_the_next_job(disturbed: Disturbed) -> None:
    strike = disturbed.strikes["Ray driver killed"]
    assert (strike.submissions, strike.attempts) == (1, 1)


def test_a_worker_that_hangs_is_noticed_replaced_and_writes_nothing_more(disturbed: Disturbed) -> None:
    strike = disturbed.strikes["worker stopped"]
    assert (strike.submissions, strike.attempts) == (1, 1)
    assert STALL_TIMEOUT_S - 5 <= disturbed.noticed_s <= STALL_TIMEOUT_S + 30
    assert disturbed.sleeper is not None
    faults.until_gone(disturbed.sleeper)
    # Old checkpoints may have been pruned since; new objects there must be none.
    assert disturbed.stack.keys(disturbed.fenced_prefix) <= disturbed.fenced_keys


def test_a_killed_ray_head_is_started_again_and_the_run_continues(disturbed: Disturbed) -> None:
    strike = disturbed.strikes["Ray head killed"]
    assert (strike.submissions, strike.attempts) == (1, 1)


def test_the_disturbed_run_comes_to_the_same_weights_bit_for_bit(disturbed: Disturbed, undisturbed: Run) -> None:
    assert disturbed.ended is not None
    assert disturbed.ended.state == "SUCCEEDED"
    assert disturbed.ended.status.submission == 1 + sum(strike.submissions for strike in disturbed.strikes.values())
    assert digests(disturbed.ended) == digests(undisturbed)


def digests(run: Run) -> list[str]:
    """Digest of each stage's accepted weights."""
    return [stage.accepted.weights_digest for stage in run.stages if stage.accepted is not None]


def test_its_losses_and_decisions_are_those_of_the_other_run(
    client: RetainClient, disturbed: Disturbed, undisturbed: Run
) -> None:
    def course(run_id: str) -> list[tuple[object, ...]]:
        return [
            (record.stage, record.step, record.train_loss_nats, [result.nats for result in record.results])
            for record in client.history(run_id)
        ]

    def decided(run_id: str) -> list[tuple[object, ...]]:
        return [(d.stage, d.boundary, d.step, d.verdict, d.forgetting) for d in client.decisions(run_id)]

    assert course(disturbed.run_id) == course(undisturbed.id)
    assert decided(disturbed.run_id) == decided(undisturbed.id)
