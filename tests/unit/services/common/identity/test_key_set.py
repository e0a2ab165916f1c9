"""Keys of a provider: fetched once, again when one is missing but not often, and kept while it is away."""

import asyncio

import pytest
from joserfc.jwk import ECKey
from jwt import PyJWK

from services.common.errors import Unauthenticated, Unavailable
from services.common.identity.key_set import ASKED_AGAIN_AFTER_S, FETCHED_EVERY_S, KEPT_S, Keys, KeySet

KEYS = {
    name: PyJWK.from_dict(ECKey.generate_key("P-256").as_dict(private=False, kid=name, alg="ES256"))
    for name in ("old", "new")
}


class Served:
    """A provider's keys and a clock, both in the test's hand."""

    def __init__(self) -> None:
        self.has, self.fetches, self.now_s, self.away = ["old"], 0, 1000.0, False
        self.keys = KeySet(self.fetch, now_s=lambda: self.now_s)

    def fetch(self) -> Keys:
        self.fetches += 1
        if self.away:
            raise Unavailable("away", reason="IDENTITY_PROVIDER_UNREACHABLE")
        return {name: KEYS[name] for name in self.has}

    async def settled(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0.005)
            if self.keys._fetching is None:
                return


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    served = Served()
    found = await asyncio.gather(*(served.keys.key("old") for _ in range(50)))
    assert (found, served.fetches) == ([KEYS["old"]] * 50, 1)
    await served.keys.key("old")
    assert served.fetches == 1


async def test_a_new_key_is_fetched_when_a_token_names_it() -> None:
    served = Served()
    await served.keys.key("old")
    served.has, served.now_s = ["old", "new"], served.now_s + ASKED_AGAIN_AFTER_S
    assert await served.keys.key("new") is KEYS["new"]
    assert served.fetches == 2


async def test_invented_key_ids_make_few_fetches_and_cost_the_others_nothing() -> None:
    served = Served()
    await served.keys.key("old")
    for number in range(1000):
        served.now_s += 0.01  # ten seconds in all
        with pytest.raises(Unauthenticated) as caught:
            await served.keys.key(f"invented-{number}")
        assert caught.value.reason == "TOKEN_KEY_UNKNOWN"
        assert await served.keys.key("old") is KEYS["old"]
    assert served.fetches in (2, 3)


async def test_known_keys_stay_good_while_the_provider_is_away_for_a_day() -> None:
    served = Served()
    await served.keys.key("old")
    served.away = True
    for _ in range(20):
        served.now_s += FETCHED_EVERY_S
        assert await served.keys.key("old") is KEYS["old"]
        await served.settled()
    assert served.fetches == 21
    served.now_s += ASKED_AGAIN_AFTER_S
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await served.keys.key("new")
        assert caught.value.reason == "IDENTITY_PROVIDER_UNREACHABLE"
    assert served.fetches == 22
    served.now_s += KEPT_S
    with pytest.raises(Unavailable):
        await served.keys.key("old")
    served.away, served.now_s = False, served.now_s + ASKED_AGAIN_AFTER_S
    assert await served.keys.key("old") is KEYS["old"]


async def test_a_key_that_the_provider_took_back_is_good_no_more() -> None:
    served = Served()
    await served.keys.key("old")
    served.has, served.now_s = ["new"], served.now_s + FETCHED_EVERY_S
    assert await served.keys.key("old") is KEYS["old"], "the fetch continues beside the call"
    await served.settled()
    with pytest.raises(Unauthenticated):
        await served.keys.key("old")


async def test_a_caller_that_goes_away_takes_no_fetch_with_it() -> None:
    served = Served()
    waiting = asyncio.create_task(served.keys.key("old"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await served.keys.key("old") is KEYS["old"]
    assert served.fetches == 1
