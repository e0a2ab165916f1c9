"""A small identity provider over real HTTP, by authlib: discovery, keys that rotate, the authorization code flow with
PKCE, the device flow (RFC 8628), refresh tokens that are good once, revocation.

People log in by typing their name. What the provider does can be changed while it serves: how long tokens are good, who
is in which group, and whether it answers at all.
"""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    DEVICE_CODE_GRANT_TYPE,
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)
from authlib.oidc.core.grants import OpenIDCode, OpenIDToken
from flask import Flask, request
from joserfc import jwt
from joserfc.jwk import Key, RSAKey
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

COMMAND, PANEL, PANEL_SECRET = "retain-cli", "retain-panel", "secret-of-the-panel-in-the-tests-0123456"
GROUPS = {
    "ada": ["retain-operator", "everybody"],
    "vic": ["retain-viewer"],
    "root": ["retain-admin"],
    "out": ["others"],
}
FORM = '<form method="post"><input name="who" autofocus><button name="answer" value="{value}">{label}</button></form>'


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@dataclass(frozen=True)
class Client(ClientMixin):
    """The public one of the command, or the panel's with a secret."""

    name: str

    def get_client_id(self) -> str:
        return self.name

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith("http://127.0.0.1:") and redirect_uri.endswith("/oauth2callback")

    def check_client_secret(self, client_secret: str) -> bool:
        return self.name == PANEL and secrets.compare_digest(client_secret, PANEL_SECRET)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method == "none") == (self.name == COMMAND)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        own = "authorization_code" if self.name == PANEL else DEVICE_CODE_GRANT_TYPE
        return grant_type in (own, "refresh_token")


@dataclass(frozen=True, kw_only=True)
class Code(AuthorizationCodeMixin):
    """An authorization code that was given out."""

    code: str
    who: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Refresh(TokenMixin):
    """A refresh token that was given out."""

    text: str
    who: str
    client: str
    scope: str

    def check_client(self, client: Client) -> bool:
        return self.client == client.name

    def get_scope(self) -> str:
        return self.scope


@dataclass(kw_only=True)
class Provider:
    """What it holds, and what tests do to it."""

    issuer: str = ""
    lifetime_s: float = 3600.0
    groups: dict[str, list[str]] = field(default_factory=lambda: {who: list(held) for who, held in GROUPS.items()})
    key: Key = field(default_factory=lambda: _FIRST_KEY)
    published: list[Key] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    devices: dict[str, DeviceCredentialDict] = field(default_factory=dict)
    answers: dict[str, tuple[str, bool]] = field(default_factory=dict)  # user code: who, allowed
    refreshes: dict[str, Refresh] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # paths, in the order in which they were asked for
    tls: tuple[str, str] | None = None  # files of its certificate and key
    _server: BaseWSGIServer | None = None

    def token(
        self, who: str = "ada", *, key: Key | None = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token as it signs them, but for the claims that are given; None leaves one out."""
        now = int(time.time())
        said = {"iss": self.issuer, "aud": COMMAND, "sub": who, "iat": now, "exp": now + int(self.lifetime_s)}
        said |= {"groups": self.groups.get(who, []), "email": f"{who}@example.org", "email_verified": True} | claims
        key = key or self.key
        head = {"alg": "RS256", "kid": key.kid} | dict(header or {})
        return jwt.encode(_without_none(head), _without_none(said), key)

    def rotate(self, *, keep: bool = True) -> None:
        """Sign with a new key; the old one stays published or does not."""
        self.key = _new_key()
        self.published = [*(self.published if keep else []), self.key]

    def allow(self, user_code: str, who: str = "ada", *, allowed: bool = True) -> None:
        """As the person does on the provider's page."""
        self.answers[user_code] = (who, allowed)

    def start(self, port: int = 0) -> None:
        self._server = make_server(
            "127.0.0.1", port, _app(self), threaded=True, request_handler=Quiet, ssl_context=self.tls
        )
        self.issuer = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def restart(self) -> None:
        """On the port that it had."""
        self.start(int(self.issuer.rpartition(":")[2]))


@contextmanager
def provider(tls: tuple[str, str] | None = None) -> Iterator[Provider]:
    """One that serves."""
    made = Provider(tls=tls)
    made.published = [made.key]
    made.start()
    try:
        yield made
    finally:
        made.stop()


def settings(issuer: str) -> dict[str, str]:
    """The environment of an orchestrator that trusts it."""
    return {
        "RETAIN_OIDC_ISSUER": issuer,
        "RETAIN_OIDC_AUDIENCE": f"{COMMAND},{PANEL}",
        "RETAIN_OIDC_SCOPES": "openid profile email offline_access",
    }


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _new_key() -> Key:
    return RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256"}, auto_kid=True)


_FIRST_KEY = _new_key()  # making one takes a while


def _app(held: Provider) -> Flask:
    app = Flask(__name__)
    app.config.update(OAUTH2_REFRESH_TOKEN_GENERATOR=True)

    def save(token: dict[str, Any], asked: Any) -> None:
        if text := token.get("refresh_token"):
            held.refreshes[text] = Refresh(text=text, who=asked.user, client=asked.client.name, scope=token["scope"])

    server = AuthorizationServer(
        app, query_client=lambda name: Client(name) if name in (COMMAND, PANEL) else None, save_token=save
    )
    for grant, *extensions in _grants(held):
        server.register_grant(grant, extensions)
    for endpoint in _endpoints(held):
        server.register_endpoint(endpoint)
    _pages(app, held, server)
    return app


def _grants(held: Provider) -> list[tuple[Any, ...]]:
    class Signed:
        """The ID token of each answer."""

        def exists_nonce(self, nonce: str, asked: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: Client) -> Key:
            return held.key

        def get_client_algorithm(self, client: Client) -> str:
            return "RS256"

        def get_encode_header(self, client: Client) -> dict[str, Any]:
            return {"alg": "RS256", "kid": held.key.kid}

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            return {"iss": held.issuer, "aud": client.name, "exp": int(time.time() + held.lifetime_s)}

        def generate_user_info(self, user: str, scope: str) -> dict[str, Any]:
            return {
                "sub": user,
                "email": f"{user}@example.org",
                "email_verified": True,
                "groups": held.groups.get(user, []),
            }

    class WithCode(Signed, OpenIDCode):
        pass

    class Alone(Signed, OpenIDToken):
        pass

    class ByCode(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

        def save_authorization_code(self, code: str, asked: Any) -> None:
            data = asked.payload.data
            held.codes[code] = Code(
                code=code,
                who=asked.user,
                redirect_uri=asked.payload.redirect_uri,
                scope=asked.payload.scope,
                nonce=data.get("nonce"),
                code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return held.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del held.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> str:
            return authorization_code.who

    class ByDevice(DeviceCodeGrant):
        def query_device_credential(self, device_code: str) -> DeviceCredentialDict | None:
            return held.devices.get(device_code)

        def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
            return held.answers.get(user_code)

        def should_slow_down(self, credential: DeviceCredentialDict) -> bool:
            return False

    class ByRefresh(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post")
        INCLUDE_NEW_REFRESH_TOKEN = True  # each is good once

        def authenticate_refresh_token(self, refresh_token: str) -> Refresh | None:
            return held.refreshes.get(refresh_token)

        def authenticate_user(self, refresh_token: Refresh) -> str:
            return refresh_token.who

        def revoke_old_credential(self, refresh_token: Refresh) -> None:
            del held.refreshes[refresh_token.text]

    return [(ByCode, CodeChallenge(required=True), WithCode()), (ByDevice, Alone()), (ByRefresh, Alone())]


def _endpoints(held: Provider) -> list[Any]:
    class Device(DeviceAuthorizationEndpoint):
        INTERVAL = 1

        def get_verification_uri(self) -> str:
            return f"{held.issuer}/device"

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            expires = time.time() + data["expires_in"]
            held.devices[data["device_code"]] = DeviceCredentialDict(
                client_id=client_id, scope=scope, expires_at=expires, **data
            )

    class Revocation(RevocationEndpoint):
        CLIENT_AUTH_METHODS = ("none", "client_secret_basic")

        def query_token(self, token_string: str, token_type_hint: str | None) -> Refresh | None:
            return held.refreshes.get(token_string)

        def revoke_token(self, token: Refresh, asked: Any) -> None:
            held.refreshes.pop(token.text, None)

    return [Device, Revocation]


def _pages(app: Flask, held: Provider, server: AuthorizationServer) -> None:
    @app.before_request
    def note() -> None:
        held.asked.append(request.path)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> dict[str, Any]:
        return {
            "issuer": held.issuer,
            "jwks_uri": f"{held.issuer}/keys",
            "authorization_endpoint": f"{held.issuer}/authorize",
            "device_authorization_endpoint": f"{held.issuer}/device_authorization",
            "token_endpoint": f"{held.issuer}/token",
            "revocation_endpoint": f"{held.issuer}/revoke",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in held.published]}

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        if request.method == "GET":
            return FORM.format(value="yes", label="Log in")
        grant = server.get_consent_grant(end_user=request.form["who"])
        return server.create_authorization_response(grant_user=request.form["who"], grant=grant)

    @app.route("/device", methods=["GET", "POST"])
    def device() -> str:
        if request.method == "GET":
            return FORM.format(value="yes", label="Allow")
        held.allow(request.args["user_code"], request.form["who"], allowed=request.form["answer"] == "yes")
        return "The device is connected."

    @app.post("/device_authorization")
    def device_authorization() -> Any:
        return server.create_endpoint_response(DeviceAuthorizationEndpoint.ENDPOINT_NAME)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.post("/revoke")
    def revoke() -> Any:
        return server.create_endpoint_response(RevocationEndpoint.ENDPOINT_NAME)
