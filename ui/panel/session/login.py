"""Who uses the panel: a token for each browser session. The panel has none of its own, so that nobody who merely
reaches its port may do anything: neither another user of the machine nor a web page.

With an identity provider a person logs in there (`st.login`), and the session's calls carry the token that the browser
keeps in a cookie; what was typed before it expired is there again when the same person is back. The link that
`retain up` prints carries the token of the local stack, which is taken out of the address at once. Everywhere else a
person enters a token (`retain tokens create`). Both are kept in a cookie too (`ui.panel.session.cookie`).
"""

import json
from dataclasses import replace
from typing import Any

import streamlit as st

from ui.client import Address, ClientError, connect
from ui.client.errors import RefusedByServer, Unreachable
from ui.panel.session import cookie
from ui.panel.session.provider import installed

TOKEN, CALLER, AGAIN, PAGE = "retain_token", "retain_caller", "retain_again", "retain_page"  # of the session
ROLES = "retain_roles"  # of the session's caller
PEOPLE, KEPT_S = 64, 3600.0  # whose texts are kept while they log in again, and for how long
_ENTERED, _LEAVES = "retain_entered", "retain_leaves"  # of the session: a token came just now, or is given up


def address() -> Address:
    """The services that the environment names, with the token of this session alone."""
    return replace(Address.from_env(), token=_token(), login=False)


def _token() -> str | None:
    """One that was entered, else that of the person whom the provider knows, else that of the browser's cookie."""
    entered: str | None = st.session_state.get(TOKEN)
    provider = installed()
    if entered is not None:
        return entered
    if provider is not None and st.user.is_logged_in:
        return st.user.tokens.get(provider.sends)
    return _kept_token()


def _kept_token() -> str | None:
    kept, value = cookie.installed(), st.context.cookies.get(cookie.NAME)
    return kept.open(value) if kept is not None and value else None


def require_login() -> None:
    """Return for a session that may continue; else show the form and stop. A server that is away is the pages' to show,
    and one that knows no tokens needs none."""
    if _LEAVES in st.session_state:
        _tell_browser("DELETE")
        st.stop()
    if AGAIN in st.session_state:
        st.error(st.session_state[AGAIN], icon=":material/lock:")
        login_form()
        return
    if CALLER in st.session_state:
        _remember()
        _log_out_offered()
        return
    try:
        with connect(address()) as client:
            caller = client.identity.who_am_i()
        st.session_state[CALLER], st.session_state[ROLES] = caller.subject, caller.roles
        _remember()
        _log_out_offered()
        _restore()
    except RefusedByServer as error:
        st.title("Log in")
        if _token() is not None:
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
    """Asks for the provider's login where there is one, else for a token, and continues with it."""
    if installed() is None:
        _token_form()
        return
    if st.button("Log in", type="primary", icon=":material/login:", key="retain_login"):
        _keep()
        st.login()
    with st.expander("Log in with a token"):
        _token_form()


def _token_form() -> None:
    with st.form("log_in", border=False):
        entered = st.text_input(
            "Token",
            type="password",
        )
        st.caption(
            "On your own machine the link that `retain up` prints logs in; the token is in the file `token` in "
            "RETAIN_HOME too. Elsewhere whoever runs the installation gives one: `retain tokens create NAME`."
        )
        if st.form_submit_button("Log in", type="primary" if installed() is None else "secondary") and entered.strip():
            st.session_state[TOKEN] = entered.strip()
            st.session_state[_ENTERED] = True
            for name in (CALLER, AGAIN):
                st.session_state.pop(name, None)
            st.rerun()


def _log_out_offered() -> None:
    """For whoever the provider knows: a browser may be somebody else's next."""
    if installed() is not None and TOKEN not in st.session_state and st.user.is_logged_in:
        st.sidebar.caption(f"Logged in as `{st.session_state[CALLER]}`")
        st.sidebar.button("Log out", icon=":material/logout:", key="retain_logout", on_click=st.logout)


def log_out_of_token() -> None:
    """A button for whoever came with a token: the browser forgets it. Nothing without one."""
    if st.session_state.get(CALLER) and _token() is not None and (TOKEN in st.session_state or installed() is None):
        st.caption(f"Logged in as `{st.session_state[CALLER]}`")
        st.button("Log out", icon=":material/logout:", key="retain_leave", on_click=_leave)


def _leave() -> None:
    st.session_state.clear()
    st.session_state[_LEAVES] = True


def _remember() -> None:
    """A token that was entered in this session and is good becomes the browser's."""
    kept = cookie.installed()
    if st.session_state.pop(_ENTERED, False) and kept is not None:
        _tell_browser("POST", kept.lend(st.session_state[TOKEN]))


def _tell_browser(method: str, code: str = "") -> None:
    """Has the page ask for its cookie to be set, or ended; then it begins anew, without what it knew."""
    call = {"method": method, "headers": {"x-retain-code": code}}
    after = '.then(() => location.assign("/"))' if method == "DELETE" else ""
    script = f"fetch({json.dumps(cookie.PATH)}, {json.dumps(call)}){after}"
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


# --- what was typed, while its person is away to log in again


@st.cache_resource(max_entries=PEOPLE, ttl=KEPT_S)
def _texts_of(person: str) -> dict[str, Any]:
    return {}


def _person() -> str:
    return f"{st.user.get('iss', '')} {st.user.get('sub', '')}"


def _keep() -> None:
    """The browser leaves the page, and returns as another session: of the same person, if all goes well."""
    if st.user.is_logged_in:
        typed = {name: value for name, value in st.session_state.items() if isinstance(value, str)}
        ours = (TOKEN, CALLER, AGAIN)
        _texts_of(_person()).update({str(name): value for name, value in typed.items() if name not in ours})


def _restore() -> None:
    """Texts and page of the session before, once."""
    if installed() is None or TOKEN in st.session_state:
        return
    kept = _texts_of(_person())
    page = kept.pop(PAGE, None)
    for name, value in kept.items():
        st.session_state[name] = value
    kept.clear()
    if page:
        st.switch_page(page)
