"""Files of people: measured once, followed by whoever asks, kept by content; and what is refused."""

import asyncio
import math
import threading
from collections.abc import Callable, Mapping

import pytest

from retain.values import EvaluateFileRequest, EvaluationState, FileEvaluation, FileResult
from services.common.concurrency.heart import beat
from services.common.errors import FailedPrecondition, InvalidInput, TooManyCalls, Unavailable
from services.evaluator.adapters.measuring.statistics import Bootstrap
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.adapters.persistence.file_repository import StoredFileResults, file_key
from services.evaluator.application.file_evaluations import ENDED_S, MOST_WAITING, FileEvaluations
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.ports import FileMeasured, FileMeasurer, FileName, FileOrder, SourceRules
from services.evaluator.domain.request import Model
from services.evaluator.domain.result import Measurement
from tests.fakes.object_store import FakeObjectStore
from tests.unit.services.evaluator.builders import checkpoint

SHA = "b" * 64
URI = f"s3://retain/uploads/{SHA}/mine.jsonl"


class Rules(SourceRules):
    """Lets a project read what has its name."""

    def fault_of(self, uri: str, project: str) -> str | None:
        return None if project == "default" else f"got {uri}; expected what project {project} uploaded"


class Files(FileMeasurer):
    """Measures 60 units of 10 tokens, ln 2 nats each, when `gate` is open."""

    def __init__(self) -> None:
        self.gate, self.orders = threading.Event(), []
        self.gate.set()
        self.faults: list[Exception] = []

    def identify(self, model: Model) -> str:
        return model.checkpoint.weights_digest

    def file_method(self) -> str:
        return "as told"

    def measure_file(self, model: Model, order: FileOrder, progress: Callable[[int, int], None]) -> FileMeasured:
        self.orders.append(order)
        progress(0, 600)
        while not self.gate.wait(0.05):
            beat("measuring")
        if self.faults:
            raise self.faults.pop(0)
        nats = 10 * math.log(2)
        measured = Measurement(
            nats=60 * nats, tokens=600, bytes=300, unit_nats=(nats,) * 60, unit_tokens=(10,) * 60, unit_bytes=(5,) * 60
        )
        return FileMeasured(measurement=measured, documents=60, context=order.context or 32)


class Here:
    def __init__(self, store: FakeObjectStore | None = None, *, rules: SourceRules | None = None) -> None:
        self.now_s = 1000.0
        self.measurer, self.store = Files(), store or FakeObjectStore()
        self.files = FileEvaluations(
            rules=rules or Rules(),
            measurer=self.measurer,
            results=StoredFileResults(self.store, Aside(self.store)),
            statistics=Bootstrap(),
            thread=MeasuringThread("file"),
            clock=lambda: self.now_s,
        )

    async def look_in(self) -> FileEvaluation:
        """What a page hears that asks now and then, and stays for the first answer alone."""
        looking = self.files.evaluate(EvaluateFileRequest(checkpoint=checkpoint("m"), uri=URI), "default")
        async with asyncio.timeout(10):
            first = await anext(looking)
            await looking.aclose()
            return first

    async def ask(self, uri: str = URI, *, project: str = "default", **how: int) -> list[FileEvaluation]:
        request = EvaluateFileRequest(checkpoint=checkpoint("m"), uri=uri, **how)
        async with asyncio.timeout(10):
            return [one async for one in self.files.evaluate(request, project)]


async def test_the_figures_are_those_of_the_sums_with_an_interval() -> None:
    here = Here()
    *before, last = await here.ask(documents=60)
    found = last.result
    assert found is not None
    assert (last.state, found.tokens, found.documents, found.units) == (EvaluationState.SUCCEEDED, 600, 60, 60)
    assert found.perplexity == pytest.approx(2.0)
    assert found.bits_per_byte == pytest.approx(2.0)  # 600 tokens of one bit over 300 bytes
    assert (found.perplexity_low, found.perplexity_high) == (pytest.approx(2.0), pytest.approx(2.0))  # units are equal
    assert (found.file_name, found.sha256, found.context, found.kept) == ("mine.jsonl", SHA, 32, False)
    assert all(one.result is None for one in before)
    assert here.measurer.orders[0].documents == 60


async def test_what_was_measured_once_is_kept_by_content_over_a_restart() -> None:
    here = Here()
    await here.ask()
    again = Here(here.store)
    found = (await again.ask(URI.replace("mine.jsonl", "renamed.jsonl")))[-1].result
    assert found is not None
    assert (found.kept, found.file_name, again.measurer.orders) == (True, "renamed.jsonl", [])
    await again.ask(context=16)
    await again.ask(documents=1)
    await again.ask(URI.replace(".jsonl", ".txt"))  # the same bytes, read as something else
    assert len(again.measurer.orders) == 3


async def test_two_who_ask_the_same_follow_one_measuring_and_who_leaves_does_not_end_it() -> None:
    here = Here()
    here.measurer.gate.clear()
    request = EvaluateFileRequest(checkpoint=checkpoint("m"), uri=URI)
    leaving = here.files.evaluate(request, "default")
    await anext(leaving)
    first = asyncio.create_task(here.ask())
    await asyncio.sleep(0.4)
    await leaving.aclose()
    here.measurer.gate.set()
    stayed = await first
    assert [one.state for one in stayed][-2:] == [EvaluationState.RUNNING, EvaluationState.SUCCEEDED]
    assert stayed[-2].tokens == 600
    assert len(here.measurer.orders) == 1
    assert stayed[-1].result is not None
    assert not stayed[-1].result.kept


async def test_files_wait_for_their_turn_and_a_project_has_only_so_many() -> None:
    here = Here()
    here.measurer.gate.clear()
    uris = [f"s3://retain/uploads/{number:064x}/a.txt" for number in range(MOST_WAITING)]
    asked = [asyncio.create_task(here.ask(uri)) for uri in uris]
    await asyncio.sleep(0.5)
    with pytest.raises(TooManyCalls, match=f"{MOST_WAITING} files of project default"):
        await here.ask(URI)
    here.measurer.gate.set()
    told = await asyncio.gather(*asked)
    assert [answers[0].ahead for answers in told] == list(range(MOST_WAITING))
    assert (await here.ask(URI))[-1].result is not None


@pytest.mark.parametrize(
    ("uri", "how", "field"),
    [
        ("", {}, "uri"),
        ("/etc/passwd", {}, "uri"),
        ("s3://retain/runs/r/step-1", {}, "uri"),
        (f"s3://retain/uploads/{SHA}/model/config.json", {}, "uri"),
        (URI, {"context": -1}, "context"),
        (URI, {"documents": -1}, "documents"),
        (URI, {"project": "theirs"}, "uri"),
    ],
)
async def test_what_cannot_be_asked_is_said_at_its_field(uri: str, how: Mapping[str, int], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await Here().ask(uri, **how)  # type: ignore[arg-type]
    assert [fault.field for fault in caught.value.violations] == [field]


async def test_a_failure_is_the_error_of_the_call_and_the_next_call_tries_again() -> None:
    here = Here()
    here.measurer.faults = [FailedPrecondition("its weights are no numbers")]
    with pytest.raises(FailedPrecondition, match="no numbers"):
        await here.ask()
    assert (await here.ask())[-1].result is not None


async def test_an_evaluator_that_ends_says_so_and_keeps_nothing_half() -> None:
    here = Here()
    here.measurer.gate.clear()
    asked = asyncio.create_task(here.ask())
    await asyncio.sleep(0.3)
    here.files.stop()
    with pytest.raises(Unavailable, match="ask again"):
        await asked
    assert not [key for key in here.store.objects if key.startswith("evaluations/")]


def test_a_damaged_result_is_put_aside_and_none() -> None:
    store = FakeObjectStore()
    kept = StoredFileResults(store, Aside(store))
    name = FileName(weights_digest="a" * 64, sha256=SHA, read_as=".txt", context=0, documents=0, method="m")
    kept.put(name, FileResult(perplexity=2.0))
    assert kept.get(name) == FileResult(perplexity=2.0)
    store.put_bytes(file_key(name), store.get_bytes(file_key(name)).replace(b"2.0", b"3.0"))
    assert kept.get(name) is None
    assert store.stat(file_key(name)) is None


async def test_who_looks_in_now_and_then_hears_the_result() -> None:
    here = Here()
    here.measurer.gate.clear()
    assert (await here.look_in()).state is EvaluationState.RUNNING
    assert (await here.look_in()).tokens == 600
    here.measurer.gate.set()
    found = [await here.look_in() for _ in range(2)][-1]
    assert found.result is not None
    assert found.result.perplexity == pytest.approx(2.0)
    assert len(here.measurer.orders) == 1
    after_a_restart = await Here(here.store).look_in()
    assert after_a_restart.result is not None
    assert after_a_restart.result.kept


async def test_who_looks_in_now_and_then_hears_why_it_was_not_measured() -> None:
    here = Here()
    here.measurer.gate.clear()
    here.measurer.faults = [FailedPrecondition("the file has no text")]
    assert (await here.look_in()).state is EvaluationState.RUNNING
    here.measurer.gate.set()
    with pytest.raises(FailedPrecondition, match="no text"):
        while True:
            await here.look_in()
    assert len(here.measurer.orders) == 1
    assert (await here.ask())[-1].result is not None  # who has heard of it and asks again wants it tried again


async def test_a_fault_that_nobody_comes_to_hear_is_forgotten() -> None:
    here = Here()
    here.measurer.gate.clear()
    here.measurer.faults = [FailedPrecondition("the file has no text")]
    await here.look_in()
    here.measurer.gate.set()
    await asyncio.sleep(0.3)
    here.now_s += ENDED_S + 1
    assert (await here.look_in()).result is not None


async def test_a_store_that_was_away_is_asked_again() -> None:
    here = Here()
    here.measurer.faults = [Unavailable("the store is away")]
    with pytest.raises(Unavailable, match="the store is away"):
        await here.ask()
    assert (await here.ask())[-1].result is not None
