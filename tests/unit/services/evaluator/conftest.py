"""The evaluator harness of these tests, as a fixture."""

import math

import pytest

from tests.unit.services.evaluator.harness import FakeMeasurer, Harness


@pytest.fixture
def harness() -> Harness:
    return Harness(FakeMeasurer(now=1.5 + math.log(1.1), base=1.5, nan=math.nan, good=1.5))
