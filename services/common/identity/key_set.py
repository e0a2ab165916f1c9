"""The public keys of an identity provider, kept: a call costs a look-up, and an outage of the provider nothing.

Keys are fetched when the first one is asked for, every ten minutes beside the calls, and when a token names a key that
is not known, because the provider has a new one. Whoever sends tokens with invented key ids makes this server ask once
in some seconds, whatever it answers; the others wait for nothing. Keys that are known stay good while the provider is
away, for a day: tokens that it signed before then have long expired.
"""

import asyncio
import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from jwt import PyJWK, PyJWKClient
from jwt.exceptions import PyJWTError

from services.common.errors import RetainError, Unauthenticated, Unavailable
from services.common.logging import get_logger

FETCHED_EVERY_S = 600.0
ASKED_AGAIN_AFTER_S = 5.0  # for a key that is not known, and after a fetch that failed
KEPT_S = 86_400.0
TIMEOUT_S = 5.0
LARGEST_DOCUMENT = 1024 * 1024  # bytes
WELL_KNOWN = "/.well-known/openid-configuration"
Keys = Mapping[str, PyJWK]
log = get_logger(__name__)


class KeySet:
    """`fetch` blocks and returns all keys by their ids, or raises Unavailable."""

    def __init__(self, fetch: Callable[[], Keys], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._now_s = fetch, now_s
        self._keys: Keys = {}
        self._fetched_s = self._tried_s = float("-inf")
        self._fault: Unavailable | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> PyJWK:
        """Raises Unauthenticated for one that the provider does not have, Unavailable when it cannot be asked."""
        now_s = self._now_s()
        known = self._keys.get(key_id) if now_s - self._fetched_s < KEPT_S else None
        if known is not None:
            if now_s - self._fetched_s >= FETCHED_EVERY_S and now_s - self._tried_s >= ASKED_AGAIN_AFTER_S:
                self._refetch()  # beside the call
            return known
        if self._fetching is not None or now_s - self._tried_s >= ASKED_AGAIN_AFTER_S:
            # A caller that goes away takes nobody's keys with it.
            await asyncio.shield(self._refetch())
            known = self._keys.get(key_id) if self._now_s() - self._fetched_s < KEPT_S else None
        if known is not None:
            return known
        if self._fault is not None:
            raise Unavailable(self._fault.message, reason=self._fault.reason)
        raise Unauthenticated(
            "the token is signed by a key that its provider does not have", reason="TOKEN_KEY_UNKNOWN"
        )

    def _refetch(self) -> asyncio.Task[None]:
        """One fetch at a time, shared by all who wait for it."""
        if self._fetching is None:
            self._tried_s = self._now_s()
            self._fetching = asyncio.get_running_loop().create_task(self._take())
        return self._fetching

    async def _take(self) -> None:
        try:
            self._keys = await asyncio.to_thread(self._fetch)
            self._fetched_s, self._fault = self._now_s(), None
        except Unavailable as fault:
            self._fault = fault
            log.warning(
                "the keys of the identity provider were not fetched", message=fault.message, known=len(self._keys)
            )
        finally:
            self._fetching = None


def from_provider(issuer: str, *, context: ssl.SSLContext | None = None) -> Callable[[], Keys]:
    """What fetches the keys that the discovery document of `issuer` names (OpenID Connect Discovery 1.0)."""

    def fetch() -> Keys:
        try:
            document = _read(issuer.rstrip("/") + WELL_KNOWN, context)
            if document.get("issuer") != issuer:
                raise _fault(issuer, f"its discovery document is of {str(document.get('issuer'))[:200]!r}")
            client = PyJWKClient(
                str(document.get("jwks_uri")), cache_jwk_set=False, timeout=TIMEOUT_S, ssl_context=context
            )
            return {str(key.key_id): key for key in client.get_signing_keys()}
        except RetainError:
            raise
        except (OSError, ValueError, AttributeError, http.client.HTTPException, PyJWTError) as error:
            raise _fault(issuer, str(error)[:500]) from error

    return fetch


def _read(url: str, context: ssl.SSLContext | None) -> Any:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context) as response:
        return json.loads(response.read(LARGEST_DOCUMENT))


def _fault(issuer: str, why: str) -> Unavailable:
    said = f"the identity provider {issuer} cannot be asked for its keys ({why}); API tokens work without it"
    return Unavailable(said, reason="IDENTITY_PROVIDER_UNREACHABLE")
