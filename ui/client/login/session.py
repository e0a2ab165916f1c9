"""A login in use: its token, refreshed before it ends, by whichever client of the user comes first."""

import os
import threading
import time
from collections.abc import Callable

from ui.client.errors import ClientError, RefusedByServer
from ui.client.login.store import LoginStore
from ui.client.login.value import Login

AGAIN_AFTER_S = 10.0  # a refresh that failed is not tried in every call


class StoredLogin:
    """Safe to share between threads."""

    def __init__(self, server: str, *, store: LoginStore | None = None, now_s: Callable[[], float] = time.time) -> None:
        self._server, self._store, self._now_s = server, store or LoginStore(), now_s
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._failed_s = float("-inf")

    def token(self) -> str | None:
        """What calls carry; None without a login. Raises ClientError when it ended and cannot be renewed."""
        with self._lock:
            if self._login is None or self._now_s() >= self._login.refresh_s:
                self._login = self._store.get(self._server)
            if self._login is not None and self._now_s() >= self._login.refresh_s:
                self._login = self._refreshed(self._login)
            return self._login.token if self._login is not None else None

    def _refreshed(self, login: Login) -> Login:
        is_good = self._now_s() < login.expires_s
        if is_good and (not login.refresh_token or self._now_s() < self._failed_s + AGAIN_AFTER_S):
            return login
        try:
            return self._renewed()
        except ClientError as error:
            self._failed_s = self._now_s()
            if is_good:
                return login
            if not isinstance(error, RefusedByServer):
                raise
            said = f"the login to {self._server} has ended ({error.message}); `retain login` makes a new one"
            raise RefusedByServer(said, reason="LOGIN_EXPIRED") from error

    def _renewed(self) -> Login:
        with self._store.locked():
            login = self._store.get(self._server)
            if login is None or self._now_s() < login.refresh_s:  # another client was first, or logged out
                if login is None:
                    raise RefusedByServer("it was ended by `retain logout`", reason="LOGIN_EXPIRED")
                return login
            if not login.refresh_token:
                raise RefusedByServer("its provider gave nothing to renew it with", reason="LOGIN_EXPIRED")
            renewed = refreshed(login)
            self._store.put(renewed)
            return renewed


def refreshed(login: Login) -> Login:
    """The login with the provider's next token. Raises ClientError."""
    from ui.client.login.device_flow import Provider

    provider = Provider(login.issuer, login.client_id, ca=os.environ.get("RETAIN_OIDC_CA"))
    answer = dict(provider.refresh(login.refresh_token))
    answer.setdefault("refresh_token", login.refresh_token)  # a provider may leave the old one in force
    return Login.of(answer, server=login.server, issuer=login.issuer, client_id=login.client_id, sends=login.sends)
