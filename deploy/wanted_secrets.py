"""What bootstrap is asked for: secrets, and how each of their keys is made."""

import base64
import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.kubernetes_api import BootstrapFailed
from retain.values.faults import mismatch

KEEP = {"helm.sh/resource-policy": "keep"}
KINDS = ("authority", "certificate")
RECIPES: dict[str, Callable[[Any], str]] = {
    "value": str,
    "alphanumeric": lambda n: "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(n)),
    "hex": lambda n: "".join(secrets.choice("0123456789abcdef") for _ in range(n)),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A secret: its name, what identifies it to people and to helm, and a recipe for each key; or what is asked of an
    authority or a certificate."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    authority: Mapping[str, Any] | None = None
    certificate: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, text: str) -> "list[Wanted]":
        """From JSON. Raises BootstrapFailed that names what is wrong."""
        try:
            found = [
                cls(
                    name=one["name"],
                    keys={} if any(kind in one for kind in KINDS) else one["keys"],
                    labels=one.get("labels") or {},
                    annotations=one.get("annotations") or {},
                    authority=one.get("authority"),
                    certificate=one.get("certificate"),
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
                    came = mismatch(sorted(recipe), f"one of {sorted(RECIPES)}")
                    raise BootstrapFailed(f"RETAIN_BOOTSTRAP: {one.name}.{key}: {came}")
        return found

    def secret(self, data: Mapping[str, bytes], *, kind: str = "Opaque") -> dict[str, Any]:
        """The object that is created."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kind,
            "metadata": {
                "name": self.name,
                "labels": dict(self.labels),
                "annotations": {**self.annotations, **KEEP},
            },
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
