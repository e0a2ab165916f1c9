"""Pages of lists: sizes as AIP-158 has them, and tokens that continue no other list."""

import base64

import pytest

from services.common.errors import InvalidInput
from services.common.grpc.paging import number_of, page_of, page_size, token_of


def test_sizes() -> None:
    assert [page_size(n) for n in (0, 7, 500, 501)] == [50, 7, 500, 500]
    assert [page_size(n, default=1000, largest=1000) for n in (0, 7, 1000, 1001)] == [1000, 7, 1000, 1000]
    with pytest.raises(InvalidInput, match="page_size: got -1; expected 0 to 500"):
        page_size(-1)


def test_a_token_continues_its_list_and_no_other() -> None:
    token = token_of(42, of="runs")
    assert number_of(token, of="runs") == 42
    assert number_of("", of="runs") is None
    assert token_of(None, of="runs") == ""
    before_the_start = base64.urlsafe_b64encode(b"-3:runs").decode()
    for bad in (token_of(42, of="other"), "garbage", "AAAA", before_the_start):
        with pytest.raises(InvalidInput, match="page_token"):
            number_of(bad, of="runs")


@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_pages_of_a_whole_list_hold_each_item_once(size: int) -> None:
    items, token, seen = list(range(7)), "", []
    for _ in range(7):
        page, token = page_of(items, size=size, token=token, of="history")
        assert len(page) <= size
        seen += page
        if not token:
            break
    assert (seen, token) == (items, "")


def test_a_list_that_got_shorter_ends() -> None:
    _, token = page_of(range(7), size=5, token="", of="history")
    assert page_of(range(3), size=5, token=token, of="history") == (range(0), "")
