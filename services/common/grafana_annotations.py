"""Draws events (decisions of the gate) into Grafana as annotations, through the `grafana-api` package.

Off unless RETAIN_GRAFANA_URL is set (https://HOST[:PORT][/PREFIX]); RETAIN_GRAFANA_TOKEN is a service account's token
with the right to write annotations (and to read them, so that none is drawn twice). Drawing is a courtesy: whatever
goes wrong is logged and never disturbs a run.

    annotations = GrafanaAnnotations.from_env()     # None when it is off
    if annotations is not None:
        annotations.draw("ADJUST: forgetting 12 %, share 0.10 -> 0.20", tags=["run:r1", "stage:midtrain/code"])
"""

import os
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from grafana_api.grafana_api import GrafanaClientError, GrafanaException
from grafana_api.grafana_face import GrafanaFace
from requests.exceptions import RequestException

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.logging import get_logger

TAG = "retain-decision"  # dashboards show the annotations that carry it
TIMEOUT_S = 3.0
log = get_logger(__name__)


class GrafanaAnnotations:
    """One Grafana. Calls block for at most `TIMEOUT_S`; asyncio code uses a thread."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            said = mismatch(repr(url), "http(s)://HOST[:PORT][/PREFIX]")
            raise InvalidInput([Violation(field="RETAIN_GRAFANA_URL", description=said)])
        if not token:
            raise InvalidInput([Violation(field="RETAIN_GRAFANA_TOKEN", description="is not set in the environment")])
        prefix = parts.path.strip("/")
        self._grafana = GrafanaFace(
            auth=token,
            host=parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            url_path_prefix=f"{prefix}/" if prefix else "",
            timeout=TIMEOUT_S,
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "GrafanaAnnotations | None":
        """The adapter that the environment asks for, or None. Raises InvalidInput for half a setting."""
        url = environ.get("RETAIN_GRAFANA_URL")
        return cls(url, environ.get("RETAIN_GRAFANA_TOKEN", "")) if url else None

    def draw(self, text: str, *, tags: Sequence[str] = (), time_s: float | None = None) -> bool:
        """Draws one annotation at `time_s` (Unix time, default now). Returns whether Grafana has it.

        Tags name the event: one that carries them all already, since a reply was lost, is not drawn again.
        """
        at_ms = int((time.time() if time_s is None else time_s) * 1000)
        try:
            if tags and self._has(tags):
                return True
            self._grafana.annotations.add_annotation(time_from=at_ms, tags=[TAG, *tags], text=text)
        except (GrafanaException, RequestException, ValueError) as error:
            log.warning("an annotation was not drawn", error=repr(error))
            return False
        return True

    def _has(self, tags: Sequence[str]) -> bool:
        try:
            return bool(self._grafana.annotations.get_annotation(tags=[TAG, *tags], limit=1))
        except GrafanaClientError as error:
            # A token that may write but not read: drawn twice is better than not at all.
            log.info("annotations cannot be looked up", error=repr(error))
            return False
