"""Where people's browsers find Grafana: RETAIN_PANEL_GRAFANA_URL, http(s)://HOST[:PORT][/PREFIX]. Nothing else becomes
a link of a page."""

import re
from collections.abc import Mapping

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

SETTING = "RETAIN_PANEL_GRAFANA_URL"
BOARDS = {"retain-forgetting": "Forgetting", "retain-training": "Training", "retain-pipelines": "Pipelines",
          "retain-services": "Services"}  # fmt: skip
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/\-]*)?")


def grafana_address(environ: Mapping[str, str]) -> str:
    """Without a slash at its end; empty where none is named. Raises BadInput for what is no such address."""
    said = environ.get(SETTING, "").strip()
    if said and _ADDRESS.fullmatch(said) is None:
        expected = "http(s)://HOST[:PORT][/PREFIX], without a name, a query or a fragment"
        raise BadInput([Violation(field=SETTING, description=mismatch(repr(said), expected))])
    return said.rstrip("/")


def grafana_links(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """(title, address) of each dashboard where a Grafana is named. Raises BadInput."""
    base = grafana_address(environ)
    return [(title, f"{base}/d/{uid}") for uid, title in BOARDS.items()] if base else []
