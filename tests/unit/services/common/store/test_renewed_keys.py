"""Keys that end are renewed in time, and what cannot be renewed yet is used while it is good."""

import pytest

from services.common.errors import Unavailable
from services.common.store.renewed_keys import AGAIN_S, RenewedKeys
from services.common.store.store_keys import StoreKeys


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


class Orchestrator:
    """Hands out numbered keys that live an hour, unless it is away."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.away = clock, False
        self.asked: list[bool] = []

    def __call__(self, patiently: bool) -> StoreKeys:
        self.asked.append(patiently)
        if self.away:
            raise Unavailable("away")
        number = str(len(self.asked))
        return StoreKeys(access_key=number, secret_key="s", session_token="t", expire_s=self.clock.at_s + 3600)


def test_keys_are_asked_for_once_and_renewed_before_they_end() -> None:
    clock = Clock()
    orchestrator = Orchestrator(clock)
    keys = RenewedKeys(orchestrator, now_s=clock)
    assert [keys.retrieve().access_key for _ in range(3)] == ["1"] * 3
    clock.at_s += 2600
    assert keys.retrieve().access_key == "1"
    clock.at_s += 200
    found = keys.retrieve()
    assert (found.access_key, found.session_token) == ("2", "t")
    assert orchestrator.asked == [True, False], "there is no hurry while the old ones are good"


def test_an_orchestrator_that_is_away_costs_nothing_while_the_old_ones_are_good() -> None:
    clock = Clock()
    orchestrator = Orchestrator(clock)
    keys = RenewedKeys(orchestrator, now_s=clock)
    keys.retrieve()
    orchestrator.away = True
    clock.at_s += 2800
    assert [keys.retrieve().access_key for _ in range(5)] == ["1"] * 5
    assert orchestrator.asked == [True, False], "it is not asked for every object"
    clock.at_s += AGAIN_S
    keys.retrieve()
    assert len(orchestrator.asked) == 3
    clock.at_s += 3600
    with pytest.raises(Unavailable):
        keys.retrieve()
    orchestrator.away = False
    assert keys.retrieve().access_key == "5"


def test_keys_that_are_forgotten_are_asked_for_at_once() -> None:
    clock = Clock()
    orchestrator = Orchestrator(clock)
    keys = RenewedKeys(orchestrator, now_s=clock)
    keys.retrieve()
    keys.forget()
    assert keys.retrieve().access_key == "2"
    assert orchestrator.asked == [True, True]
