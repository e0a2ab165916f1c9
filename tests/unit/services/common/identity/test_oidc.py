"""Tokens of a real provider over HTTP: good ones, and every way in which one is not."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey

from deploy.certificates import Authority
from services.common.errors import InvalidInput, Unauthenticated, Unavailable
from services.common.identity.key_set import FETCHED_EVERY_S, KeySet, from_provider
from services.common.identity.oidc import LEEWAY_S, OidcTokens
from services.common.identity.oidc_settings import OidcSettings
from services.common.identity.principal import Kind, Role
from tests.identity import ADMIN
from tests.identity_provider import COMMAND, Provider, provider, settings
from tests.tls import Folder

STRANGERS = RSAKey.generate_key(2048, auto_kid=True)


@pytest.fixture
def people() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def tokens(people: Provider, monkeypatch: pytest.MonkeyPatch) -> OidcTokens:
    for name, value in settings(people.issuer).items():
        monkeypatch.setenv(name, value)
    made = OidcSettings().tokens()
    assert isinstance(made, OidcTokens)
    return made


async def refused(tokens: OidcTokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.authenticate(token)
    assert token not in caught.value.message
    return caught.value.reason


async def test_a_good_token_is_a_person_with_the_roles_of_their_groups(people: Provider, tokens: OidcTokens) -> None:
    found = await tokens.authenticate(people.token("ada"))
    assert found is not None
    assert (found.subject, found.kind, found.roles) == ("oidc:ada", Kind.USER, {Role.OPERATOR})
    for aud in ("retain-panel", [COMMAND, "others"]):
        assert await tokens.authenticate(people.token("ada", aud=aud))
    for _ in range(20):
        await tokens.authenticate(people.token("vic"))
    assert people.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_what_has_not_the_form_of_a_signed_token_is_of_another_kind(tokens: OidcTokens) -> None:
    for token in (ADMIN, "", "a.b", "a.b.c.d", "retain_x"):
        assert await tokens.authenticate(token) is None


@pytest.mark.parametrize(
    ("claim", "from_now_s", "reason"),
    [
        ("exp", -LEEWAY_S - 60, "TOKEN_EXPIRED"),
        ("iat", LEEWAY_S + 600, "TOKEN_NOT_YET_GOOD"),
        ("nbf", LEEWAY_S + 600, "TOKEN_NOT_YET_GOOD"),
    ],
)
async def test_times_that_do_not_fit(
    people: Provider, tokens: OidcTokens, claim: str, from_now_s: float, reason: str
) -> None:
    assert await refused(tokens, people.token(**{claim: int(time.time() + from_now_s)})) == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "another-application"}, "TOKEN_AUDIENCE"),
        ({"aud": None}, "TOKEN_CLAIMS"),
        ({"aud": []}, "TOKEN_CLAIMS"),
        ({"iss": "https://evil.example"}, "TOKEN_ISSUER"),
        ({"iss": None}, "TOKEN_CLAIMS"),
        ({"exp": None}, "TOKEN_CLAIMS"),
        ({"exp": "soon"}, "TOKEN_FORGED"),
        ({"iat": None}, "TOKEN_CLAIMS"),
        ({"sub": None}, "TOKEN_CLAIMS"),
        ({"sub": "a\x1b[31m"}, "TOKEN_CLAIMS"),
    ],
    ids=str,
)
async def test_claims_that_do_not_fit(
    people: Provider, tokens: OidcTokens, claims: dict[str, Any], reason: str
) -> None:
    assert await refused(tokens, people.token(**claims)) == reason


async def test_half_a_minute_of_another_clock_is_forgiven(people: Provider, tokens: OidcTokens) -> None:
    assert await tokens.authenticate(people.token(exp=int(time.time() - LEEWAY_S + 10)))
    assert await tokens.authenticate(people.token(nbf=int(time.time() + LEEWAY_S - 10)))


async def test_what_was_verified_is_kept_until_keys_are_fetched_again(people: Provider, tokens: OidcTokens) -> None:
    token = people.token()
    first = await tokens.authenticate(token)
    assert await tokens.authenticate(token) is first
    people.rotate(keep=False)
    tokens._keys._fetched_s -= FETCHED_EVERY_S
    tokens._keys._tried_s -= FETCHED_EVERY_S
    assert await tokens.authenticate(people.token("vic"))
    assert await refused(tokens, token) == "TOKEN_KEY_UNKNOWN"


async def test_a_token_that_was_verified_expires(people: Provider, tokens: OidcTokens) -> None:
    token = people.token(exp=int(time.time() - LEEWAY_S + 3))
    assert await tokens.authenticate(token)
    await asyncio.sleep(3.1)
    assert await refused(tokens, token) == "TOKEN_EXPIRED"


async def test_forged_signatures(people: Provider, tokens: OidcTokens) -> None:
    good = people.token()
    head, body, signature = good.split(".")
    anothers = STRANGERS
    assert await refused(tokens, people.token(key=anothers)) == "TOKEN_KEY_UNKNOWN"
    assert await refused(tokens, people.token(key=anothers, header={"kid": people.key.kid})) == "TOKEN_FORGED"
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = _part(claims | {"groups": ["retain-admin"]})
    assert await refused(tokens, f"{head}.{changed}.{signature}") == "TOKEN_FORGED"
    assert await refused(tokens, f"{head}.{body}.{signature[:-4]}AAAA") == "TOKEN_FORGED"
    assert await refused(tokens, f"{head}.{body}.") == "TOKEN_FORGED"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "HS512", "", None, 7, ["RS256"], "RS1"])
async def test_algorithms_that_anybody_could_sign_with(people: Provider, tokens: OidcTokens, algorithm: Any) -> None:
    head = _part({"alg": algorithm, "kid": people.key.kid, "typ": "JWT"})
    _, body, signature = people.token().split(".")
    assert await refused(tokens, f"{head}.{body}.") in ("TOKEN_ALGORITHM", "TOKEN_FORGED")
    assert await refused(tokens, f"{head}.{body}.{signature}") in ("TOKEN_ALGORITHM", "TOKEN_FORGED")


async def test_the_public_key_is_no_shared_secret(people: Provider, tokens: OidcTokens) -> None:
    """HS256 over each form of the public key that somebody has tried (CVE-2015-9235, CVE-2022-29217)."""
    public = people.key
    forms = [
        public.as_pem(private=False),
        public.as_der(private=False),
        json.dumps(public.as_dict(private=False)).encode(),
    ]
    _, body, _ = people.token().split(".")
    head = _part({"alg": "HS256", "kid": people.key.kid, "typ": "JWT"})
    for secret in (*forms, *(form.strip() for form in forms), b""):
        signature = _bytes(hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest())
        assert await refused(tokens, f"{head}.{body}.{signature}") == "TOKEN_ALGORITHM"


async def test_headers_bring_no_key_of_their_own(people: Provider, tokens: OidcTokens) -> None:
    own = STRANGERS
    embedded = own.as_dict(private=False)
    for extra in ({"jwk": embedded}, {"jku": "http://127.0.0.1:9/keys"}, {"x5u": "http://127.0.0.1:9/"}):
        header = {"alg": "RS256", "kid": people.key.kid, **extra}
        signed = jws.serialize_compact(header, b"{}", own, registry=jws.JWSRegistry(strict_check_header=False))
        assert await refused(tokens, signed) == "TOKEN_FORGED"


async def test_what_else_a_provider_signs_is_no_token(people: Provider, tokens: OidcTokens) -> None:
    assert await refused(tokens, people.token(header={"typ": "logout+jwt"})) == "TOKEN_TYPE"
    assert await refused(tokens, people.token(header={"kid": None})) == "TOKEN_KEY_UNKNOWN"
    assert await tokens.authenticate(people.token(header={"typ": "at+jwt"}))
    encoded = jwt.encode({"alg": "HS256"}, {"sub": "ada"}, OctKey.generate_key(256))
    assert await refused(tokens, encoded) == "TOKEN_ALGORITHM"


@pytest.mark.parametrize("head", ["", "!!", "e30", "W10", "bnVsbA", "[" * 900, "\u00e9"])
async def test_heads_that_are_none(tokens: OidcTokens, head: str) -> None:
    for text in (head, _bytes(head.encode() * 3)):
        assert await refused(tokens, f"{text}.e30.AAAA") in ("TOKEN_FORGED", "TOKEN_ALGORITHM")


async def test_a_provider_changes_its_key_while_calls_are_under_way(people: Provider, tokens: OidcTokens) -> None:
    before = people.token()
    assert await tokens.authenticate(before)
    tokens._keys._tried_s -= 10
    people.rotate()
    assert await tokens.authenticate(people.token())
    assert await tokens.authenticate(before)
    assert people.asked.count("/keys") == 2


async def test_a_provider_that_is_away(people: Provider, tokens: OidcTokens) -> None:
    good, unknown = people.token(), people.token(key=STRANGERS)
    people.stop()
    with pytest.raises(Unavailable, match=r"the identity provider http://127\.0\.0\.1:\d+ cannot be asked") as caught:
        await tokens.authenticate(good)
    assert caught.value.reason == "IDENTITY_PROVIDER_UNREACHABLE"
    people.restart()
    tokens._keys._tried_s -= 10
    assert await tokens.authenticate(good)
    people.stop()
    assert await tokens.authenticate(good), "known keys stay good"
    tokens._keys._tried_s -= 10
    with pytest.raises(Unavailable):
        await tokens.authenticate(unknown)


async def test_a_provider_with_a_certificate_of_the_installations_own_authority(
    tmp_path: Path,
) -> None:
    files = Folder(tmp_path, Authority.new("tests"))
    with provider(tls=(str(files.cert), str(files.key))) as people:
        settings = OidcSettings(issuer=people.issuer, audience=COMMAND)
        stranger, known = settings.tokens(), settings.model_copy(update={"ca": files.ca}).tokens()
        assert stranger
        assert known
        assert await known.authenticate(people.token())
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.authenticate(people.token())


async def test_a_provider_that_says_it_is_another_is_not_asked_further(people: Provider) -> None:
    wrong = people.issuer.replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="its discovery document is of"):
        await KeySet(from_provider(wrong)).key("any")
    assert "/keys" not in people.asked


async def test_a_server_that_is_no_provider(tmp_path: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"
        silent.close()
        with pytest.raises(Unavailable, match="cannot be asked"):
            await KeySet(from_provider(where)).key("any")


def test_settings_that_would_let_others_in_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OidcSettings().tokens() is None
    for name in ("ISSUER", "ROLES", "TOKEN", "CA", "SCOPES"):
        monkeypatch.setenv(f"RETAIN_OIDC_{name}", "")  # as a compose file sets what nobody gave
    assert OidcSettings() == OidcSettings.model_construct()
    with pytest.raises(InvalidInput, match=r"RETAIN_OIDC_ISSUER: got 'http://sso\.example'"):
        OidcSettings(issuer="http://sso.example", audience="a").tokens()
    with pytest.raises(InvalidInput, match="RETAIN_OIDC_AUDIENCE: is not set"):
        OidcSettings(issuer="https://sso.example", audience=" , ").tokens()
    with pytest.raises(InvalidInput, match="RETAIN_OIDC_ROLES"):
        OidcSettings(issuer="https://sso.example", audience="a", roles="all=worker").tokens()
    with pytest.raises(InvalidInput, match="RETAIN_OIDC_CA"):
        OidcSettings(issuer="https://sso.example", audience="a", ca="/no/such.pem").tokens()  # type: ignore[arg-type]
    assert OidcSettings(issuer="https://sso.example", audience="a,b").tokens() is not None
    assert OidcSettings(audience="a,b").client == "a"
    assert OidcSettings(audience="a,b", client_id="c").client == "c"


def _part(value: dict[str, Any]) -> str:
    return _bytes(json.dumps(value).encode())


def _bytes(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
