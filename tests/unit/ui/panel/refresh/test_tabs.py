"""Which tabs are still there."""

from unittest import mock

import pytest
from streamlit import runtime
from streamlit.runtime import Runtime

from ui.panel.refresh.tabs import is_connected


def test_a_tab_is_there_while_streamlit_says_that_its_browser_is(monkeypatch: pytest.MonkeyPatch) -> None:
    served = mock.create_autospec(Runtime, instance=True)  # of this release: what it does not have raises
    served.is_active_session.side_effect = lambda session: session == "here"
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: served)
    assert (is_connected("here"), is_connected("gone")) == (True, False)
    del served.is_active_session
    assert is_connected("gone"), "a release that does not say it: it has to miss its looks"


def test_without_a_server_every_tab_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "exists", lambda: False)
    assert is_connected("any")
