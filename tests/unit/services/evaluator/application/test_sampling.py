"""Text from a checkpoint: piece by piece, one at a time, with an end whatever happens."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from retain.values import ChatTurn, SampleTextRequest, SampleTextResponse
from services.common.errors import CheckpointDamaged, InvalidInput
from services.evaluator.application.measuring_thread import MeasuringThread, NoProgress
from services.evaluator.application.ports import Sampler
from services.evaluator.application.sampling import Sampling
from tests.unit.services.evaluator.builders import checkpoint


class Told(Sampler):
    """Samples what it is told to."""

    def __init__(self, *pieces: Callable[[], Iterator[str]]) -> None:
        self.pieces, self.asked = list(pieces), []

    def sample(self, order: SampleTextRequest) -> Iterator[SampleTextResponse]:
        self.asked.append(order)
        return (SampleTextResponse(text=piece) for piece in self.pieces.pop(0)())


def order(prompt: str, **how) -> SampleTextRequest:
    return SampleTextRequest(checkpoint=checkpoint("m"), prompt=prompt, **how)


async def text_of(sampling: Sampling, **how) -> str:
    async with asyncio.timeout(10):
        return "".join([piece.text async for piece in sampling.sample(order("Once", **how))])


def words() -> Iterator[str]:
    yield from (" upon", " a", " time")


async def test_pieces_come_in_order_and_limits_are_filled_in():
    sampler = Told(words, words)
    sampling = Sampling(sampler, MeasuringThread("sample"))
    assert await text_of(sampling) == " upon a time"
    await text_of(sampling, max_new_tokens=5000, top_k=3)
    assert [(asked.max_new_tokens, asked.top_k) for asked in sampler.asked] == [(64, 0), (1024, 3)]


async def test_a_sampler_that_hangs_is_told_and_the_next_is_answered():
    released = threading.Event()

    def hangs() -> Iterator[str]:
        yield " upon"
        assert released.wait(20)

    thread = MeasuringThread("sample", limit_s=0.2)
    sampling = Sampling(Told(hangs, words), thread)
    with pytest.raises(NoProgress, match="while sampling"):
        await text_of(sampling)
    assert await text_of(sampling) == " upon a time"
    released.set()
    assert await asyncio.to_thread(thread.ended, 10)


async def test_who_goes_away_stops_the_text_and_frees_the_turn():
    going, thread = threading.Event(), MeasuringThread("sample")

    def endless() -> Iterator[str]:
        while not going.is_set():
            going.wait(0.001)
            yield "la "

    sampling = Sampling(Told(endless, words), thread)
    pieces = sampling.sample(order("x"))
    assert (await anext(pieces)).text == "la "
    await pieces.aclose()
    assert await text_of(sampling) == " upon a time"
    assert await asyncio.to_thread(thread.ended, 10), "the endless one ended by itself"
    going.set()


async def test_a_fault_in_the_middle_comes_after_the_pieces_before_it():
    def damaged() -> Iterator[str]:
        yield " upon"
        raise CheckpointDamaged("cut", metadata={"uri": "s3://retain/m"})

    sampling = Sampling(Told(damaged), MeasuringThread("sample"))
    pieces = sampling.sample(order("x"))
    assert (await anext(pieces)).text == " upon"
    with pytest.raises(CheckpointDamaged, match="cut"):
        await anext(pieces)


async def test_every_fault_of_a_request_is_named():
    sampling = Sampling(Told(), MeasuringThread("sample"))
    with pytest.raises(InvalidInput) as caught:
        await text_of(sampling, max_new_tokens=-1, temperature=float("nan"), top_k=-2)
    assert [v.field for v in caught.value.violations] == ["max_new_tokens", "temperature", "top_k"]


async def test_turns_are_a_conversation_of_known_speakers():
    sampling = Sampling(Told(), MeasuringThread("sample"))
    turns = (ChatTurn(role="user", content="Hi"), ChatTurn(role="robot", content="beep"))
    for chat, fields in ((True, ["turns[1].role"]), (False, ["turns"])):
        with pytest.raises(InvalidInput) as caught:
            await text_of(sampling, turns=turns, chat=chat)
        assert [v.field for v in caught.value.violations] == fields
