"""What calls carry to say whose they are: a token that was named, else the login that the user made."""

from ui.client.address import Address
from ui.client.login.session import StoredLogin


class Credentials:
    """Asked anew for every call: a login is renewed while a client is in use. Safe to share between threads."""

    def __init__(self, address: Address) -> None:
        self._token = address.token
        self._login = StoredLogin(address.orchestrator) if address.login and address.token is None else None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The bearer token as call metadata. Raises ClientError when a login has ended."""
        token = self._login.token() if self._login is not None else self._token
        return (("authorization", f"Bearer {token}"),) if token else ()
