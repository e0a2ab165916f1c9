"""The world of these tests."""

import math

import pytest

from tests.unit.services.evaluator.world import FakeMeasurer, World


@pytest.fixture
def world() -> World:
    return World(FakeMeasurer(now=1.5 + math.log(1.1), base=1.5, nan=math.nan, good=1.5))
