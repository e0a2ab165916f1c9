"""Which tab of which browser this is, and which are still there.

Streamlit keeps the session of a tab that was closed or loaded anew for a while, in case that it only lost its
connection; who looks no more is known at once by that connection. Where a release of Streamlit no longer says so, a tab
counts as open until it has missed its looks (`ui.panel.refresh.pace`).
"""

import uuid

from streamlit import runtime


def this_tab() -> str:
    """The id of the session that runs now; of no session, one of its own."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context is not None else uuid.uuid4().hex


def is_connected(tab: object) -> bool:
    """Whether a browser is at the other end of a session. Safe to ask from any thread."""
    try:
        return not runtime.exists() or bool(runtime.get_instance().is_active_session(str(tab)))
    except AttributeError:
        return True
