"""The secrets of a namespace, as a program in a pod reads and makes them: over the API server's REST interface."""

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_TIMEOUT_S = 10.0
# A pod's network and the API server may need a moment; the Job tries again besides.
PATIENCE_S = 60.0
PAUSE_S = 1.0
TRY_LATER = frozenset({408, 429, 500, 502, 503, 504})


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

    def replace_data(self, name: str, data: Mapping[str, str]) -> None:
        """Other contents (base64) for these keys, all at once. Raises Refused or OSError."""
        self._call("PATCH", f"/{name}", body={"data": dict(data)}, kind="application/merge-patch+json")

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


def patiently(
    api: Api, name: str, call: Callable[[], str], *, patience_s: float = PATIENCE_S, pause_s: float = PAUSE_S
) -> str:
    """What `call` returns about the secret; it is made again while the API server does not answer or asks to come
    later. Raises BootstrapFailed."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except Refused as refused:
            if refused.code not in TRY_LATER or time.monotonic() > deadline:
                failure = NoAnswer if refused.code in TRY_LATER else BootstrapFailed
                raise failure(f"secret {name}: the API server answers {refused.code}: {refused}") from refused
            cause: Exception = refused
        except (OSError, http.client.HTTPException, json.JSONDecodeError, UnicodeDecodeError) as error:
            if time.monotonic() > deadline:
                raise NoAnswer(f"secret {name}: no answer from {api.server} in {patience_s:.0f} s: {error}") from error
            cause = error
        print(f"secret {name}: again in {pause_s:.0f} s ({cause})", flush=True)
        time.sleep(pause_s)
