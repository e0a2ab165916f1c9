"""A token travels in plain text on loopback alone, or where somebody said so in so many words."""

from collections.abc import Mapping

from retain.values.addresses import ALLOW_PLAIN_TEXT, plain_text_fault
from services.common.errors import InvalidInput, Violation


def check_plain_text(address: str, environ: Mapping[str, str]) -> None:
    """Raises InvalidInput for an address off this machine, unless the environment says that the network between is
    private."""
    if said := plain_text_fault(address, environ.get(ALLOW_PLAIN_TEXT)):
        raise InvalidInput([Violation(field="RETAIN_TLS_CA", description=said)])
