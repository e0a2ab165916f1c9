"""The probe in the evaluator: the start and the model are asked the same items once, and compared item by item."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from retain.values import EvaluationRequest, EvaluationState, ProbeKind, ProbeRequest, ProbeResult
from services.common.errors import FailedPrecondition, InvalidInput
from services.evaluator.adapters.measuring.statistics import Bootstrap
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.adapters.persistence.probe_repository import StoredProbes
from services.evaluator.application.ask_probe import AskProbe
from services.evaluator.application.ports import Prober
from services.evaluator.domain.probe import better_than, probe_report
from services.evaluator.domain.request import Model, check, same_result
from tests.unit.services.evaluator.builders import checkpoint, request
from tests.unit.services.evaluator.harness import Harness, ended
from tests.unit.services.evaluator.torch_harness import TorchHarness, tiny_model

SETTINGS = ProbeRequest(answer_tokens=8, most_seconds=60.0)


def asked(model: str = "now") -> EvaluationRequest:
    return replace(request(model, base="base", stage="finetune"), probe=SETTINGS)


class FakeProber(Prober):
    """Of ten forms the start knows all, the model as many as it is told."""

    def __init__(self, right_now: int = 6) -> None:
        self.right_now, self.asked = right_now, list[tuple[str, bool]]()
        self.fault: Exception | None = None

    def probe_method(self) -> str:
        return "fake"

    def probe(self, model: Model, settings: ProbeRequest, only: Sequence[str] | None) -> Mapping[str, bool]:
        if self.fault is not None:
            raise self.fault
        self.asked.append((model.checkpoint.uri, only is None))
        right = 10 if only is None else self.right_now
        return {f"format/{number}": number < right for number in range(10)}


def probing(harness: Harness, prober: FakeProber) -> None:
    """Gives the harness's evaluator a probe."""
    made = harness.service

    def service() -> object:
        found = made()
        aside = Aside(harness.store, on_unreadable=harness.exporter.unreadable)
        probe = AskProbe(
            measurer=harness.measurer, prober=prober, answers=StoredProbes(harness.store, aside), statistics=Bootstrap()
        )
        found.loop.evaluate_checkpoint = replace(found.loop.evaluate_checkpoint, probe=probe)
        return found

    harness.service = service  # type: ignore[method-assign, assignment]


async def test_both_are_asked_once_and_the_row_is_told_kept_and_exported(harness: Harness) -> None:
    prober = FakeProber()
    probing(harness, prober)
    async with harness.serving() as service:
        for name in ("e1", "e2"):
            await service.create(name, asked())
            found = await ended(service, name)
        assert found.probe is not None
        row = found.probe.results[0]
        assert (row.kind, row.items, row.baseline_right, row.right, row.lost) == (ProbeKind.FORMAT, 10, 10, 6, 4)
        assert row.loss == pytest.approx(0.4)
        assert prober.asked == [("s3://retain/base", True), ("s3://retain/now", False)]
        assert (await service.history("r1", None))[-1].probe == found.probe
        assert 'retain_probe_loss{kind="format",run="r1",stage="finetune"} 0.4' in harness.metrics()
        assert 'retain_probe_accuracy{kind="all",run="r1",stage="finetune"} 0.6' in harness.metrics()


async def test_a_damaged_document_of_answers_is_put_aside_and_asked_again(harness: Harness) -> None:
    prober = FakeProber()
    probing(harness, prober)
    async with harness.serving() as service:
        await service.create("e1", asked())
        await ended(service, "e1")
        (key, *_) = [key for key in harness.store.objects if "/probe." in key]
        harness.store.objects[key] = harness.store.objects[key].replace(b"true", b"false", 1)
        await service.create("e2", asked())
        assert (await ended(service, "e2")).probe is not None
    assert len(prober.asked) == 3
    assert 'retain_evaluator_unreadable_documents_total{kind="probe"} 1.0' in harness.metrics()


async def test_what_cannot_be_asked_costs_the_probe_and_not_the_evaluation(harness: Harness) -> None:
    prober = FakeProber()
    prober.fault = FailedPrecondition("more than 60 s", reason="PROBE_TOO_SLOW")
    probing(harness, prober)
    async with harness.serving() as service:
        await service.create("e1", asked())
        found = await ended(service, "e1")
        assert found.state is EvaluationState.SUCCEEDED
        assert found.probe is not None
        assert (found.probe.results, found.probe.not_measured) == ((), "more than 60 s")


def test_a_request_needs_a_base_and_settings_within_bounds() -> None:
    check("e1", asked())
    for bad in (
        replace(asked(), base=None),
        replace(asked(), probe=ProbeRequest(answer_tokens=0, most_seconds=1)),
        replace(asked(), probe=ProbeRequest(answer_tokens=8, most_seconds=float("inf"))),
    ):
        with pytest.raises(InvalidInput):
            check("e1", bad)
    assert not same_result(asked(), replace(asked(), base=checkpoint("other")))


def rows(before: Mapping[str, bool], now: Mapping[str, bool]) -> dict[ProbeKind, ProbeResult]:
    found = probe_report(now, before, digest="d", interval=lambda lost, gained, items: (0.0, 1.0))
    return {row.kind: row for row in found.results}


def test_a_kind_that_the_start_did_not_know_is_shown_only_and_no_part_of_the_whole() -> None:
    """28 of 80 choices right: Wilson's interval begins at 0.2546; for 27 it begins at 0.2434, below chance."""
    assert better_than(0.25, 28, 80)
    assert not better_than(0.25, 27, 80)
    assert not better_than(0.0, 0, 40)
    assert better_than(0.0, 1, 40)
    before = {f"choice/{n}": n < 27 for n in range(80)} | {f"json/{n}": n < 30 for n in range(40)}
    now = {f"choice/{n}": False for n in range(80)} | {f"json/{n}": n >= 5 for n in range(40)}
    found = rows(before, now)
    assert found[ProbeKind.CHOICE].shown_only
    assert (found[ProbeKind.JSON].lost, found[ProbeKind.JSON].gained) == (5, 10)
    assert (found[ProbeKind.ALL].items, found[ProbeKind.ALL].loss) == (40, -0.125)


def test_items_that_only_one_of_both_was_asked_do_not_count() -> None:
    found = rows({"json/1": True, "json/2": True}, {"json/2": False, "json/3": True})
    assert (found[ProbeKind.JSON].items, found[ProbeKind.JSON].lost) == (1, 1)


def test_a_real_model_is_asked_and_an_untouched_one_loses_nothing(tmp_path: Path) -> None:
    harness = TorchHarness(tmp_path)
    base, now = harness.put("base", tiny_model(1)), harness.put("now", tiny_model(2))
    aside = Aside(harness.store, on_unreadable=lambda kind: None)
    probe = AskProbe(
        measurer=harness.measurer,
        prober=harness.measurer,
        answers=StoredProbes(harness.store, aside),
        statistics=Bootstrap(),
    )
    plain = replace(asked(), base=base, checkpoint=base)
    untouched = probe.report(plain)
    assert untouched is not None
    assert untouched.results
    assert all((row.lost, row.gained, row.loss) == (0, 0, 0.0) for row in untouched.results)
    other = probe.report(replace(plain, checkpoint=now))
    assert other is not None
    (before, after) = untouched.results[0], other.results[0]
    assert (before.kind, after.baseline_right) == (ProbeKind.CHOICE, before.right)
    assert after.right == after.baseline_right - after.lost + after.gained
