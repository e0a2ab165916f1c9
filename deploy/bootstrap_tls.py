"""Secrets of TLS in a cluster: an authority that is made once, and certificates that it signs and renews.

Their keys are those of Kubernetes and cert-manager: tls.crt, tls.key, and in a certificate's secret ca.crt, whom its
holder trusts. That is all that the authority's own tls.crt holds: whoever changes the authority puts the new one first
and leaves the old one behind it until every certificate was renewed.
"""

import base64
import binascii
import datetime
import http
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.certificates import Authority, Pair, why_not
from deploy.kubernetes_api import Api, BootstrapFailed, Refused
from deploy.wanted_secrets import Wanted

KIND = "kubernetes.io/tls"
CERT, KEY, CA = "tls.crt", "tls.key", "ca.crt"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a certificate: `names` of hosts and addresses; without `server` it is good for calling alone."""

    authority: str
    name: str
    names: tuple[str, ...] = ()
    server: bool = True
    days: float = 90.0
    renew_days: float = 30.0

    @classmethod
    def of(cls, wanted: Wanted) -> "Asked":
        """Raises BootstrapFailed that names what is wrong."""
        try:
            given = dict(wanted.certificate or {})
            return cls(**{**given, "names": tuple(given.get("names") or ())})
        except TypeError as error:
            raise BootstrapFailed(f"RETAIN_BOOTSTRAP: {wanted.name}.certificate: {error}") from error


def provide_authority(api: Api, wanted: Wanted) -> str:
    """See that the authority is there, and say what was done. Raises BootstrapFailed, Refused or OSError."""
    found = api.get(wanted.name)
    if found is None:
        pair = Authority.new(str((wanted.authority or {}).get("name") or "Retain")).pair
        if api.create(wanted.secret({CERT: pair.certificate, KEY: pair.key}, kind=KIND)):
            return "made"
        found = api.get(wanted.name) or {}
    _authority(wanted.name, found)
    return "kept"


def provide_certificate(api: Api, wanted: Wanted) -> str:
    """See that the certificate is there and good for a while, and say what was done. What is there is replaced at once,
    with its key. Raises BootstrapFailed, Refused or OSError."""
    asked = Asked.of(wanted)
    kept = api.get(asked.authority)
    if kept is None:
        raise Refused(http.HTTPStatus.SERVICE_UNAVAILABLE, f"its authority {asked.authority} is not there yet")
    authority = _authority(asked.authority, kept)
    trusted = _content(kept, CERT)
    found = api.get(wanted.name)
    if found is None:
        if api.create(wanted.secret(_issued(authority, asked, trusted), kind=KIND)):
            return "made"
        found = api.get(wanted.name) or {}
    left = datetime.timedelta(days=asked.renew_days)
    held = Pair(certificate=_content(found, CERT), key=_content(found, KEY))
    why = why_not(held, authority, names=asked.names, left=left)
    if not why and _content(found, CA) == trusted:
        return "kept"
    new = _issued(authority, asked, trusted) if why else {CA: trusted}
    api.replace_data(wanted.name, {key: base64.b64encode(value).decode() for key, value in new.items()})
    return f"renewed: {why}" if why else "kept; whom its holder trusts was changed as the authority's secret says"


def _issued(authority: Authority, asked: Asked, trusted: bytes) -> dict[str, bytes]:
    lifetime = datetime.timedelta(days=asked.days)
    pair = authority.issue(asked.name, names=asked.names, server=asked.server, lifetime=lifetime)
    return {CERT: pair.certificate, KEY: pair.key, CA: trusted}


def _authority(name: str, secret: Mapping[str, Any]) -> Authority:
    try:
        return Authority.load(Pair(certificate=_content(secret, CERT), key=_content(secret, KEY)))
    except (ValueError, TypeError) as error:
        raise BootstrapFailed(
            f"secret {name} holds no authority in {CERT} and {KEY} ({error}): mend it, or delete it, and a new one is "
            "made, which clients have to be told"
        ) from error


def _content(secret: Mapping[str, Any], key: str) -> bytes:
    """Empty for a key that is not there or no base64."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "", validate=True)
    except (binascii.Error, ValueError):
        return b""
