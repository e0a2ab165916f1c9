"""Keys that end, asked for anew before they do: what a process without keys of its own gives to its store's client."""

import threading
import time
from collections.abc import Callable

from minio.credentials import Credentials, Provider

from services.common.errors import RetainError
from services.common.logging import get_logger
from services.common.store.store_keys import StoreKeys

EARLY = 0.25  # of their life is left when they are asked for anew
AGAIN_S = 30.0  # after a question that failed while the old ones are still good
log = get_logger(__name__)


class RenewedKeys(Provider):
    """`ask(patiently)` fetches new keys: patiently when there are none that are good, else once. Thread-safe."""

    def __init__(self, ask: Callable[[bool], StoreKeys], *, now_s: Callable[[], float] = time.time) -> None:
        self._ask, self._now_s = ask, now_s
        self._keys: StoreKeys | None = None
        self._renew_s = 0.0
        self._lock = threading.Lock()

    def retrieve(self) -> Credentials:
        """The present keys. Raises what the question raises when there are none."""
        with self._lock:
            now_s = self._now_s()
            good = self._keys is not None and now_s < self._keys.expire_s
            if self._keys is None or not good or now_s >= self._renew_s:
                self._renew(good)
            assert self._keys is not None
            return Credentials(self._keys.access_key, self._keys.secret_key, self._keys.session_token or None)

    def forget(self) -> None:
        """The store does not know them any more: the next question is for new ones."""
        with self._lock:
            self._keys = None

    def _renew(self, good: bool) -> None:
        try:
            keys = self._ask(not good)
        except RetainError as error:
            if not good:
                raise
            log.warning("keys of the store could not be renewed yet", error=error.message, again_in_s=AGAIN_S)
            self._renew_s = self._now_s() + AGAIN_S
            return
        now_s = self._now_s()
        self._keys, self._renew_s = keys, now_s + (1 - EARLY) * (keys.expire_s - now_s)
