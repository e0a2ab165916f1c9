"""Makes the secrets of a release that are not there, once: the program of the chart's hook Job.

    RETAIN_BOOTSTRAP='[{"name": "retain-ray", "keys": {"auth_token": {"hex": 64}}}]' python -m deploy.bootstrap

Runs in a pod whose service account may create secrets, and read and patch those that it names. A secret that exists
keeps every byte of its data; it is only marked to outlive an upgrade or an uninstall (an earlier chart made it part of
the release, and helm would delete it as soon as the chart no longer holds it). One that lacks a key is refused by name:
who made it must complete it. Values of secrets are never printed.

Each key is made from a recipe, one word and its argument: {"value": TEXT} as it is, {"alphanumeric": N} or {"hex": N}
N random characters. Two kinds of secrets have no recipes, since their parts belong together (deploy/bootstrap_tls.py):

    {"name": "retain-authority", "authority": {"name": "Retain"}}
    {"name": "retain-worker-tls", "certificate": {"authority": "retain-authority", "name": "worker", ...}}

A certificate is the one thing that is made anew: when its end is near, or when it is asked for under other names.
"""

import base64
import http
import os
import sys

from deploy import bootstrap_tls
from deploy.kubernetes_api import PATIENCE_S, PAUSE_S, Api, BootstrapFailed, NoAnswer, Refused, patiently
from deploy.wanted_secrets import KEEP, RECIPES, Wanted


def provide(api: Api, wanted: Wanted) -> str:
    """See that the secret is there, and say what was done. Raises BootstrapFailed, Refused or OSError."""
    if wanted.authority is not None:
        return bootstrap_tls.provide_authority(api, wanted)
    if wanted.certificate is not None:
        return bootstrap_tls.provide_certificate(api, wanted)
    found = api.get(wanted.name)
    if found is None and api.create(wanted.secret(_made(wanted))):
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


def _made(wanted: Wanted) -> dict[str, bytes]:
    data = {}
    for key, recipe in wanted.keys.items():
        ((word, argument),) = recipe.items()
        data[key] = RECIPES[word](argument).encode()
    return data


def provide_patiently(api: Api, wanted: Wanted, *, patience_s: float = PATIENCE_S, pause_s: float = PAUSE_S) -> str:
    """`provide`, again while the API server does not answer or asks to come later. Raises BootstrapFailed."""
    return patiently(api, wanted.name, lambda: provide(api, wanted), patience_s=patience_s, pause_s=pause_s)


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
