"""How the installation is told to stand: what does not answer, and since when."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from retain.values import ComponentState, ComponentStatus
from services.common.errors import NotFound, Refused, Unavailable
from services.orchestrator.application.observing.system_status import DATABASE_LIMIT_S, LOOK_EVERY_S
from tests.unit.services.orchestrator.offline import Offline


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Offline(tmp_path, monkeypatch, slots=3)
    await made.app.reconciler.start()
    yield made
    made.app.system.close()
    await made.close()


class Asked:
    """A look that ends as it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.times = 0

    def __call__(self, *_: Any) -> None:
        self.times += 1
        if self.error is not None:
            raise self.error

    async def later(self, *_: Any) -> None:
        self()


async def components(offline: Offline) -> Mapping[str, ComponentStatus]:
    status = await offline.app.system.status()
    return {component.name: component for component in status.components}


async def test_what_answers_that_there_is_none_is_up_and_what_is_away_or_refuses_is_down_since_when(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator, store, jobs = Asked(), Asked(), Asked()
    monkeypatch.setattr(offline.evaluator, "get", evaluator.later)
    monkeypatch.setattr(offline.store, "stat", store)
    monkeypatch.setattr(offline.jobs, "status", jobs)
    evaluator.error = NotFound("there is no evaluation of that name")
    start_s = offline.clock.now_s()
    found = await components(offline)
    assert {name: one.state for name, one in found.items()} == dict.fromkeys(
        ("database", "evaluator", "object_store", "ray"), ComponentState.UP
    )
    offline.clock.at_s += LOOK_EVERY_S
    evaluator.error = Unavailable("127.0.0.1:50052 with token abc: refused", reason="EVALUATOR_UNAVAILABLE")
    store.error = Refused("Access Denied to key AKIA", reason="STORE_REFUSED")
    for _ in range(3):
        found = await components(offline)
        assert found["ray"].since_time_s == start_s
        for name, reason in (("evaluator", "EVALUATOR_UNAVAILABLE"), ("object_store", "STORE_REFUSED")):
            assert (found[name].state, found[name].reason) == (ComponentState.DOWN, reason)
            assert found[name].since_time_s == start_s + LOOK_EVERY_S, "not since the last look"
        offline.clock.at_s += LOOK_EVERY_S
    assert "AKIA" not in str(found), "words of others stay in the log"
    store.error = None
    found = await components(offline)
    assert (found["object_store"].state, found["object_store"].reason) == (ComponentState.UP, "")
    assert found["object_store"].since_time_s == start_s + 4 * LOOK_EVERY_S


async def test_many_who_ask_at_once_cost_one_look(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Asked()
    monkeypatch.setattr(offline.jobs, "status", jobs)
    await asyncio.gather(*(offline.app.system.status() for _ in range(50)))
    assert jobs.times == 1


async def test_a_database_whose_passes_stay_away_is_down_since_the_last_one(offline: Offline) -> None:
    last_s = offline.clock.now_s()
    assert (await components(offline))["database"].since_time_s == last_s
    offline.clock.at_s += 100.0
    await offline.passed()
    offline.clock.at_s += DATABASE_LIMIT_S
    down = (await components(offline))["database"]
    assert (down.state, down.reason) == (ComponentState.DOWN, "DATABASE_UNAVAILABLE")
    assert down.since_time_s == last_s + 100.0
    await offline.passed()
    up = (await components(offline))["database"]
    assert (up.state, up.since_time_s) == (ComponentState.UP, last_s + 100.0 + DATABASE_LIMIT_S)


async def test_slots_and_the_queue_are_told(offline: Offline) -> None:
    status = await offline.app.system.status()
    assert (status.slots, status.slots_held, status.runs_waiting, status.unreadable_records) == (3, 0, 0, 0)
