"""A tick of the browser's timer on a page that Streamlit's test harness runs."""

import functools
from unittest import mock

from streamlit.runtime.scriptrunner import RerunData
from streamlit.testing.v1 import AppTest

from ui.panel.refresh.parts import LOOK


def tick(at: AppTest) -> AppTest:
    """Asks for the part that looks for news, as the browser does. Its tree then holds what that sent, and no more."""
    asked = at._fragment_storage.resolve_target([LOOK])
    only = functools.partial(RerunData, fragment_id_queue=asked)
    with mock.patch("streamlit.testing.v1.local_script_runner.RerunData", only):
        at.run()
    assert not at.exception
    return at
