"""`retain login` and `retain logout`: a person of the installation's identity provider."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ui.client import Address, ClientError, connect
from ui.commands.output import JsonFlag, emit, say

if TYPE_CHECKING:
    from ui.client.login.store import LoginStore

_PANEL = "Access"


def login(json: JsonFlag = False) -> None:
    """Log in with the identity provider of the installation, in a browser of any machine.

    What is kept (in the keyring of the operating system, else in ~/.config/retain, for you alone) goes to this server
    alone, and is renewed by itself. Needs the extra `login`.
    """
    from ui.client.login.device_flow import Provider
    from ui.client.login.store import LoginStore
    from ui.client.login.value import Login

    address = replace(Address.from_env(), token=None, login=True)
    with connect(address) as client:
        offered = client.identity.get_login()
    if not offered.issuer:
        raise ClientError(
            f"{address.orchestrator} has no identity provider; its people have tokens (`retain tokens create`)",
            reason="NO_IDENTITY_PROVIDER",
        )
    ca = os.environ.get("RETAIN_OIDC_CA")
    provider = Provider(offered.issuer, offered.client_id, scopes=offered.scopes, ca=ca)
    started = provider.begin()
    say(f"Open {started.where} in a browser and log in; the code there has to be {started.user_code}")
    made = Login.of(
        provider.wait(started),
        server=address.orchestrator,
        issuer=offered.issuer,
        client_id=offered.client_id,
        sends=offered.token,
    )
    with connect(replace(address, token=made.token, login=False)) as client:
        caller = client.identity.who_am_i()
    store = LoginStore()
    with store.locked():
        where = store.put(made)
    if json:
        emit(caller)
    else:
        say(f"Logged in to {address.orchestrator} as {caller.subject} ({', '.join(caller.roles)}); kept in {where}")


def logout(json: JsonFlag = False) -> None:
    """End the login to this server, here and at its identity provider."""
    from ui.client.login.store import LoginStore

    server, store = Address.from_env().orchestrator, LoginStore()
    with store.locked():
        is_known = store.holds(server)
        ended = _ended(store, server) if is_known else False
        if is_known:
            store.remove(server)
    if json:
        emit({"server": server, "was_logged_in": is_known, "ended_at_provider": ended})
    elif not is_known:
        say(f"There was no login to {server}")
    else:
        say(f"Logged out of {server}" + ("" if ended else "; the provider was not told and ends it in its own time"))


def _ended(store: "LoginStore", server: str) -> bool:
    """Whether the provider renews it no more. What cannot be read or told is still forgotten here."""
    from ui.client.login.device_flow import Provider

    try:
        kept = store.get(server)
        if kept is None or not kept.refresh_token:
            return False
        return Provider(kept.issuer, kept.client_id, ca=os.environ.get("RETAIN_OIDC_CA")).revoke(kept.refresh_token)
    except ClientError as error:
        say(error.message)
        return False


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command(rich_help_panel=_PANEL)(login)
    app.command(rich_help_panel=_PANEL)(logout)
