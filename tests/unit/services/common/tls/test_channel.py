"""A channel follows the certificate files: a new one for new calls, the old one for as long as calls may last."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.certificates import Authority
from services.common.errors import InvalidInput
from services.common.tls.channel import RenewedChannel, open_channel
from tests.tls import Folder

AUTHORITY = Authority.new("the tests")


@dataclass
class Channel:
    """Answers each call with its number."""

    number: int
    closed: bool = False
    made: list[str] = field(default_factory=list)

    def unary_unary(self, method: str, **_: object):
        self.made.append(method)
        return lambda request: (self.number, method, request)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, AUTHORITY)


def test_calls_go_to_the_channel_of_the_newest_certificate(folder: Folder) -> None:
    opened: list[Channel] = []
    at_s = [0.0]

    def make() -> Channel:
        opened.append(Channel(len(opened)))
        return opened[-1]

    channel = RenewedChannel(folder.files(), make, kept_s=100.0, clock=lambda: at_s[0])
    method = channel.unary_unary("/a/B", request_serializer=None)
    assert [method(n) for n in range(2)] == [(0, "/a/B", 0), (0, "/a/B", 1)]
    assert opened[0].made == ["/a/B"], "a method is made once for each channel"
    folder.renew(AUTHORITY)
    assert method(2) == (1, "/a/B", 2)
    at_s[0] = 99.0
    method(3)
    assert not opened[0].closed, "a call may still be under way there"
    at_s[0] = 100.0
    method(4)
    assert (opened[0].closed, opened[1].closed, len(opened)) == (True, False, 2)
    folder.renew(AUTHORITY)
    method(5)
    channel.close()
    assert all(one.closed for one in opened)


def test_without_tls_a_channel_goes_to_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    open_channel("127.0.0.1:1", options=()).close()
    with pytest.raises(InvalidInput, match=r"RETAIN_TLS_CA: is not set, and a token would travel to far\.example:1"):
        open_channel("far.example:1", options=())
