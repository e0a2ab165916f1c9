"""Scores of text that the baseline did not know: measured, told, kept in the history, and no forgetting to anybody."""

import math
from dataclasses import replace

import pytest

from retain.evaluator.v1 import resources_pb2
from retain.mapper import to_message
from retain.types.v1 import values_pb2
from retain.values import EvaluationRequest
from services.common.errors import InvalidInput
from services.evaluator.domain.request import check
from services.evaluator.domain.result import judged_by, score
from services.evaluator.transport.servicer import read
from tests.unit.services.evaluator.builders import measurement, request, set_ref
from tests.unit.services.evaluator.harness import Harness, ended

BITS = 1.5 / math.log(2) / 4  # of the baseline: 1.5 nats a token of four bytes


def asked(most: float | None) -> EvaluationRequest:
    """About one gauge, and general text that always counts."""
    plain = request(sets=(set_ref("general"), set_ref("gauge-code")))
    general, gauge = plain.baselines
    return replace(plain, baselines=(general, replace(gauge, most_bits_per_byte=most)))


@pytest.mark.parametrize(
    ("most", "now", "shown_only"),
    [
        (None, 1.6, False),
        (BITS, 1.6, False),
        (BITS - 1e-9, 1.6, True),
        (BITS - 1e-9, math.nan, False),
        (BITS - 1e-9, math.inf, False),
    ],
)
def test_a_baseline_that_needs_more_bits_did_not_know_the_text(
    most: float | None, now: float, shown_only: bool
) -> None:
    found = judged_by(score(set_ref("gauge-code"), measurement(now), measurement(1.5), None), most)
    assert found.baseline_bits_per_byte == pytest.approx(BITS)
    assert found.shown_only is shown_only


def test_a_set_without_bytes_counts_since_nothing_tells() -> None:
    silent = replace(measurement(1.5), bytes=0)
    found = judged_by(score(set_ref("gauge-code"), measurement(1.6), silent, None), 0.1)
    assert (found.baseline_bits_per_byte, found.shown_only) == (None, False)


async def test_it_is_told_and_kept_and_raises_no_alert(harness: Harness) -> None:
    async with harness.serving() as service:
        await service.create("e1", asked(most=0.01))
        evaluation = await ended(service, "e1")
        assert [(s.retention_set, s.shown_only) for s in evaluation.scores] == [
            ("general", False),
            ("gauge-code", True),
        ]
        shown = harness.metrics()
        assert 'retain_forgetting_ratio{retention_set="general"' in shown
        assert 'retain_forgetting_ratio{retention_set="gauge-code"' not in shown
        assert 'retain_perplexity{role="retention",run="r1",set="gauge-code",stage="midtrain/code"}' in shown
        assert 'retain_baseline_perplexity{role="retention",run="r1",set="gauge-code",stage="midtrain/code"}' in shown
        rows = await service.history("r1", None)
        assert [(s.retention_set, s.shown_only) for s in rows[-1].scores][-1] == ("gauge-code", True)


async def test_one_that_counts_is_shown_beside_the_others(harness: Harness) -> None:
    async with harness.serving() as service:
        await service.create("e1", asked(most=64.0))
        await ended(service, "e1")
        assert (
            'retain_forgetting_ratio{retention_set="gauge-code",run="r1",stage="midtrain/code"} 0.1'
            in harness.metrics()
        )


@pytest.mark.parametrize("most", [2.0, None])
def test_the_bound_travels_over_the_wire(most: float | None) -> None:
    message = to_message(asked(most=most), resources_pb2.EvaluationRequest)
    assert message.baselines[1].HasField("most_bits_per_byte") is (most is not None)
    assert read(message, EvaluationRequest) == asked(most=most)
    found = judged_by(score(set_ref("gauge-code"), measurement(1.6), measurement(1.5), None), 0.01)
    told = to_message(found, values_pb2.ForgettingScore)
    assert (told.shown_only, told.baseline_bits_per_byte) == (True, pytest.approx(BITS))


@pytest.mark.parametrize("most", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_that_is_none_is_refused_by_its_path(most: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        check("e1", asked(most=most))
    assert [fault.field for fault in refused.value.violations] == ["request.baselines[1].most_bits_per_byte"]
