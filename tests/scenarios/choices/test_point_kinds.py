"""Points of several kinds at a stage's end: 0.3 of the line, 0.5 of FAPM, 0.7 of the own path, one measurement each."""

from dataclasses import replace

import pytest

from retain.values import PointKind
from services.orchestrator.adapters.evaluator_messages import order_message, request_message
from services.orchestrator.domain.due import due
from services.orchestrator.domain.policy.interpolation import path_boundary
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from services.orchestrator.domain.step import step
from tests.scenarios.builders import BASE
from tests.scenarios.scenario_runner import ScenarioRunner, training

KINDS = "points=0.3,0.5,0.7 kinds=SEGMENT,FAPM,PATH"


def measured_result(header: str = KINDS) -> ScenarioRunner:
    """A stage whose result has been measured, over its budget."""
    runner = training(header)
    for at in range(10, 100, 10):
        runner.apply(f"checkpoint {at}")
        runner.apply(f"score {at} general=0.04 target=2.5")
    runner.apply("checkpoint 100")
    runner.apply("score 100 general=0.15 report=0.15 target=2.0")
    return runner


def asked(runner: ScenarioRunner) -> dict[float, Evaluate]:
    found = [command for command in due(runner.state) if isinstance(command, Evaluate) and command.of_interpolation]
    return {command.point: command for command in found if command.point is not None}


def test_each_point_costs_one_measurement_and_says_what_it_is_made_of() -> None:
    runner = measured_result()
    own = runner.state.stages[0].branch.at_boundary(7)
    assert own is not None, "the end of the path point is kept, though older ones were pruned"
    points = asked(runner)
    assert sorted(points) == [0.0, 0.3, 0.5, 0.7], "as many as three points of the line and the parent"
    assert [(points[at].kind, request_message("r", points[at]).interpolation) for at in (0.3, 0.5, 0.7)] == [
        (PointKind.SEGMENT, 0.3),
        (PointKind.FAPM, 0.5),
        (PointKind.PATH, 0.5),
    ]
    assert [points[at].parent for at in (0.3, 0.5, 0.7)] == [BASE, BASE, own.ref]


@pytest.mark.parametrize(("best", "kind"), [(0.5, "FAPM"), (0.7, "PATH")])
def test_the_kind_that_was_taken_is_said_written_and_in_the_lineage(best: float, kind: str) -> None:
    runner = measured_result()
    own = runner.state.stages[0].branch.at_boundary(7)
    for at, target in ((0.0, 3.0), (0.3, 2.6), (0.5, 2.5), (0.7, 2.4)):
        said = runner.apply(f"point {at} general={0.03 if at == best else 0.2} target={target}")
    assert said == f"INTERPOLATE; write {kind} {best:g}"
    (order,) = [command for command in due(runner.state) if isinstance(command, WritePoint)]
    assert (order.kind, order_message(order).weight) == (PointKind(kind), 0.5)
    runner.apply(f"written {best:g}")
    written = runner.state.stages[0].branch.checkpoints[-1]
    assert own is not None
    other = own.ref if kind == "PATH" else BASE
    assert (written.point, written.point_kind, written.other_end) == (best, PointKind(kind), other.manifest_sha256)
    said = runner.apply(f"score 100 at={best:g} general=0.03 report=0.03")
    assert said.startswith("ACCEPT")


def test_a_path_point_whose_end_is_set_aside_is_left_out_and_the_stage_ends() -> None:
    runner = measured_result()
    own = runner.state.stages[0].branch.at_boundary(7)
    assert own is not None
    runner.apply("point 0 general=0.0 target=3.0")
    runner.apply("point 0.3 general=0.03 target=2.6")
    runner.apply("point 0.5 general=0.03 target=2.5")
    made = step(runner.state, e.CheckpointVoided(checkpoint=own.ref, now_s=runner.now_s + 1))
    orders = [command for command in due(made.run) if isinstance(command, WritePoint)]
    assert [(order.point, order.kind) for order in orders] == [(0.5, PointKind.FAPM)]


def test_a_chosen_path_point_whose_end_is_set_aside_before_it_is_written_is_chosen_anew() -> None:
    runner = measured_result()
    own = runner.state.stages[0].branch.at_boundary(7)
    assert own is not None
    for at, target in ((0.0, 3.0), (0.3, 2.6), (0.5, 2.5), (0.7, 2.4)):
        runner.apply(f"point {at} general=0.03 target={target}")
    made = step(runner.state, e.CheckpointVoided(checkpoint=own.ref, now_s=runner.now_s + 1))
    runner = replace(runner, state=made.run)
    assert not [command for command in due(runner.state) if isinstance(command, WritePoint)]
    runner.apply("score 100 general=0.15 report=0.15 target=2.0")
    assert sorted(asked(runner)) == [0.0, 0.3, 0.5], "asked again, without the point that cannot be made any more"
    for at, target in ((0.0, 3.0), (0.3, 2.6), (0.5, 2.5)):
        said = runner.apply(f"point {at} general=0.03 target={target}")
    assert said == "INTERPOLATE; write FAPM 0.5"


def test_a_stage_of_one_boundary_has_no_earlier_checkpoint() -> None:
    assert path_boundary(0.7, 1) is None
    assert [path_boundary(point, 10) for point in (0.01, 0.34, 0.7, 0.99)] == [1, 3, 7, 9]
