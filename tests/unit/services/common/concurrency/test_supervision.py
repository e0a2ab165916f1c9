"""Background tasks that die are begun again, said, and seen from outside."""

import asyncio

import pytest

from services.common.concurrency.supervision import Supervisor


async def until(condition, limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  # any condition
            await asyncio.sleep(0.005)


class Seen:
    """What a supervisor told, and a task that dies as it is told."""

    def __init__(self, *deaths: BaseException) -> None:
        self.told: list[tuple[str, bool]] = []
        self.deaths, self.begun = list(deaths), 0

    async def on_change(self, name: str, alive: bool) -> None:
        self.told.append((name, alive))

    async def work(self) -> None:
        self.begun += 1
        if self.deaths:
            raise self.deaths.pop(0)
        await asyncio.Event().wait()


@pytest.mark.parametrize("death", [KeyError("lost"), asyncio.CancelledError(), RuntimeError("no thread")])
async def test_a_task_that_dies_is_begun_again_and_told(death: BaseException):
    seen = Seen(death)
    supervisor = Supervisor(on_change=seen.on_change, first_pause_s=0.01)
    supervisor.keep("measuring", seen.work)
    await until(lambda: seen.begun == 2 and supervisor.all_alive)
    assert seen.told == [("measuring", True), ("measuring", False), ("measuring", True)]
    await supervisor.stop()
    assert seen.begun == 2


async def test_while_one_is_dead_not_all_are_alive_and_the_others_continue():
    seen, other = Seen(ValueError("x")), Seen()
    supervisor = Supervisor(on_change=seen.on_change, first_pause_s=60.0)
    supervisor.keep("measuring", seen.work)
    supervisor.keep("metrics_retention", other.work)
    await until(lambda: ("measuring", False) in seen.told)
    assert not supervisor.all_alive
    assert (seen.begun, other.begun) == (1, 1)
    await supervisor.stop()


async def test_telling_may_fail_and_kills_nothing():
    seen = Seen(ValueError("x"))

    async def broken(name: str, alive: bool) -> None:
        await seen.on_change(name, alive)
        raise OSError("health is away")

    supervisor = Supervisor(on_change=broken, first_pause_s=0.01)
    supervisor.keep("measuring", seen.work)
    await until(lambda: seen.begun == 2)
    await supervisor.stop()


async def test_a_name_is_taken_once():
    seen = Seen()
    supervisor = Supervisor(on_change=seen.on_change)
    supervisor.keep("measuring", seen.work)
    with pytest.raises(ValueError, match="'measuring' twice"):
        supervisor.keep("measuring", seen.work)
    await supervisor.stop()
