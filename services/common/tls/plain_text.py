"""A token travels in plain text on loopback alone, or where somebody said so in so many words."""

from collections.abc import Mapping

from services.common.errors import InvalidInput, Violation
from services.common.tls.loopback import is_loopback

ALLOW = "RETAIN_ALLOW_PLAIN_TEXT"


def check_plain_text(address: str, environ: Mapping[str, str]) -> None:
    """Raises InvalidInput for an address off this machine, unless RETAIN_ALLOW_PLAIN_TEXT=1 says that the network
    between is private (one cluster, one host of containers)."""
    if is_loopback(address) or environ.get(ALLOW) == "1":
        return
    said = (
        f"is not set, and a token would travel to {address} in plain text; expected TLS (the PEM file of who signed "
        f"its certificate), a loopback address, or {ALLOW}=1 on a network that nobody else reaches"
    )
    raise InvalidInput([Violation(field="RETAIN_TLS_CA", description=said)])
