"""Serves the panel without opening a browser.

It listens on RETAIN_PANEL_BIND (host:port), else on 127.0.0.1 and RETAIN_PANEL_PORT (7074), and answers under the names
of loopback and of RETAIN_PANEL_HOSTS (`ui.panel.guard`).
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ui.client.errors import BadInput, MissingExtra
from ui.extras import require
from ui.panel.grafana import grafana_address
from ui.panel.session.uploads import FILE_MEGABYTES

DEFAULT_PORT = "7074"
APP = Path(__file__).parent / "server.py"


def bind(environ: Mapping[str, str]) -> tuple[str, str]:
    """Host and port to listen on. Without a setting only this machine can reach the panel."""
    host, _, port = environ.get("RETAIN_PANEL_BIND", "").rpartition(":")
    return (host.strip("[]") or "127.0.0.1", port or environ.get("RETAIN_PANEL_PORT", DEFAULT_PORT))


def main() -> None:
    """Becomes the Streamlit server, so that a signal to this process reaches it."""
    try:
        require("the control panel", "panel")
        grafana_address(os.environ)
    except (BadInput, MissingExtra) as error:
        sys.exit(f"error: {error.message}")
    host, port = bind(os.environ)
    flags = [
        "--server.headless=true",
        f"--server.address={host}",
        f"--server.port={port}",
        "--server.fileWatcherType=none",
        "--server.enableStaticServing=false",
        f"--server.maxUploadSize={FILE_MEGABYTES}",
        "--server.xsrfCookieSameSite=strict",
        "--browser.gatherUsageStats=false",
        "--client.toolbarMode=minimal",
        # A page forgets large messages sooner than the server thinks where fragments refresh themselves on a busy
        # machine; a message that only names a forgotten one ends its connection for good ("Cached ForwardMsg MISS").
        f"--global.minCachedMessageSize={2**31}",
        "--runner.postScriptGC=false",  # 0.1 s after each look of each open page; Python collects when there is need
    ]
    if ca := os.environ.get("RETAIN_OIDC_CA"):
        os.environ["SSL_CERT_FILE"] = ca  # the identity provider is the only server that it asks by https
    os.execv(sys.executable, [sys.executable, "-P", "-m", "streamlit", "run", str(APP), *flags])


if __name__ == "__main__":
    main()
