"""A retry policy: its pauses, what it does not try again, and when it is enough."""

import pytest
import tenacity

from services.common.retry import RetryPolicy


def is_lost(error: BaseException) -> bool:
    return isinstance(error, ConnectionError)


POLICY = RetryPolicy(interval_s=0.2, maximum_s=1.0, is_retried=is_lost, tries=5)


def failing(policy: RetryPolicy, error: Exception) -> list[float]:
    """The pauses of a call that always fails."""
    pauses: list[float] = []

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        tenacity.Retrying(**policy.options(), sleep=pauses.append)(fail)
    assert raised.value is error
    return pauses


def test_pauses_grow_up_to_their_bound_and_end() -> None:
    expected = pytest.approx([0.2, 0.4, 0.8, 1.0])
    assert failing(POLICY, ConnectionError()) == expected
    assert [POLICY.pause_s(failed) for failed in (1, 2, 3, 4)] == expected
    assert POLICY.pause_s(5000) == 1.0


def test_what_no_try_mends_is_raised_at_once() -> None:
    assert failing(POLICY, ValueError("no")) == []


def test_pauses_with_jitter_are_shorter_and_differ() -> None:
    policy = RetryPolicy(interval_s=0.2, maximum_s=1.0, is_retried=is_lost, tries=200, jitter=True)
    pauses = failing(policy, ConnectionError())
    assert all(0 <= pause <= 1.0 for pause in pauses)
    assert pauses[0] <= 0.2
    assert len(set(pauses)) > 100
