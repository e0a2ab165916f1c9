"""Following a run into a tracker: everything once, through faults of either side, from where another one stopped."""

import sys
from collections.abc import Callable, Iterable

import pytest

from tests.fakes.orchestrator_service import FakePlatform
from tests.fakes.tracked_run import AT_THE_END, RUN, put_run
from ui.client.client import RetainClient
from ui.client.errors import BadInput, MissingExtra, Unreachable
from ui.tracking.backends import tracker_at
from ui.tracking.follow import Follower
from ui.tracking.port import Facts, Identity, Point, Tracker, TrackerAway


class MemoryTracker(Tracker):
    """Keeps rows as they come, doubles too; fails as told, before or after it has kept them."""

    def __init__(self) -> None:
        self.rows: list[Point] = []
        self.facts: list[Facts] = []
        self.faults: list[str] = []
        self.closed: list[bool | None] = []

    def open(self, facts: Facts) -> str:
        return "memory"

    def known(self) -> set[Identity]:
        return {row.identity for row in self.rows}

    def log(self, points: Iterable[Point]) -> None:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise TrackerAway("away")
        for point in points:
            self.rows.append(point)
            if fault == "midway":
                raise TrackerAway("lost")
        if fault == "after":
            raise TrackerAway("the reply was lost")

    def describe(self, facts: Facts) -> None:
        self.facts.append(facts)

    def close(self, *, succeeded: bool | None) -> None:
        self.closed.append(succeeded)

    @property
    def held(self) -> dict[Identity, float]:
        assert len(self.rows) == len({row.identity for row in self.rows}), "a point came twice"
        return {row.identity: row.value for row in self.rows}


def test_a_run_is_followed_to_its_end_and_nothing_comes_twice(platform: FakePlatform, client: RetainClient) -> None:
    put_run(platform)
    tracker = MemoryTracker()

    def time_passes(_: float) -> None:
        put_run(platform, ended=True)

    run = Follower(client, tracker, sleep=time_passes).follow(RUN)
    assert run.state == "SUCCEEDED"
    assert tracker.held == pytest.approx(AT_THE_END)
    assert tracker.closed == [True]
    facts = tracker.facts[-1]
    assert facts.parameters["stages.0.learning_rate"] == "0.001"
    assert (facts.tags["label.team"], facts.tags["retain.state"]) == ("lm", "SUCCEEDED")
    assert facts.checkpoints == {"midtrain/code": "s3://retain/runs/r/step-20"}
    assert [(note.step, note.text) for note in facts.notes] == [(10, "midtrain/code step 10: roll back. general +30%")]


def test_one_that_is_started_again_goes_on_from_what_the_tracker_has(
    platform: FakePlatform, client: RetainClient
) -> None:
    put_run(platform)
    tracker = MemoryTracker()
    first = Follower(client, tracker)
    first.follow(RUN, once=True)
    assert first.sent == 8
    put_run(platform, ended=True)
    second = Follower(client, tracker)
    second.follow(RUN)
    assert (second.sent, tracker.closed) == (4, [None, True])
    assert tracker.held == pytest.approx(AT_THE_END)


@pytest.mark.parametrize("fault", ["before", "midway", "after"])
def test_a_tracker_that_fails_loses_nothing_and_gets_nothing_twice(
    platform: FakePlatform, client: RetainClient, fault: str
) -> None:
    put_run(platform, ended=True)
    tracker, pauses = MemoryTracker(), list[float]()
    tracker.faults = [fault, fault]
    Follower(client, tracker, sleep=pauses.append).follow(RUN)
    assert pauses == ([1.0] if fault == "after" else [1.0, 2.0])  # after a lost reply there is nothing left to send
    assert len(tracker.held) == 10


def test_patience_has_an_end(platform: FakePlatform, client: RetainClient) -> None:
    put_run(platform, ended=True)
    tracker = MemoryTracker()
    tracker.faults = ["before"] * 50
    with pytest.raises(TrackerAway):
        Follower(client, tracker, sleep=lambda _: None, patience_s=60.0).follow(RUN)


def test_a_platform_that_is_away_is_waited_for(platform: FakePlatform, client: RetainClient) -> None:
    put_run(platform, ended=True)

    class Flaky:
        """The client, whose first calls find nobody."""

        left = 2

        def get_run(self, run_id: str) -> object:
            self.left -= 1
            if self.left >= 0:
                raise Unreachable("nobody answers")
            return client.get_run(run_id)

        decisions, metrics = staticmethod(client.decisions), staticmethod(client.metrics)

    said: list[str] = []
    tracker = MemoryTracker()
    Follower(Flaky(), tracker, say=said.append, sleep=lambda _: None).follow(RUN)  # type: ignore[arg-type]
    assert len(tracker.held) == 10
    assert said[0] == "nobody answers; tried again in 1 s, nothing is lost meanwhile"


@pytest.mark.parametrize("target", ["", "mlflow", "comet:x", "tensorboard:", "wandb"])
def test_another_target_is_refused_with_what_is_allowed(target: str) -> None:
    with pytest.raises(BadInput, match=r"mlflow:URI\[#EXPERIMENT\], wandb:PROJECT or tensorboard:DIR"):
        tracker_at(target)


def test_a_package_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.extras.missing_packages", lambda *extras: [])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"pip install 'retain\[wandb\]'"):
        tracker_at("wandb:project")


def test_the_command_says_which_extra_is_missing(platform: FakePlatform, retain: Callable, monkeypatch) -> None:
    monkeypatch.setattr("ui.extras.missing_packages", lambda *extras: ["mlflow-skinny"])
    outcome = retain("track", RUN, "--to", "mlflow:sqlite:///x.db")
    assert outcome.code == 1
    assert "pip install 'retain[mlflow]'" in outcome.err
