"""The panel as a client of an identity provider: whole settings or none, and a secrets file that nobody finds."""

import stat
import tempfile
import tomllib
from pathlib import Path

import pytest

from ui.client.errors import BadInput
from ui.panel.session import provider
from ui.panel.session.provider import PanelClient

ENVIRON = {
    "RETAIN_OIDC_ISSUER": "https://sso.example/realms/ml",
    "RETAIN_PANEL_URL": "https://retain.example/",
    "RETAIN_PANEL_CLIENT_ID": "retain-panel",
    "RETAIN_PANEL_CLIENT_SECRET": 'a "quoted" \\ secret',
}


def test_without_a_client_id_there_is_no_provider() -> None:
    assert PanelClient.from_env({"RETAIN_OIDC_ISSUER": "https://sso.example"}) is None


def test_half_of_the_settings_names_the_others() -> None:
    with pytest.raises(BadInput) as caught:
        PanelClient.from_env({"RETAIN_PANEL_CLIENT_ID": "p"})
    fields = [fault.field for fault in caught.value.violations]
    assert fields == ["RETAIN_OIDC_ISSUER", "RETAIN_PANEL_URL", "RETAIN_PANEL_CLIENT_SECRET"]
    with pytest.raises(BadInput, match="RETAIN_PANEL_URL: got 'retain"):
        PanelClient.from_env(ENVIRON | {"RETAIN_PANEL_URL": "retain.example"})


def test_streamlit_is_told_what_the_settings_say() -> None:
    made = PanelClient.from_env(ENVIRON)
    assert made is not None
    said = tomllib.loads(made.document)["auth"]
    assert said.pop("cookie_secret") == made.cookie_secret
    assert said == {
        "redirect_uri": "https://retain.example/oauth2callback",
        "client_id": "retain-panel",
        "client_secret": 'a "quoted" \\ secret',
        "server_metadata_url": "https://sso.example/realms/ml/.well-known/openid-configuration",
        "expose_tokens": ["id"],
        "client_kwargs": {"scope": "openid profile email"},
    }
    assert ENVIRON["RETAIN_PANEL_CLIENT_SECRET"] not in repr(made)
    again = PanelClient.from_env(ENVIRON)
    assert again is not None
    assert len({made.cookie_secret, again.cookie_secret}) == 2
    assert min(len(made.cookie_secret), len(again.cookie_secret)) == 64


def test_secrets_may_lie_in_files(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("from-a-file\n")
    environ = {name: value for name, value in ENVIRON.items() if name != "RETAIN_PANEL_CLIENT_SECRET"}
    made = PanelClient.from_env(environ | {"RETAIN_PANEL_CLIENT_SECRET_FILE": str(tmp_path / "s")})
    assert made is not None
    assert made.client_secret == "from-a-file"
    with pytest.raises(BadInput, match="RETAIN_PANEL_CLIENT_SECRET_FILE"):
        PanelClient.from_env(environ | {"RETAIN_PANEL_CLIENT_SECRET_FILE": str(tmp_path / "none")})


def test_the_secrets_file_is_read_by_streamlit_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit import config
    from streamlit.runtime.secrets import Secrets

    fresh, modes = Secrets(), []
    load = fresh.load_if_toml_exists

    def noted() -> bool:
        (path,) = config.get_option("secrets.files")
        modes.append(stat.S_IMODE(Path(path).stat().st_mode))
        return load()

    monkeypatch.setattr(fresh, "load_if_toml_exists", noted)
    monkeypatch.setattr("streamlit.runtime.secrets.secrets_singleton", fresh)
    monkeypatch.setattr(provider, "_installed", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = config.get_option("secrets.files")
    try:
        provider.install(None)
        assert provider.installed() is None
        made = PanelClient.from_env(ENVIRON)
        provider.install(made)
        assert provider.installed() is made
        assert modes == [0o600]
        assert list(tmp_path.iterdir()) == []
        assert fresh["auth"]["client_id"] == "retain-panel"
    finally:
        config.set_option("secrets.files", before)
