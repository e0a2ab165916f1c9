"""Talks to an identity provider by authlib: the device flow (RFC 8628), refresh (RFC 6749), revocation (RFC 7009)."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from retain.values.addresses import keeps_secrets
from ui.client.errors import ClientError, MissingExtra, RefusedByServer, Unreachable

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
TIMEOUT_S = 10.0
INTERVAL_S, SLOWER_S = 5.0, 5.0  # RFC 8628, 3.2 and 3.5
WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, kw_only=True)
class Started:
    """What a person has to do: open `where` and find `user_code` there."""

    where: str
    user_code: str
    device_code: str = field(repr=False)
    interval_s: float
    expires_s: float  # Unix seconds


class Provider:
    """One identity provider as one public client of it. Every method raises a ClientError: Unreachable, RefusedByServer
    when the person or the provider says no, MissingExtra without the packages of the extra `login`."""

    def __init__(self, issuer: str, client_id: str, *, scopes: str = "", ca: str | None = None) -> None:
        _check(issuer)
        try:
            from authlib.integrations.requests_client import OAuth2Session
        except ImportError as error:
            said = f"logging in needs {error.name}, which `pip install 'retain[login]'` brings"
            raise MissingExtra(said, reason="MISSING_EXTRA") from error
        self._issuer = issuer
        self._session = OAuth2Session(client_id, scope=scopes, token_endpoint_auth_method="none")
        # In each call: a session's own counts less to requests than REQUESTS_CA_BUNDLE does.
        self._how = {"timeout": TIMEOUT_S, "verify": ca or True}
        self._client_id, self._scopes = client_id, scopes
        self._endpoints: Mapping[str, Any] = {}

    def begin(self) -> Started:
        """Ask for a code."""
        data = {"client_id": self._client_id, "scope": self._scopes}
        with self._errors():
            response = self._session.post(
                self._endpoint("device_authorization_endpoint"), data=data, withhold_token=True, **self._how
            )
            answer = response.json()
            if "device_code" not in answer:
                raise self._refusal(str(answer.get("error_description") or answer.get("error") or response.status_code))
            return Started(
                where=str(answer.get("verification_uri_complete") or answer["verification_uri"]),
                user_code=str(answer["user_code"]),
                device_code=str(answer["device_code"]),
                interval_s=float(answer.get("interval") or INTERVAL_S),
                expires_s=time.time() + float(answer["expires_in"]),
            )

    def wait(self, started: Started, *, sleep: Callable[[float], None] = time.sleep) -> Mapping[str, Any]:
        """The provider's answer, once the person has agreed."""
        from authlib.integrations.base_client import OAuthError

        interval_s = started.interval_s
        while time.time() < started.expires_s:
            sleep(interval_s)
            try:
                with self._errors(mapped=False):
                    return self._token(grant_type=GRANT, device_code=started.device_code)
            except OAuthError as error:
                if error.error == "slow_down":
                    interval_s += SLOWER_S
                elif error.error != "authorization_pending":
                    raise self._refusal(error.description or error.error) from error
            except Unreachable:
                interval_s = min(2 * interval_s, 30.0)  # RFC 8628, 3.5: a poll that found nobody is made again, later
        raise self._refusal("nobody confirmed the code in time")

    def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """The next tokens; the provider may have made the old refresh token void."""
        with self._errors():
            return self._token(grant_type="refresh_token", refresh_token=refresh_token)

    def revoke(self, refresh_token: str) -> bool:
        """Whether the provider knows how to end it, and did."""
        with self._errors():
            where = self._discovered().get("revocation_endpoint")
            if not where:
                return False
            done = self._session.revoke_token(where, token=refresh_token, token_type_hint="refresh_token", **self._how)
            return bool(done.status_code < 400)

    def _token(self, **arguments: str) -> Mapping[str, Any]:
        where = self._endpoint("token_endpoint")
        answer: Mapping[str, Any] = self._session.fetch_token(where, **self._how, **arguments)
        return answer

    def _endpoint(self, name: str) -> str:
        where = self._discovered().get(name)
        if not isinstance(where, str):
            raise self._refusal(f"it has no {name.replace('_', ' ')}")
        return where

    def _discovered(self) -> Mapping[str, Any]:
        if not self._endpoints:
            response = self._session.get(self._issuer.rstrip("/") + WELL_KNOWN, withhold_token=True, **self._how)
            response.raise_for_status()
            found = response.json()
            if found.get("issuer") != self._issuer:
                raise self._refusal(f"its discovery document is of {str(found.get('issuer'))[:200]!r}")
            self._endpoints = found
        return self._endpoints

    def _refusal(self, why: str) -> RefusedByServer:
        return RefusedByServer(f"the identity provider {self._issuer} refused: {why[:500]}", reason="LOGIN_REFUSED")

    @contextmanager
    def _errors(self, *, mapped: bool = True) -> Iterator[None]:
        """`mapped` says whether what the provider answers as an error becomes a ClientError, too."""
        from authlib.integrations.base_client import OAuthError
        from requests import RequestException

        try:
            yield
        except ClientError:
            raise
        except OAuthError as error:
            if not mapped:
                raise
            raise self._refusal(error.description or error.error) from error
        except (RequestException, ValueError, KeyError, AttributeError) as error:
            said = f"the identity provider {self._issuer} does not answer as one ({str(error)[:300]})"
            raise Unreachable(said, reason="IDENTITY_PROVIDER_UNREACHABLE") from error


def _check(issuer: str) -> None:
    """Tokens travel to it. Raises RefusedByServer for one that would get them in plain text."""
    if not keeps_secrets(issuer):
        said = f"the server names {issuer[:200]!r} as its identity provider; expected https://, or http:// on loopback"
        raise RefusedByServer(said, reason="LOGIN_REFUSED")
