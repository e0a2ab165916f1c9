"""A reader connects to the internet and to the servers that the operator chose; everything else is refused there."""

import socket
import subprocess
import sys

import pytest

from model.child_process.egress import check, chosen_addresses, is_public
from model.errors import BadSource

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "localhost", "evil.example",
    "2130706433", "",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_of_machine_cluster_and_cloud_are_refused(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(BadSource):
        check(socket.AF_INET, (address, 80), frozenset())


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_allowed(address: str) -> None:
    assert is_public(address)
    check(socket.AF_INET6, (address, 443, 0, 0), frozenset())


def test_servers_that_the_settings_name_are_allowed_on_their_port_only() -> None:
    chosen = chosen_addresses({"HF_ENDPOINT": "http://127.0.0.1:8080"})
    check(socket.AF_INET, ("127.0.0.1", 8080), chosen)
    with pytest.raises(BadSource):
        check(socket.AF_INET, ("127.0.0.1", 8081), chosen)
    with pytest.raises(BadSource):
        check(socket.AF_UNIX, "/run/docker.sock", chosen)


def test_a_guarded_process_does_not_connect_whatever_library_tries() -> None:
    """Names are looked up by the library, a redirect is followed by it: both end at the same connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"""
import asyncio, http.client, urllib.request
from model.child_process import egress
egress.guard({{}})
def tried(call):
    try:
        call()
    except BaseException as error:
        return type(error).__name__
    return "connected"
print(tried(lambda: urllib.request.urlopen("http://localhost:{port}/", timeout=3)))
print(tried(lambda: http.client.HTTPConnection("127.0.0.1", {port}, timeout=3).connect()))
print(tried(lambda: asyncio.run(asyncio.open_connection("127.0.0.1", {port}))))
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout.split() == ["BadSource"] * 3
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
