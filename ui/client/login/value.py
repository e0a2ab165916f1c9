"""A login as it is kept: for one server, by one provider."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ui.client.errors import ClientError

EARLY_S, EARLY_SHARE = 60.0, 0.25  # a token is refreshed so long before its end, but not within its first part
UNSAID_S = 3600.0  # how long a token is good of which nobody says how long


@dataclass(frozen=True, kw_only=True)
class Login:
    """`token` is what calls carry; `refresh_token` gets the next one. Times are Unix seconds."""

    server: str
    issuer: str
    client_id: str
    sends: str  # `id` or `access`: which of the provider's tokens
    token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_s: float
    refresh_s: float  # from when on a new one is asked for

    @classmethod
    def of(cls, response: Mapping[str, Any], *, server: str, issuer: str, client_id: str, sends: str) -> "Login":
        """From a provider's answer. Raises ClientError for one without the token that the server wants."""
        token = response.get(f"{sends}_token")
        if not isinstance(token, str) or not token:
            said = f"{issuer} gave no {sends} token; the server asks for one (RETAIN_OIDC_TOKEN, RETAIN_OIDC_SCOPES)"
            raise ClientError(said, reason="LOGIN_INCOMPLETE")
        now_s = time.time()
        expires_s = _end_of(token) or now_s + float(response.get("expires_in") or UNSAID_S)
        early_s = min(EARLY_S, EARLY_SHARE * (expires_s - now_s))
        return cls(
            server=server,
            issuer=issuer,
            client_id=client_id,
            sends=sends,
            token=token,
            refresh_token=str(response.get("refresh_token") or ""),
            expires_s=expires_s,
            refresh_s=expires_s - early_s,
        )


def _end_of(token: str) -> float | None:
    """When a signed token ends, as it says itself; None for one that nobody can read. The server verifies it."""
    try:
        body = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None
