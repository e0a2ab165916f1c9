"""Real training under the real gate: a tiny model that counts down learns to count up, and the pure core decides.

What it forgets is measured on rows that count down; snapshots, rollbacks and resumes are those of the training loop. No
server is between the two, so a whole stage with its retries takes seconds.
"""

import copy
import math
from functools import cache
from itertools import count

import pytest
import torch

from model.errors import NonFinite
from model.nn.interpolation import interpolate
from model.nn.llama import Llama
from model.training.job import Directive, Snapshot, StageJob, StepProgress, Verdict
from model.training.loop import train_stage
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.optimizer import OptimizerSettings
from services.orchestrator.domain.due import due
from services.orchestrator.domain.run.commands import Evaluate
from services.orchestrator.domain.run.directives import directive_at
from services.orchestrator.domain.run.state import RunState
from tests.scenarios.scenario_runner import ScenarioRunner, training
from tests.unit.model.training_helpers import CONFIG, ListPorts, SyntheticStream, make_job

STEPS, EVERY = 100, 10  # as in tests/scenarios/scenario_runner.py
ROWS = 128


@pytest.fixture(autouse=True)
def _one_thread():
    """So small a model is slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class DownStream(SyntheticStream):
    """Text of the same kind as what the model knows: it counts down, whatever the mix."""

    def set_shares(self, shares):
        super().set_shares({"general": 1.0})


@cache
def parent() -> Llama:
    """A model that counts down, and nothing else; trained once."""
    job = make_job(total_steps=90, steps_per_boundary=90, stream=DownStream(seed=1), shares={"general": 1.0})
    train_stage(job, ListPorts(last=1))
    return job.model.eval()


@torch.no_grad()
def loss_nats(model: Llama, direction: int, seed: int) -> float:
    """Mean loss on rows that count up (1) or down (-1); NaN for a broken model."""
    begin_R1 = torch.randint(0, CONFIG.vocab_size, (ROWS, 1), generator=torch.Generator().manual_seed(seed))
    tokens_RT = (begin_R1 + direction * torch.arange(CONFIG.context + 1)) % CONFIG.vocab_size
    logits_RTV = model(tokens_RT[:, :-1])
    return torch.nn.functional.cross_entropy(logits_RTV.flatten(0, 1), tokens_RT[:, 1:].flatten()).item()


class GatePorts:
    """Stores snapshots, measures them, and asks the core."""

    def __init__(self, runner: ScenarioRunner) -> None:
        self.runner = runner
        self.kept: dict[int, Snapshot] = {}

    def beat(self) -> None:
        """Nobody waits."""

    def progress(self, progress: StepProgress) -> None:
        """Nobody looks."""

    def interrupted(self) -> bool:
        return False

    def publish(self, snapshot: Snapshot) -> None:
        self.kept[snapshot.boundary] = snapshot

    def directive(self, boundary: int) -> Directive:
        stage = self.runner.state.stages[0]
        if stage.branch.decided_boundary < boundary and stage.attempt.resume_boundary < boundary:
            snapshot = self.kept[boundary]
            self.runner.apply(f"checkpoint {boundary * EVERY} loss={snapshot.loss_nats!r}")
            self.runner.apply(f"score {boundary * EVERY} {self.figures(snapshot.model)}")
            self.look_at_the_line(snapshot.model)
        said = directive_at(self.runner.state.stages[0], boundary, decision_delay=0)
        assert said is not None, "what was measured is decided"
        return Directive(verdict=Verdict(said.verdict), shares=dict(said.mix.shares), lr_scale=said.mix.lr_scale)

    def look_at_the_line(self, result: Llama) -> None:
        """What the evaluator does when the core asks for points: measure them, write the chosen one, measure it."""
        for asked in [action for action in due(self.runner.state) if isinstance(action, Evaluate)]:
            between = interpolate(parent(), result, asked.point)
            self.runner.apply(f"point {asked.point} {self.figures(between)}")
        chosen = self.runner.state.stages[0].known_interpolation.chosen
        if chosen is not None:
            self.runner.apply(f"written {chosen}")
            self.runner.apply(f"score {STEPS} at={chosen} {self.figures(interpolate(parent(), result, chosen))}")

    def figures(self, model: Llama) -> str:
        """Control and report scores of a model, on different rows, and its loss on the target."""
        control, report = (math.expm1(loss_nats(model, -1, seed) - loss_nats(parent(), -1, seed)) for seed in (11, 12))
        return f"general={control!r} report={report!r} target={loss_nats(model, 1, 13)!r}"


def play_out(header: str, *, learning_rate: float, stream: type[SyntheticStream] = SyntheticStream) -> GatePorts:
    """A stage from its start to its end under the gate, attempt after attempt."""
    ports = GatePorts(training(header))
    for number in count():
        state = ports.runner.state
        stage = state.stages[0]
        if state.status is not RunState.RUNNING:
            return ports
        kept = ports.kept.get(stage.attempt.resume_boundary)
        job = StageJob(
            model=copy.deepcopy(kept.model if kept else parent()),
            stream=stream(seed=2),
            schedule=Schedule(kind=ScheduleKind.LINEAR, total_steps=STEPS, warmup=0.05),
            optimizer=OptimizerSettings(learning_rate=learning_rate),
            steps_per_boundary=EVERY,
            shares=stage.branch.mix.shares,
            lr_scale=stage.branch.mix.lr_scale,
            resume=kept.state if kept else None,
            optimizer_state=kept.optimizer if kept else None,
        )
        try:
            train_stage(job, ports)
        except NonFinite:
            ports.runner.apply("fail NON_FINITE_LOSS")
        ports.runner.apply(f"ask 1 again{number}")
    raise AssertionError("unreachable: retries are finite")


PATIENT = "max_retries=6 stop=2 settle=0.3"


@pytest.mark.parametrize(
    ("header", "learning_rate", "ends"),
    [
        ("max_retries=2", 0.5, {RunState.SUSPENDED}),
        (PATIENT, 0.02, {RunState.SUCCEEDED}),
        (PATIENT, 0.5, {RunState.SUCCEEDED, RunState.SUSPENDED}),
        (f"{PATIENT} controller=ANTICIPATE", 0.02, {RunState.SUCCEEDED, RunState.SUSPENDED}),
    ],
)
def test_a_forced_bad_run_comes_out_under_action_or_suspended(
    header: str, learning_rate: float, ends: set[RunState]
) -> None:
    """A rate far too high and no old text: at first it forgets nearly everything, ten times the perplexity and more."""
    ports = play_out(f"share=0 {header}", learning_rate=learning_rate)
    state, stage = ports.runner.state, ports.runner.state.stages[0]
    assert state.status in ends
    assert stage.gate.retries >= 1, "it was bad enough to go back"
    assert stage.branch.mix.shares["general"] >= 0.2
    if state.status is RunState.SUSPENDED:
        assert stage.accepted is None
    else:
        assert len(stage.last.report_scores) == 1
        assert all(score.ratio < 0.10 for score in (*stage.last.scores, *stage.last.report_scores))


def test_a_point_of_the_line_keeps_the_budget_of_a_stage_that_forgot_and_most_of_its_gain() -> None:
    """Nothing acts before the end, where the result has forgotten far too much; a point of the line has not."""
    ports = play_out("share=0.3 settle=0.95 stop=9 points=0.2,0.3,0.4,0.5,0.6 gain=0.3", learning_rate=0.003)
    stage = ports.runner.state.stages[0]
    result, accepted = (c for c in stage.branch.checkpoints if c.ref.step == STEPS)
    assert result.forgetting is not None
    assert result.forgetting >= 0.10
    assert ports.runner.state.status is RunState.SUCCEEDED
    assert accepted.point in (0.2, 0.3, 0.4, 0.5, 0.6)
    assert all(score.ratio < 0.10 for score in (*stage.last.scores, *stage.last.report_scores))
    assert accepted.target_loss_nats is not None
    assert accepted.target_loss_nats <= loss_nats(parent(), 1, 13) - 0.3


def test_text_of_the_same_kind_raises_no_alarm() -> None:
    ports = play_out("share=0", learning_rate=0.01, stream=DownStream)
    assert ports.runner.state.status is RunState.SUCCEEDED
    stage = ports.runner.state.stages[0]
    assert (stage.gate.retries, stage.branch.mix.lr_scale, stage.branch.mix.shares) == (0, 1.0, {"general": 0.0})
    assert stage.last.forgetting is not None
    assert stage.last.forgetting < 0.05
