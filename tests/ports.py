"""Ports for servers that tests start: free now, and still free when the server binds them.

A port that the kernel gives (bind to 0, close, tell the server) lies in the range from which it takes the ports of
outgoing connections, so any client of another test may have it before the server does. These lie below that range, and
above 10002 to 19999, where Ray keeps the ports of its workers and lets nobody else in.
"""

import random
import socket

LOOPBACK = "127.0.0.1"
RANGE = range(20_000, 22_700)  # the local stack's own spare ports begin above it
BESIDE = 10_000  # SeaweedFS takes a second port for gRPC, so far above the first

_random = random.SystemRandom()  # processes side by side must not draw alike, whatever a test seeds


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens, all different, nor on those BESIDE them."""
    found: list[int] = []
    while len(found) < count:
        port = _random.choice(RANGE)
        if port not in found and _is_free(port) and _is_free(port + BESIDE):
            found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
