"""One local stack for all tests here, and one run on it that nobody disturbs."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.pipelines import three_stages
from tests.e2e.stack import Stack, until_ended
from ui.client.client import RetainClient
from ui.client.views import Run

# The long storm is asked for (make test-chaos) and otherwise no part of the suite, so it is not a skip either.
collect_ignore = [] if os.environ.get("RETAIN_CHAOS") == "1" else ["test_chaos.py"]
# So are other families than our own Llama (make test-families).
collect_ignore += [] if os.environ.get("RETAIN_FAMILIES") == "1" else ["test_families.py"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack in a folder of its own; afterwards nothing of it is left running."""
    stack = Stack(folder=tmp_path_factory.mktemp("e2e"))
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        assert stack.left_behind() == []


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[RetainClient]:
    with RetainClient(stack.address) as client:
        yield client


@pytest.fixture(scope="session")
def undisturbed(client: RetainClient) -> Run:
    """The three stages, left alone: what a disturbed run of the same spec and seed must come to."""
    return until_ended(client, client.create_run(three_stages("undisturbed")).id)
