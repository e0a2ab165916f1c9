"""Bodies of every version that was ever stored are read as what they were when they were written.

stored_bodies/v1 was written by the program of that time: NAME.json as it stored it, NAME.full.json with every default
of that time spelt out. From v2 on a body says everything itself.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retain.values import Decision
from services.common.errors import Corrupt
from services.common.versions import Versions, WrittenByNewer
from services.orchestrator.adapters import codec, upcast
from services.orchestrator.domain.due import due
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.events import Cancelled
from services.orchestrator.domain.run.state import Checkpoint, GateMemory, Interpolation, PipelineRun, StageRun
from services.orchestrator.domain.step import step
from services.orchestrator.transport.present import present_checkpoint, present_decision, present_run
from tests.scenarios.scenario_runner import training

FOLDER = Path(__file__).with_name("stored_bodies")
KINDS: dict[str, type] = {"run": PipelineRun, "decision": Decision, "checkpoint": Checkpoint}
BODIES = sorted(path for path in FOLDER.glob("v*/*.json") if not path.name.endswith(".full.json"))
RENAMED = {"stop_at_s"}  # what has another name now, each with a test of its own
NEVER_READ = {"accepted_boundary"}  # what nothing was ever decided or shown by
# Names of a stage's fields in versions 1 and 2, where they lay side by side.
SIDE_BY_SIDE = {
    "attempt": {"number": "attempt"},
    "branch": {"start_boundary": "line_boundary", "start_mix": "line_mix"},
    "gate": {},
    "interpolation": {
        "points": "line",
        "chosen": "chosen_point",
        "tries": "line_tries",
        "failed": "line_failed",
        "pause_s": "line_pause_s",
    },
    "last": {},
    "costs": {},
}
RUNS = [path for path in BODIES if path.stem.startswith("run-")]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def same(now: Any, then: Any, where: str = "") -> None:
    """Everything that was there then is there now; fields that came later are passed over."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for name, value in then.items():
            if name in RENAMED | NEVER_READ:
                continue
            assert name in now, f"{where}.{name} is gone"
            same(now[name], value, f"{where}.{name}")
    elif isinstance(then, list):
        assert isinstance(now, list), where
        assert len(now) == len(then), where
        for index, (one, other) in enumerate(zip(now, then, strict=True)):
            same(one, other, f"{where}[{index}]")
    elif isinstance(then, float) and math.isnan(then):
        assert math.isnan(now), where
    else:
        assert now == then, f"{where}: {now!r}, it was {then!r}"


def as_felt(plain: Any) -> Any:
    """A body of today with the name that versions 1 to 3 had for a checkpoint's effective shares."""
    if isinstance(plain, list):
        return [as_felt(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    return {"felt" if name == "effective_shares" else name: as_felt(value) for name, value in plain.items()}


def side_by_side(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage of today with its fields where versions 1 and 2 had them."""
    flat = {name: value for name, value in stage.items() if name not in SIDE_BY_SIDE}
    for part, names in SIDE_BY_SIDE.items():
        found = stage[part] or json.loads(codec.dumps(Interpolation()))
        flat |= {names.get(name, name): value for name, value in found.items()}
    return flat


@pytest.mark.parametrize("path", BODIES, ids=name)
def test_a_body_is_read_as_what_it_was(path: Path) -> None:
    cls = KINDS[path.stem.partition("-")[0]]
    value = codec.loads(cls, path.read_text())
    spelt_out = path.with_name(f"{path.stem}.full.json")
    then = json.loads((spelt_out if spelt_out.exists() else path).read_text())
    then.pop("version", None)
    now = json.loads(codec.dumps(value))
    if cls is PipelineRun and path.parent.name in ("v1", "v2"):
        now["stages"] = [side_by_side(stage) for stage in now["stages"]]
    if path.parent.name in ("v1", "v2", "v3"):
        now = as_felt(now)
    same(now, then, path.stem)


def test_there_are_bodies_of_every_version() -> None:
    assert {path.parent.name for path in BODIES} == {f"v{number}" for number in range(1, upcast.CURRENT + 1)}
    for version in range(1, upcast.CURRENT + 1):
        stems = {path.stem for path in BODIES if path.parent.name == f"v{version}"}
        assert {stem.partition("-")[0] for stem in stems} == set(KINDS)
        assert len(stems) >= 18


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_a_run_of_any_version_continues(path: Path) -> None:
    """It can be shown, what is due is known, and a person can end it."""
    state = codec.loads(PipelineRun, path.read_text())
    assert present_run(state).id == state.id
    due(state)
    if not state.status.ended:
        after = step(state, Cancelled(now_s=2e9)).run
        assert after.status.ended


def test_a_stage_that_was_measured_with_a_number_that_is_none_cannot_be_accepted_afterwards() -> None:
    """Whether the last figures were finite is remembered by itself now; before, it was looked up in what was shown."""
    for version in ("v1", "v2"):
        measured = codec.loads(PipelineRun, (FOLDER / version / "run-succeeded.json").read_text())
        assert [stage.gate.finite for stage in measured.stages] == [True] * len(measured.stages)
        waiting = codec.loads(PipelineRun, (FOLDER / version / "run-pending.json").read_text())
        assert not any(stage.gate.finite for stage in waiting.stages)
    body = json.loads((FOLDER / "v2" / "run-succeeded.json").read_text())
    body["stages"][0]["results"][0]["loss_nats"] = math.nan
    assert not codec.loads(PipelineRun, json.dumps(body)).stages[0].gate.finite


def test_a_deadline_that_ran_when_it_was_stored_is_over() -> None:
    body = (FOLDER / "v1" / "run-cancelled.json").read_text()
    assert '"stop_at_s":' in body
    (job,) = codec.loads(PipelineRun, body).jobs
    assert job.stop_after_s == 0.0
    (job,) = codec.loads(PipelineRun, (FOLDER / "v1" / "run-training.json").read_text()).jobs
    assert job.stop_after_s is None


def test_records_of_any_version_can_be_shown() -> None:
    for path in BODIES:
        if path.stem.startswith("decision-"):
            decision = codec.loads(Decision, path.read_text())
            assert present_decision(decision).number == decision.number
        elif path.stem.startswith("checkpoint-"):
            checkpoint = codec.loads(Checkpoint, path.read_text())
            assert present_checkpoint(checkpoint).id == checkpoint.id


def test_a_default_that_changes_changes_no_stored_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The learning rate's factor is 1 unless it was halved; suppose that a later program begins with 0.5."""
    stored = codec.dumps(training().state)
    first = FOLDER / "v1" / "run-training.json"
    before = [codec.loads(PipelineRun, text) for text in (stored, first.read_text())]
    monkeypatch.setattr(Mix, "__init__", _with_default(Mix.__init__, lr_scale=0.5))
    monkeypatch.setattr(GateMemory, "__init__", _with_default(GateMemory.__init__, adjusted_step=7, retries=1))
    assert Mix().lr_scale == 0.5
    after = [codec.loads(PipelineRun, text) for text in (stored, first.read_text())]
    for old, new in zip(before, after, strict=True):
        assert new == old
        assert new.stages[0].branch.mix.lr_scale == 1.0
        assert new.stages[0].gate.adjusted_step == -1


def _with_default(real: Any, **defaults: Any) -> Any:
    def init(self: Any, **values: Any) -> None:
        real(self, **{**defaults, **values})

    return init


def test_a_field_that_came_later_has_its_default() -> None:
    body = json.loads(codec.dumps(training().state))
    del body["annotated"]
    assert codec.loads(PipelineRun, json.dumps(body)) == training().state


def test_what_a_newer_program_wrote_is_told_as_such() -> None:
    body = json.loads(codec.dumps(training().state))
    with pytest.raises(WrittenByNewer, match=r"version 9, written by a newer program; this one reads versions 1 to 4"):
        codec.loads(PipelineRun, json.dumps(body | {"version": 9}))
    with pytest.raises(WrittenByNewer, match="'colour' that this program does not know"):
        codec.loads(PipelineRun, json.dumps(body | {"colour": "blue"}))


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "null", '{"version": "two"}', '{"version": 0}', '{"version": true}', '{"version": 2}',
     '{"version": 3}', '{"version": 4}', "[" * 100_000, '{"version": 2, "id": "x", "spec": 5, "store_uri": ""}'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_no_body_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt):
        codec.loads(PipelineRun, text)


def test_a_set_that_is_called_as_the_field_was_keeps_its_name() -> None:
    body = json.loads((FOLDER / "v3" / "run-training.json").read_text())
    body["spec"]["labels"] = {"felt": "blue"}
    (checkpoint, *_) = body["stages"][0]["branch"]["checkpoints"] = [
        {**json.loads((FOLDER / "v3" / "checkpoint-live.json").read_text()), "felt": {"felt": 0.25}}
    ]
    checkpoint.pop("version")
    run = codec.loads(PipelineRun, json.dumps(body))
    assert run.spec.labels == {"felt": "blue"}
    assert run.stages[0].branch.checkpoints[0].effective_shares == {"felt": 0.25}


def test_versions_rise_step_by_step() -> None:
    versions = Versions(current=3, upcasters={1: lambda d: {**d, "b": 1}, 2: lambda d: {"c": d["b"] + 1}})
    assert versions.read({"a": 0}) == {"c": 2}
    assert versions.read({"version": 2, "b": 5}) == {"c": 6}
    assert versions.read(versions.stamp({"c": 7})) == {"c": 7}
    with pytest.raises(ValueError, match=r"no upcaster for version \[2\]"):
        Versions(current=3, upcasters={1: dict})


def test_what_is_written_says_everything() -> None:
    """A body holds each field of its class, so that nothing is left to what a later program takes for granted."""
    state = replace(training().state, message="ü")
    body = json.loads(codec.dumps(state))
    assert body.pop("version") == upcast.CURRENT
    assert set(body) == set(PipelineRun.__dataclass_fields__)
    assert set(body["stages"][0]) == set(StageRun.__dataclass_fields__)
    assert codec.loads(PipelineRun, codec.dumps(state)) == state
