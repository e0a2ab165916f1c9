"""Who uses the panel: a token for each browser session. The panel has none of its own, so that nobody who merely
reaches its port may do anything: neither another user of the machine nor a web page.

The link that `retain up` prints carries the token of the local stack; it is taken out of the address at once.
Everywhere else a person enters a token (`retain tokens create`).
"""

from dataclasses import replace

import streamlit as st

from ui.client import Address, ClientError, connect
from ui.client.errors import RefusedByServer, Unreachable

TOKEN, CALLER, AGAIN = "retain_token", "retain_caller", "retain_again"  # of the session
_PARAMETER = "token"


def address() -> Address:
    """The services that the environment names, with the token of this session alone."""
    return replace(Address.from_env(), token=st.session_state.get(TOKEN), login=False)


def require_login() -> None:
    """Return for a session that may continue; else show the form and stop. A server that is away is the pages' to show,
    and one that knows no tokens needs none."""
    if _PARAMETER in st.query_params:
        st.session_state[TOKEN] = st.query_params[_PARAMETER]
        st.session_state.pop(CALLER, None)
        del st.query_params[_PARAMETER]
    if AGAIN in st.session_state:
        st.error(st.session_state[AGAIN], icon=":material/lock:")
        login_form()
        return
    if CALLER in st.session_state:
        return
    try:
        with connect(address()) as client:
            st.session_state[CALLER] = client.identity.who_am_i().subject
    except RefusedByServer as error:
        st.title("Log in")
        if TOKEN in st.session_state:
            st.error(error.message, icon=":material/lock:")
        login_form()
        st.stop()
    except Unreachable:
        return
    except ClientError as error:
        if error.reason != "UNIMPLEMENTED":
            raise
        st.session_state[CALLER] = ""


def is_expired(error: ClientError) -> bool:
    """Whether it says that the token of the session is good no more."""
    return isinstance(error, RefusedByServer) and error.reason.startswith("TOKEN_")


def ask_again(error: ClientError) -> None:
    """Show the form above the page, which stays as it is with what was typed into it."""
    if AGAIN not in st.session_state:
        st.session_state[AGAIN] = error.message
        st.rerun()


def login_form() -> None:
    """Asks for a token, and continues with it."""
    with st.form("log_in", border=False):
        entered = st.text_input(
            "Token",
            type="password",
            help="`retain tokens create NAME` makes one. Of a local stack: the file `token` in RETAIN_HOME, or the "
            "link that `retain up` prints.",
        )
        if st.form_submit_button("Log in", type="primary") and entered.strip():
            st.session_state[TOKEN] = entered.strip()
            for name in (CALLER, AGAIN):
                st.session_state.pop(name, None)
            st.rerun()
