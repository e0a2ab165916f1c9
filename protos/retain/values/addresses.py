"""Which addresses only the own machine reaches, and what may travel to the others: for services and client alike."""

import ipaddress
from urllib.parse import urlsplit

ALLOW_PLAIN_TEXT = "RETAIN_ALLOW_PLAIN_TEXT"


def is_loopback(address: str) -> bool:
    """Whether `host:port` is reached from its own machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def keeps_secrets(url: str) -> bool:
    """Whether what is sent to a URL can be read by its server alone: https, or http on the own machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(f"{parts.hostname}:0"))


def plain_text_fault(address: str, allowed: str | None) -> str | None:
    """What is wrong with sending a token to `address` without TLS; None on loopback, and where RETAIN_ALLOW_PLAIN_TEXT
    (`allowed`) is 1: one cluster, one host of containers, a network that nobody else reaches."""
    if is_loopback(address) or allowed == "1":
        return None
    return (
        f"is not set, and a token would travel to {address} in plain text; expected TLS (the PEM file of who signed "
        f"its certificate), a loopback address, or {ALLOW_PLAIN_TEXT}=1 on a network that nobody else reaches"
    )
