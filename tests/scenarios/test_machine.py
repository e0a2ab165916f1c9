"""The core under random events, lost replies, damage and death (Hypothesis).

The quick profile runs in `make test`; RETAIN_MACHINE_EXAMPLES=2000 RETAIN_MACHINE_STEPS=150 looks for longer.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from retain.values import ApproveAction
from services.common.errors import RetainError
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.state import RunState, StageRun
from tests.scenarios.simulation import Simulation

QUICK = 25
EXAMPLES = int(os.environ.get("RETAIN_MACHINE_EXAMPLES", str(QUICK)))
STEPS = int(os.environ.get("RETAIN_MACHINE_STEPS", "60"))
SMALL = "steps=16 every=4 chat=1 settle=0 keep=1"
HEADERS = [SMALL, f"{SMALL} lag=1", f"{SMALL} points=0.5", f"{SMALL} controller=ANTICIPATE", f"{SMALL} confirm=1"]


class Machine(RuleBasedStateMachine):
    """One run in a simulation that does its worst."""

    @initialize(header=st.sampled_from(HEADERS), worst=st.sampled_from([0.05, 0.25, 0.6]))
    def begin(self, header: str, worst: float) -> None:
        self.simulation = Simulation(header, worst)

    @rule()
    def admit(self) -> None:
        self.simulation.admit()

    @rule(
        which=st.integers(0, 20),
        lost=st.sampled_from([False, False, False, True]),
        told=st.sampled_from([None] * 6 + ["EVALUATION_FAILED", "STORAGE_FULL"]),
        wild=st.sampled_from([None] * 6 + [0.3, -3.3, -0.9, float("nan")]),
    )
    def carry_out(self, which: int, lost: bool, told: str | None, wild: float | None) -> None:
        effects = self.simulation.outstanding()
        if effects:
            answer = (told, None) if told else None if wild is None else ("", wild)
            self.simulation.carry_out(effects[which % len(effects)], lost=lost, told=answer)

    @rule(which=st.integers(0, 3), lost=st.sampled_from([False, False, False, True]))
    def work(self, which: int, lost: bool) -> None:
        workers = list(self.simulation.workers.values())
        if workers:
            self.simulation.advance(workers[which % len(workers)], lost=lost)

    @rule(rounds=st.integers(1, 4))
    def calm(self, rounds: int) -> None:
        """Some rounds in which all goes well, so that runs get far enough to be disturbed."""
        for _ in range(rounds):
            self.simulation.admit()
            for effect in self.simulation.outstanding():
                if effect in self.simulation.outstanding():
                    self.simulation.carry_out(effect)
            for worker in list(self.simulation.workers.values()):
                self.simulation.advance(worker)

    @rule(which=st.integers(0, 3), steps=st.integers(1, 3))
    def told_to_leave(self, which: int, steps: int) -> None:
        workers = list(self.simulation.workers.values())
        if workers:
            self.simulation.leave(workers[which % len(workers)], steps)

    @rule(which=st.integers(0, 3))
    def dies(self, which: int) -> None:
        workers = list(self.simulation.workers)
        if workers:
            self.simulation.workers.pop(workers[which % len(workers)])

    @rule()
    def noticed(self) -> None:
        self.simulation.gone()

    @rule()
    def hangs(self) -> None:
        simulation = self.simulation
        simulation.apply(
            e.WorkersHung(
                submission=simulation.state.submission, message="still", max_restarts=3, now_s=simulation.now_s
            )
        )

    @rule(which=st.integers(0, 30))
    def breaks(self, which: int) -> None:
        """The files of a checkpoint go bad."""
        files = sorted(self.simulation.contents)
        self.simulation.broken.add(files[which % len(files)])

    @rule()
    def orchestrator_restarts(self) -> None:
        if all(score == score for stage in self.simulation.state.stages for score in _figures(stage)):
            self.simulation.restart()

    @rule()
    def restored(self) -> None:
        self.simulation.broken.clear()

    @rule(which=st.integers(0, 30), verb=st.sampled_from(["void", "cancel", "retry", "accept", "continue"]))
    def person(self, which: int, verb: str) -> None:
        simulation, now_s = self.simulation, self.simulation.now_s
        known = [c.ref for stage in simulation.state.stages for c in stage.branch.checkpoints]
        match verb:
            case "void" if known:
                event: e.Event = e.CheckpointVoided(checkpoint=known[which % len(known)], now_s=now_s)
            case "cancel":
                event = e.Cancelled(now_s=now_s)
            case "retry":
                event = e.Retried(queue_number=simulation.queue.next_number(), now_s=now_s)
            case "accept" | "continue":
                action = ApproveAction(verb.upper())
                event = e.Approved(action=action, queue_number=simulation.queue.next_number(), now_s=now_s)
            case _:
                return
        self._may_be_refused(event)

    @precondition(lambda self: self.simulation.heard)
    @rule(which=st.integers(0, 200))
    def again(self, which: int) -> None:
        """An old event comes once more, as after a restart of whoever sent it."""
        old = self.simulation.heard[which % len(self.simulation.heard)]
        if not isinstance(old, e.Retried | e.Approved | e.Cancelled | e.CheckpointVoided):
            self._may_be_refused(old)

    def _may_be_refused(self, event: e.Event) -> None:
        before = self.simulation.state
        try:
            self.simulation.apply(event)
        except RetainError:
            assert self.simulation.state is before, "what is refused changes nothing"

    @invariant()
    def holds_what_it_owns(self) -> None:
        if hasattr(self, "simulation"):
            simulation = self.simulation
            busy = simulation.state.status is RunState.RUNNING or bool(simulation.state.jobs)
            assert bool(simulation.queue._holds) == busy, "slots are held exactly while workers may live"

    def teardown(self) -> None:
        """Whatever happened: once it is calm the run comes to an end that owns nothing, or waits for a person."""
        if not hasattr(self, "simulation"):
            return
        simulation = self.simulation
        simulation.broken.clear()
        for _ in range(40):
            simulation.settle()
            if simulation.state.status is RunState.SUCCEEDED:
                break
            if simulation.state.status is RunState.SUSPENDED:
                # Scores are made up here; who suspends again and again at the same checkpoint is let through.
                simulation.worst = 0.04
                simulation.answers.clear()
                action = ApproveAction.CONTINUE
                simulation.apply(
                    e.Approved(action=action, queue_number=simulation.queue.next_number(), now_s=simulation.now_s)
                )
            else:
                assert simulation.state.status in (RunState.FAILED, RunState.CANCELLED)
                simulation.answers.clear()
                simulation.apply(e.Retried(queue_number=simulation.queue.next_number(), now_s=simulation.now_s))
        assert simulation.state.status is RunState.SUCCEEDED, f"{simulation.state.reason}: {simulation.state.message}"
        simulation.settle()
        assert not simulation.outstanding(), "an ended run owns nothing"
        assert not simulation.state.jobs
        assert not simulation.queue._holds
        assert not simulation.state.waiting_for
        assert all(stage.accepted for stage in simulation.state.stages)


def test_whatever_happens_nothing_is_lost() -> None:
    profile = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # To make a failing example small takes minutes: only who looks for longer waits for it.
        phases=list(Phase) if EXAMPLES > QUICK else [Phase.explicit, Phase.reuse, Phase.generate],
    )
    run_state_machine_as_test(Machine, settings=profile)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("seed", range(max(3, EXAMPLES // 8)))
def test_the_bits_are_those_of_the_run_that_was_never_disturbed(header: str, seed: int) -> None:
    """Damage, draining machines, crashes and hangs in any order: the same decisions of the gate, the same weights."""
    calm, rough = Simulation(header), Simulation(header)
    calm.settle()
    dice = random.Random(seed)
    for _ in range(150):
        workers = list(rough.workers.values())
        match dice.choice(["go"] * 10 + ["break", "leave", "die", "notice"]):
            case "break":
                trained = sorted(uri for uri in rough.contents if "/runs/" in uri and not _accepted(rough, uri))
                if trained:
                    rough.broken.add(dice.choice(trained))
            case "leave" if workers:
                rough.leave(dice.choice(workers), dice.randint(1, 3))
            case "die" if workers:
                rough.workers.pop(dice.choice(workers).submission)
            case "notice":
                rough.gone()
            case _:
                rough.admit()
                for effect in rough.outstanding():
                    if effect in rough.outstanding():
                        rough.carry_out(effect)
                for worker in list(rough.workers.values()):
                    rough.advance(worker)
    rough.settle()
    assert rough.state.status is calm.state.status
    assert _of_the_gate(rough) == _of_the_gate(calm)
    ends = [
        [stage.accepted.weights_digest if stage.accepted else "" for stage in w.state.stages] for w in (calm, rough)
    ]
    assert ends[0] == ends[1]
    assert [s.gate.retries for s in rough.state.stages] == [s.gate.retries for s in calm.state.stages]


def _figures(stage: StageRun) -> list[float]:
    """Scores that two states are compared by; a NaN is no equal of itself."""
    measured = [c.measurement.scores for c in stage.branch.checkpoints if c.measurement is not None]
    kept = [*stage.last.scores, *stage.last.report_scores, *(score for scores in measured for score in scores)]
    points = [p.forgetting for p in stage.known_interpolation.points if p.forgetting is not None]
    return [*(score.ratio for score in kept), *points]


def _accepted(simulation: Simulation, uri: str) -> bool:
    return any(stage.accepted is not None and stage.accepted.uri == uri for stage in simulation.state.stages)


def _results(simulation: Simulation) -> list[str]:
    return [stage.accepted.weights_digest if stage.accepted else "" for stage in simulation.state.stages]


def _of_the_gate(simulation: Simulation) -> list[tuple]:
    """What the gate decided. The choice on a line is made again when its result was lost before it was written."""
    made = [(d.stage, d.boundary, d.verdict, d.shares, d.lr_scale) for d in simulation.decisions if d.actor == "gate"]
    return [row for row, before in zip(made, [None, *made], strict=False) if row != before]
