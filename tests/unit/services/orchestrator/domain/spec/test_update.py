"""What may change of a run's spec, until when, and what is said about the rest."""

from dataclasses import replace

import pytest

from retain.values import CheckpointSpec, ForgettingSpec, PipelineSpec, RunState
from services.common.errors import InvalidInput, InvalidTransition
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.run.events import SpecUpdated
from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.spec.bounds import limits_of
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.update import updated, value_at
from services.orchestrator.domain.step import step
from tests.unit.services.orchestrator.specs import spec

STORED = fill(spec(labels={"team": "nlp", "old": "yes"}))


def given(**changes: object) -> PipelineSpec:
    """A spec with nothing in it but what a request says."""
    return replace(PipelineSpec(), **changes)  # type: ignore[arg-type]


def run(status: RunState) -> PipelineRun:
    made = new_run("r", STORED, store_uri="s3://retain", base=None, queue_number=1, now_s=10.0)
    return replace(made, status=status)


def faults(paths: tuple[str, ...], **changes: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        updated(STORED, given(**changes), paths)
    return {fault.field: fault.description for fault in caught.value.violations}


def test_only_what_the_mask_names_changes() -> None:
    asked = given(
        forgetting=ForgettingSpec(budget=0.15, stop=0.9), checkpoints=CheckpointSpec(keep_last=7), name="another"
    )
    after = updated(STORED, asked, ("forgetting.budget",))
    assert after == replace(STORED, forgetting=replace(STORED.forgetting, budget=0.15))
    assert updated(STORED, asked, ("checkpoints.keep_last",)).checkpoints.keep_last == 7


def test_labels_change_one_by_one_or_all_of_them() -> None:
    asked = given(labels={"owner": "ada", "example.com/cost": "12", "team": "vision"})
    assert updated(STORED, asked, ("labels",)).labels == asked.labels
    one_by_one = ("labels.owner", "labels.example.com/cost", "labels.old")
    assert updated(STORED, asked, one_by_one).labels == {"team": "nlp", "owner": "ada", "example.com/cost": "12"}
    assert updated(STORED, given(), ("labels",)).labels == {}
    assert value_at(STORED, "labels.team") == "nlp"
    assert value_at(STORED, "labels.nobody") is None


def test_a_field_without_a_value_gets_its_default() -> None:
    changed = updated(STORED, given(forgetting=ForgettingSpec(budget=0.15, max_retries=9)),
                      ("forgetting.budget", "forgetting.max_retries"))  # fmt: skip
    assert (changed.forgetting.budget, changed.forgetting.max_retries) == (0.15, 9)
    assert updated(changed, given(), ("forgetting.budget", "forgetting.max_retries", "checkpoints.keep_last")) == STORED
    measured_only = fill(spec(forgetting=ForgettingSpec(mitigate=False)))
    assert updated(measured_only, given(), ("forgetting.budget",)).forgetting.budget is None, "it promised nothing"


@pytest.mark.parametrize(
    "path",
    ["stages", "stages[0].learning_rate", "model.preset", "seed", "forgetting", "forgetting.stop", "evaluation.every",
     "forgetting.retention", "compute.workers", "labels.", "", "Labels", "checkpoints", "forgetting.budget.x"],
)  # fmt: skip
def test_what_is_fixed_is_named_with_what_may_change(path: str) -> None:
    said = faults(("labels.a", path))
    assert list(said) == ["update_mask.paths[1]"]
    assert said["update_mask.paths[1]"].startswith(f"got {path!r}; expected one of labels, labels.KEY, ")
    assert "forgetting.budget" in said["update_mask.paths[1]"]


def test_no_path_is_a_fault_and_not_everything() -> None:
    assert faults(()).keys() == {"update_mask"}


def test_values_are_judged_as_when_a_run_is_created() -> None:
    both = faults(
        ("forgetting.budget", "checkpoints.keep_last"),
        forgetting=ForgettingSpec(budget=0.3),
        checkpoints=CheckpointSpec(keep_last=-1),
    )
    assert both["forgetting.budget"] == "got 0.3; expected a number up to stop (0.2)"
    assert both["checkpoints.keep_last"] == "got -1; expected 1 or more"
    assert faults(("forgetting.budget",), forgetting=ForgettingSpec(budget=float("nan"))).keys() == {
        "forgetting.budget"
    }
    many = faults(("labels.k0", "labels.k99", "labels"), labels={f"k{number}": "" for number in range(100)})
    assert many == {"labels": "got 100 entries; expected up to 64"}


def test_a_stored_fault_elsewhere_stops_no_change() -> None:
    """Rules may have become stricter since a run was created."""
    old = replace(STORED, name="No Longer Allowed")
    assert updated(old, given(labels={"a": "b"}), ("labels.a",)).labels["a"] == "b"


@pytest.mark.parametrize("status", [state for state in RunState if state])
def test_promises_change_until_success_and_labels_and_retention_at_any_time(status: RunState) -> None:
    before = run(status)
    free = SpecUpdated(
        spec=given(labels={"a": "b"}, checkpoints=CheckpointSpec(keep_last=1)),
        paths=("labels.a", "checkpoints.keep_last"),
        now_s=20.0,
    )
    after = step(before, free).run
    assert (after.spec.labels["a"], after.spec.checkpoints.keep_last) == ("b", 1)
    assert (after.sequence, after.updated_s, after.status) == (before.sequence + 1, 20.0, status)
    promise = SpecUpdated(spec=given(forgetting=ForgettingSpec(budget=0.2)), paths=("forgetting.budget",), now_s=20.0)
    if status is RunState.SUCCEEDED:
        with pytest.raises(InvalidTransition, match=r"change forgetting\.budget: got a run that is SUCCEEDED"):
            step(before, promise)
    else:
        assert limits_of(step(before, promise).run.spec.forgetting).budget == 0.2


def test_the_same_again_is_no_change() -> None:
    event = SpecUpdated(spec=given(labels={"team": "nlp"}), paths=("labels.team",), now_s=20.0)
    before = run(RunState.RUNNING)
    assert step(before, event).run is before
