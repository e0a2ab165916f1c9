"""Drawing some parts of a page again, by their names.

`st.rerun` draws a whole page, or from a widget's callback a named part; a part that finds news for others can do
neither. What it does to its own run is done here with its own means, and where a release of Streamlit no longer has
them, the whole page is drawn.
"""

from collections.abc import Sequence

import streamlit as st
from streamlit.errors import StreamlitAPIException


def again(parts: Sequence[str]) -> None:
    """Has these parts of this session's page (keys of `st.fragment`) drawn again, once what runs now has ended."""
    try:
        _ask(parts)
    except (ImportError, AttributeError, TypeError, StreamlitAPIException):
        st.rerun()


def _ask(parts: Sequence[str]) -> None:
    from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx

    context = get_script_run_ctx()
    if context is None or context.script_requests is None:
        return  # not in a session: nothing is drawn
    context.script_requests.request_rerun(
        RerunData(
            query_string=context.query_string,
            page_script_hash=context.page_script_hash,
            fragment_id_queue=list(context.fragment_storage.resolve_target(list(parts))),
            is_auto_rerun=True,
            cached_message_hashes=context.cached_message_hashes,
            context_info=context.context_info,
        )
    )
