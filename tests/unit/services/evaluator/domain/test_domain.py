"""Scores and requests of the evaluator, hand-computed."""

import math
from dataclasses import replace

import pytest

from retain.values import CheckpointRef, Evaluation, EvaluationState, PointKind, SetRole, SetUse
from services.common.errors import Corrupt, InvalidInput
from services.evaluator.domain.request import Model, check, checkpoint_faults
from services.evaluator.domain.result import next_version, score
from tests.unit.services.evaluator.builders import checkpoint, digest, measurement, request, set_ref


def test_an_untouched_model_scores_exactly_zero():
    found = score(set_ref("general"), measurement(1.5), measurement(1.5), (0.0, 0.0))
    assert (found.ratio, found.nats) == (0.0, 0.0)


def test_a_tenth_more_perplexity_is_ten_per_cent_and_095_nats():
    found = score(set_ref("general"), measurement(1.5 + math.log(1.1)), measurement(1.5), (0.08, 0.12))
    assert found.ratio == pytest.approx(0.10)
    assert found.nats == pytest.approx(0.0953, abs=5e-5)
    assert (found.ratio_low, found.ratio_high) == (0.08, 0.12)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1000.0])
def test_a_broken_model_scores_infinity_without_an_interval(loss: float):
    found = score(set_ref("general"), measurement(loss), measurement(1.5), (0.0, 0.1))
    assert found.ratio == math.inf
    assert found.ratio >= 0.20
    assert found.ratio_low is None


def test_a_broken_baseline_or_another_set_is_refused():
    with pytest.raises(Corrupt, match="expected a finite one"):
        score(set_ref("general"), measurement(1.5), measurement(math.nan), None)
    with pytest.raises(Corrupt, match="different units"):
        score(set_ref("general"), measurement(1.5, units=60), measurement(1.5, units=61), None)


def test_bits_per_byte_and_perplexity_follow_from_the_sums():
    """ln 4 nats a token is 2 bits; four bytes a token make half a bit a byte."""
    found = measurement(math.log(4.0))
    assert found.perplexity == pytest.approx(4.0)
    assert found.bits_per_byte == pytest.approx(0.5)


def test_the_ends_of_an_interpolation_are_the_checkpoints_and_points_between_have_their_own_name():
    models = [Model.of(request(weight=weight)) for weight in (0.0, 0.25, 0.5, 1.0)]
    digests = [model.digest([end.weights_digest for end in model.ends]) for model in models]
    assert digests[0] == digest("base")
    assert digests[3] == digest("now")
    assert len(set(digests)) == 4
    again = Model.of(request(weight=0.25))
    assert again.digest([end.weights_digest for end in again.ends]) == digests[1]
    assert again.digest([digest("other"), digest("now")]) != digests[1]


def test_the_same_share_of_the_line_and_of_fapm_are_other_weights_and_a_kind_alone_is_refused():
    line, pruned = request(weight=0.25), replace(request(weight=0.25), kind=PointKind.FAPM)
    ends = [digest("base"), digest("now")]
    assert Model.of(pruned).digest(ends) != Model.of(line).digest(ends)
    assert Model.of(replace(line, kind=PointKind.PATH)).digest(ends) == Model.of(line).digest(ends)
    with pytest.raises(InvalidInput, match=r"request\.kind"):
        check("one", replace(request(), kind=PointKind.FAPM))


@pytest.mark.parametrize("missing", ["interpolation", "parent"])
def test_half_an_interpolation_is_refused(missing: str):
    with pytest.raises(InvalidInput, match=r"request\.parent: goes with `interpolation`"):
        check("e1", replace(request(weight=0.25), **{missing: None}))


def test_a_set_without_a_role_is_refused():
    with pytest.raises(InvalidInput, match=r"request.sets\[0\].role: got 'none'; expected TARGET or RETENTION"):
        check("e1", request(sets=(set_ref("general", SetRole.UNSPECIFIED),)))


def test_all_faults_of_a_request_come_at_once():
    wrong = request(
        sets=(set_ref("general"), set_ref("general"), set_ref("code", SetRole.TARGET)), weight=math.nan, run=""
    )
    with pytest.raises(InvalidInput) as caught:
        check("a/b", wrong)
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"evaluation_id", "request.interpolation", "request.sets[1].name", "request.run_id"}


def test_the_same_name_may_be_control_and_report():
    check("fine", request(sets=(set_ref("general"), set_ref("general", use=SetUse.REPORT))))


def test_sequences_grow_even_when_the_clock_goes_back():
    new = Evaluation(id="e", request=request())
    first = next_version(new, EvaluationState.PENDING, now_s=100.0)
    second = next_version(first, EvaluationState.RUNNING, now_s=99.0)
    assert second.sequence > first.sequence
    assert next_version(second, EvaluationState.SUCCEEDED, now_s=101.0).end_time_s == 101.0


def test_references_need_whole_digests():
    assert not checkpoint_faults(checkpoint("x"), "c")
    faults = checkpoint_faults(CheckpointRef(uri="http://x", manifest_sha256="abc"), "c")
    assert [fault.field for fault in faults] == ["c.uri", "c.manifest_sha256", "c.weights_digest"]
