"""Bearer tokens: how they are made, kept as digests, and turned into principals."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol

from services.common.identity.principal import Kind, Principal, Role

SHORTEST_TOKEN, LONGEST_TOKEN = 32, 8192  # characters; a signed token of an identity provider has up to some thousand


def new_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is kept of a token: SHA-256, 64 hexadecimal digits. Tokens are random, so that a slow hash adds nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


class Authenticator(Protocol):
    """One way of knowing whose a token is."""

    async def authenticate(self, token: str) -> Principal | None:
        """The caller; None for a token that is not of this kind. Raises Unauthenticated for one of this kind that is
        good no more, and Unavailable when it cannot be said now."""
        ...


class KnownTokens(Authenticator):
    """A fixed list of tokens, kept as digests: those that an installation is started with."""

    def __init__(self, tokens: Mapping[str, Principal]) -> None:
        self._by_digest = {digest_of(token): principal for token, principal in tokens.items()}

    async def authenticate(self, token: str) -> Principal | None:
        return self._by_digest.get(digest_of(token))


class FirstOf(Authenticator):
    """Several ways, asked in order."""

    def __init__(self, ways: Sequence[Authenticator]) -> None:
        self._ways = tuple(ways)

    async def authenticate(self, token: str) -> Principal | None:
        for way in self._ways:
            if (principal := await way.authenticate(token)) is not None:
                return principal
        return None


def user(subject: str, *roles: Role) -> Principal:
    """A person."""
    return Principal(subject=subject, kind=Kind.USER, roles=frozenset(roles))


def service(subject: str) -> Principal:
    """A part of the platform."""
    return Principal(subject=subject, kind=Kind.SERVICE, roles=frozenset({Role.SERVICE}))
