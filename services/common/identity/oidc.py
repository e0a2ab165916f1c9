"""People, by the signed tokens of an identity provider (OpenID Connect Core 1.0, RFC 7519, RFC 8725).

A signature costs some tenths of a millisecond to verify, and people make many calls with one token: what was verified
is kept until the token expires or the provider's keys are fetched again, whichever comes first.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cachetools import LRUCache
from jwt import PyJWK
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    MissingRequiredClaimError,
    PyJWTError,
)

from services.common.errors import Unauthenticated
from services.common.identity.claims import ClaimsMap
from services.common.identity.key_set import KeySet
from services.common.identity.principal import Principal
from services.common.identity.tokens import Authenticator, digest_of

# Signatures by a key pair alone: with `none` or with a shared secret, which a public key could pass for, anybody signs.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
TYPES = (None, "JWT", "at+jwt", "application/at+jwt")  # a provider signs other things with the same keys, too
LEEWAY_S = 30.0
MOST_KEPT = 4096  # verified tokens
_NEEDED = ("exp", "iat", "iss", "aud", "sub")
_DOTS = 2
_FAULTS: tuple[tuple[type[PyJWTError], str, str], ...] = (
    (ExpiredSignatureError, "TOKEN_EXPIRED", "the token has expired; log in again (`retain login`)"),
    (ImmatureSignatureError, "TOKEN_NOT_YET_GOOD", "the token is not good yet: a clock is wrong"),
    (InvalidAudienceError, "TOKEN_AUDIENCE", "the token was made for another audience, not for this installation"),
    (InvalidIssuerError, "TOKEN_ISSUER", "the token is of another issuer than this installation's provider"),
    (MissingRequiredClaimError, "TOKEN_CLAIMS", f"the token lacks one of the claims {', '.join(_NEEDED)}"),
)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Whose a token is, by which key, and until when (Unix seconds)."""

    principal: Principal
    key: PyJWK
    until_s: float


class OidcTokens(Authenticator):
    """Verifies signature, issuer, audience and times. Claims become a principal in claims.py."""

    def __init__(self, keys: KeySet, claims: ClaimsMap, *, issuer: str, audience: Sequence[str]) -> None:
        self._keys, self._claims = keys, claims
        self._issuer, self._audience = issuer, list(audience)
        self._verified: LRUCache[str, Verified] = LRUCache(MOST_KEPT)

    async def authenticate(self, token: str) -> Principal | None:
        """See Authenticator. What has the form of a signed token is of this kind. Raises Unauthenticated for one that
        is not good, Unavailable when its key is not known and the provider cannot be asked."""
        if token.count(".") != _DOTS:
            return None
        digest = digest_of(token)
        kept = self._verified.get(digest)
        if kept and time.time() < kept.until_s and await self._keys.key(str(kept.key.key_id)) is kept.key:
            return kept.principal
        verified = self._verified[digest] = await self._verify(token)
        return verified.principal

    async def _verify(self, token: str) -> Verified:
        try:
            header = jwt.get_unverified_header(token)
            _check_header(header)
            key = await self._keys.key(header["kid"])
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": list(_NEEDED)},
            )
            until_s = float(claims["exp"]) + LEEWAY_S
        except (PyJWTError, ValueError, RecursionError, OverflowError) as error:
            raise _refusal(error) from None
        return Verified(principal=self._claims.principal(claims), key=key, until_s=until_s)


def _check_header(header: dict[str, Any]) -> None:
    """Before any key is asked for. Raises Unauthenticated."""
    if header.get("alg") not in ALGORITHMS:
        said = f"the token is signed by {str(header.get('alg'))[:20]!r}; expected one of {', '.join(ALGORITHMS)}"
        raise Unauthenticated(said, reason="TOKEN_ALGORITHM")
    if not isinstance(header.get("kid"), str):
        raise Unauthenticated("the token names no key (kid)", reason="TOKEN_KEY_UNKNOWN")
    if header.get("typ") not in TYPES:
        raise Unauthenticated("the token is of a type that lets nobody in", reason="TOKEN_TYPE")


def _refusal(error: Exception) -> Unauthenticated:
    for kind, reason, said in _FAULTS:
        if isinstance(error, kind):
            return Unauthenticated(said, reason=reason)
    return Unauthenticated("the token is not one that its provider signed", reason="TOKEN_FORGED")
