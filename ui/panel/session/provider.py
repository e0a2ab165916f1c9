"""The panel as a client of an identity provider: Streamlit's own `st.login` does the browser's part.

Streamlit reads who the provider is from a secrets file. It is written for its one reading and removed: what is secret
stays in the environment, or in the files that the settings name, and in this process.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

CALLBACK = "/oauth2callback"
WELL_KNOWN = "/.well-known/openid-configuration"
SCOPES = "openid profile email"
_NEEDED = ("RETAIN_OIDC_ISSUER", "RETAIN_PANEL_URL")
_installed: "PanelClient | None" = None


@dataclass(frozen=True, kw_only=True)
class PanelClient:
    """`url` is the panel's own address as browsers have it; `sends` which of the provider's tokens calls carry."""

    issuer: str
    url: str
    client_id: str
    client_secret: str = field(repr=False)
    cookie_secret: str = field(repr=False)
    scopes: str = SCOPES
    sends: str = "id"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "PanelClient | None":
        """None without RETAIN_PANEL_CLIENT_ID: people log in with tokens then. Raises BadInput for half of it."""
        client_id = environ.get("RETAIN_PANEL_CLIENT_ID")
        if not client_id:
            return None
        faults = [
            Violation(field=name, description="is not set; expected beside RETAIN_PANEL_CLIENT_ID")
            for name in _NEEDED
            if not environ.get(name)
        ]
        url = environ.get("RETAIN_PANEL_URL", "")
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            said = mismatch(repr(url[:200]), "the panel's address as browsers have it, as in https://retain.example")
            faults.append(Violation(field="RETAIN_PANEL_URL", description=said))
        secret = _secret(environ, "RETAIN_PANEL_CLIENT_SECRET")
        if not secret:
            said = "is not set; expected beside RETAIN_PANEL_CLIENT_ID"
            faults.append(Violation(field="RETAIN_PANEL_CLIENT_SECRET", description=said))
        if faults:
            raise BadInput(faults)
        return cls(
            issuer=environ["RETAIN_OIDC_ISSUER"],
            url=url.rstrip("/"),
            client_id=client_id,
            client_secret=secret,
            # Another one at each start logs everybody out then.
            cookie_secret=cookie_secret(environ) or secrets.token_hex(32),
            scopes=environ.get("RETAIN_PANEL_SCOPES") or SCOPES,
            sends=environ.get("RETAIN_OIDC_TOKEN") or "id",
        )

    @property
    def document(self) -> str:
        """The secrets file, as Streamlit reads it. JSON's texts are TOML's, too."""
        said = {
            "redirect_uri": self.url + CALLBACK,
            "cookie_secret": self.cookie_secret,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "server_metadata_url": self.issuer.rstrip("/") + WELL_KNOWN,
            "expose_tokens": [self.sends],
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in said.items()]
        return "\n".join(["[auth]", *lines, f"client_kwargs = {{ scope = {json.dumps(self.scopes)} }}", ""])


def install(client: PanelClient | None) -> None:
    """From here on `st.login` knows the provider. Raises BadInput where Streamlit does not take it."""
    global _installed
    if client is None:
        return
    from streamlit import config
    from streamlit.runtime.secrets import secrets_singleton

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "secrets.toml"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(client.document)
        config.set_option("secrets.files", [str(path)])
        if not secrets_singleton.load_if_toml_exists() or "auth" not in secrets_singleton:
            said = "cannot be given to Streamlit; expected texts without control characters"
            raise BadInput([Violation(field="RETAIN_PANEL_CLIENT_SECRET", description=said)])
    _installed = client


def installed() -> PanelClient | None:
    """The provider's client, where there is one."""
    return _installed


def cookie_secret(environ: Mapping[str, str]) -> str:
    """What the panel's cookies are signed and encrypted with; empty where nobody said. Raises BadInput."""
    return _secret(environ, "RETAIN_PANEL_COOKIE_SECRET")


def _secret(environ: Mapping[str, str], name: str) -> str:
    """The setting, else the content of the file that NAME_FILE names. Raises BadInput."""
    if value := environ.get(name):
        return value
    path = environ.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput([Violation(field=f"{name}_FILE", description=f"{path} cannot be read ({error})")]) from error
