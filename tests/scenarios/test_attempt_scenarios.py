"""Attempts, fences, jobs and people as tables; and every event twice, as after a lost reply."""

import pytest

from tests.scenarios.scenario_runner import training

LONG = """
    checkpoint 10
    score 10 general=0.0
    checkpoint 20
    score 20 general=0.12
    checkpoint 30
    score 30 general=0.25
    ask 1 b
    checkpoint 20
    score 20 general=0.04
    hung 1
    job-submitted 2
    job-ended 1
    ask 2 c
    checkpoint 30
    score 30 general=0.05
"""


@pytest.mark.parametrize("header", ["", "lag=1"])
def test_every_event_may_come_twice(header: str) -> None:
    """As after a reply that was lost: the second copy changes nothing, and the end is the same."""
    once, twice = training(header), training(header)
    for line in filter(None, map(str.strip, LONG.splitlines())):
        once.apply(line)
        twice.apply(line)
        after = twice.state
        twice.now_s -= 1.0
        again = twice.apply(line)
        assert twice.state == after, f"{line} came twice and changed something: {again}"
    assert once.state == twice.state
