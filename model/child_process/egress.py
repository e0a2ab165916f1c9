"""Where a reader's process may connect to: public addresses, and the servers that its own settings name.

A data set's card may name addresses as its files, and a server may redirect to any: of the machine itself, of the
cluster, of a cloud's metadata service (169.254.169.254), which would tell keys (server-side request forgery, CWE-918).
The check is at the connection itself, on the numeric address that is connected to, so neither a redirect nor a name
that answers otherwise when it is asked again (DNS rebinding) gets around it. It cannot be taken off again (PEP 578).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from model.errors import BadSource

# Names of settings whose servers the operator of this installation chose.
_CHOSEN = ("HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_BY_DEFAULT = "https://huggingface.co"


def chosen_addresses(environ: Mapping[str, str]) -> frozenset[tuple[str, int]]:
    """(address, port) of the servers that the settings name, looked up now and not again."""
    found: set[tuple[str, int]] = set()
    for name in _CHOSEN:
        address = urlsplit(environ.get(name) or "")
        if address.hostname:
            port = address.port or (443 if address.scheme == "https" else 80)
            try:
                answers = socket.getaddrinfo(address.hostname, port, type=socket.SOCK_STREAM)
            except OSError:
                continue  # whoever connects will be told that the name is not known
            found |= {(str(answer[4][0]), port) for answer in answers}
    return frozenset(found)


def is_public(address: str) -> bool:
    """Whether an address is one of the internet: not loopback, private, link-local, shared, multicast or reserved.

    An IPv6 address that holds an IPv4 one (mapped, 6to4, NAT64, Teredo) is as public as that one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def guard(environ: Mapping[str, str] | None = None) -> None:
    """From here on this process connects to public addresses and chosen servers only; anything else raises BadSource
    where it connects."""
    chosen = chosen_addresses(os.environ if environ is None else environ)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            check(arguments[0].family, arguments[1], chosen)

    sys.addaudithook(look)


def check(family: int, address: Any, chosen: frozenset[tuple[str, int]]) -> None:
    """Raises BadSource unless a socket of this family may connect to the address."""
    if family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
        host, port = str(address[0]), int(address[1])
        if (host, port) in chosen or is_public(host):
            return
        got = f"the address {host}:{port}"
    else:
        got = "a connection to something on this machine"
    raise BadSource("network", got, "public addresses, and the servers that HF_ENDPOINT and the proxy settings name")
