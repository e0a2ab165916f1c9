"""Makes the secrets of a release that are not there, once: the program of the chart's hook Job.

    RETAIN_BOOTSTRAP='[{"name": "retain-ray", "keys": {"auth_token": {"hex": 64}}}]' python -m deploy.bootstrap

Runs in a pod whose service account may create secrets, and read and patch those that it names. A secret that exists
keeps every byte of its data; it is only marked to outlive an upgrade or an uninstall (an earlier chart made it part of
the release, and helm would delete it as soon as the chart no longer holds it). One that lacks a key is refused by name:
who made it must complete it. Values of secrets are never printed.

Each key is made from a recipe, one word and its argument: {"value": TEXT} as it is, {"alphanumeric": N} or {"hex": N}
N random characters. Further kinds of secrets (a certificate authority, tokens) are further recipes.
"""

import base64
import http.client
import json
import os
import secrets
import ssl
import string
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KEEP = {"helm.sh/resource-policy": "keep"}
CALL_TIMEOUT_S = 10.0
# A pod's network and the API server may need a moment; the Job tries again besides.
PATIENCE_S = 60.0
PAUSE_S = 1.0
TRY_LATER = frozenset({408, 429, 500, 502, 503, 504})

RECIPES: dict[str, Callable[[Any], str]] = {
    "value": str,
    "alphanumeric": lambda n: "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(n)),
    "hex": lambda n: "".join(secrets.choice("0123456789abcdef") for _ in range(n)),
}


class BootstrapFailed(RuntimeError):
    """A secret that can be neither used nor made; the message says which and what to do."""


class NoAnswer(BootstrapFailed):
    """The API server said nothing of use for as long as the patience lasts: another try may find it."""


class Refused(RuntimeError):
    """An answer of the API server other than success. `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A secret: its name, what identifies it to people and to helm, and a recipe for each key."""

    name: str
    keys: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "list[Wanted]":
        """From JSON. Raises BootstrapFailed that names what is wrong."""
        try:
            found = [
                cls(
                    name=one["name"],
                    keys=one["keys"],
                    labels=one.get("labels") or {},
                    annotations=one.get("annotations") or {},
                )
                for one in json.loads(text)
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BootstrapFailed(
                f"RETAIN_BOOTSTRAP: a list of {{name, keys}} is expected ({type(error).__name__})"
            ) from error
        for one in found:
            for key, recipe in one.keys.items():
                if len(recipe) != 1 or not set(recipe) <= RECIPES.keys():
                    came = f"got {sorted(recipe)}; one of {sorted(RECIPES)} is allowed"
                    raise BootstrapFailed(f"RETAIN_BOOTSTRAP: {one.name}.{key}: {came}")
        return found


@dataclass(frozen=True, kw_only=True)
class Api:
    """The secrets of one namespace, over the API server's REST interface. `account` holds token and ca.crt."""

    server: str
    namespace: str
    account: Path

    @classmethod
    def in_cluster(cls, env: Mapping[str, str], account: Path = ACCOUNT) -> "Api":
        """From what Kubernetes gives every pod. Raises BootstrapFailed outside of one."""
        try:
            host, port = env["KUBERNETES_SERVICE_HOST"], env.get("KUBERNETES_SERVICE_PORT", "443")
            namespace = (account / "namespace").read_text().strip()
        except (KeyError, OSError) as error:
            raise BootstrapFailed(f"not in a pod with a service account's token: {error}") from error
        return cls(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}", namespace=namespace, account=account
        )

    def get(self, name: str) -> dict[str, Any] | None:
        """The secret, None when there is none. Raises Refused or OSError."""
        try:
            return self._call("GET", f"/{name}")
        except Refused as refused:
            if refused.code == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def create(self, secret: Mapping[str, Any]) -> bool:
        """Whether it was made; False when another was faster. Raises Refused or OSError."""
        try:
            self._call("POST", "", body=secret)
        except Refused as refused:
            if refused.code == http.HTTPStatus.CONFLICT:
                return False
            raise
        return True

    def annotate(self, name: str, annotations: Mapping[str, str]) -> None:
        """Add annotations and touch nothing else. Raises Refused or OSError."""
        body = {"metadata": {"annotations": dict(annotations)}}
        self._call("PATCH", f"/{name}", body=body, kind="application/merge-patch+json")

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.server}/api/v1/namespaces/{self.namespace}/secrets{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            # Read for each call: Kubernetes replaces the token while the pod runs.
            headers={"Authorization": f"Bearer {(self.account / 'token').read_text().strip()}", "Content-Type": kind},
        )
        trust = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        # A proxy for the world outside is none for the cluster's own API.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        try:
            with opener.open(request, timeout=CALL_TIMEOUT_S) as reply:
                answer: dict[str, Any] = json.load(reply)
                return answer
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _reason(error)) from error


def _reason(error: urllib.error.HTTPError) -> str:
    """The message of Kubernetes' Status object, else the HTTP reason."""
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)


def provide(api: Api, wanted: Wanted) -> str:
    """See that the secret is there, and say what was done. Raises BootstrapFailed, Refused or OSError."""
    found = api.get(wanted.name)
    if found is None and api.create(_made(wanted)):
        return "made"
    found = found or api.get(wanted.name)
    if found is None:
        raise Refused(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{wanted.name} appeared and vanished again")
    held = found.get("data") or {}
    missing = sorted(key for key in wanted.keys if not held.get(key))
    if missing:
        raise BootstrapFailed(
            f"secret {wanted.name} exists without a value for {', '.join(missing)}: add it (or delete the secret, and "
            "a new one is made); an existing secret is never changed here"
        )
    other = sorted(
        key
        for key, recipe in wanted.keys.items()
        if "value" in recipe and base64.b64decode(held[key]).decode(errors="replace") != recipe["value"]
    )
    annotations = (found.get("metadata") or {}).get("annotations") or {}
    if any(annotations.get(key) != value for key, value in KEEP.items()):
        api.annotate(wanted.name, KEEP)
    return "kept" + (f"; its {', '.join(other)} differs from the values, and stays" if other else "")


def _made(wanted: Wanted) -> dict[str, Any]:
    data = {}
    for key, recipe in wanted.keys.items():
        ((word, argument),) = recipe.items()
        data[key] = base64.b64encode(RECIPES[word](argument).encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": wanted.name,
            "labels": dict(wanted.labels),
            "annotations": {**wanted.annotations, **KEEP},
        },
        "data": data,
    }


def provide_patiently(api: Api, wanted: Wanted, *, patience_s: float = PATIENCE_S, pause_s: float = PAUSE_S) -> str:
    """`provide`, again while the API server does not answer or asks to come later. Raises BootstrapFailed."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return provide(api, wanted)
        except Refused as refused:
            if refused.code not in TRY_LATER or time.monotonic() > deadline:
                failure = NoAnswer if refused.code in TRY_LATER else BootstrapFailed
                raise failure(f"secret {wanted.name}: the API server answers {refused.code}: {refused}") from refused
            cause: Exception = refused
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() > deadline:
                raise NoAnswer(
                    f"secret {wanted.name}: no answer from {api.server} in {patience_s:.0f} s: {error}"
                ) from error
            cause = error
        print(f"secret {wanted.name}: again in {pause_s:.0f} s ({cause})", flush=True)
        time.sleep(pause_s)


def main() -> int:
    """Entry point: 0 when every secret is there; else the reason, and 1 when another try may help, 2 when none will."""
    try:
        wanted = Wanted.parse(os.environ.get("RETAIN_BOOTSTRAP", ""))
        api = Api.in_cluster(os.environ)
        for one in wanted:
            print(f"secret {one.name}: {provide_patiently(api, one)}", flush=True)
    except BootstrapFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, NoAnswer) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
