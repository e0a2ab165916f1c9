"""Which addresses only the own machine reaches."""

import ipaddress


def is_loopback(address: str) -> bool:
    """Whether `host:port` is reached from its own machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
