"""Keys of the object store that end: what is handed out, and the port that makes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.common.errors import FailedPrecondition
from services.common.store.policies import Policy


@dataclass(frozen=True, kw_only=True)
class StoreKeys:
    """Keys that end at `expire_s` (Unix time). They are not shown by `repr`."""

    access_key: str
    secret_key: str
    session_token: str
    expire_s: float

    def __repr__(self) -> str:
        return f"StoreKeys(access_key={self.access_key!r}, expire_s={self.expire_s})"


def store_keys_of(message: Any) -> StoreKeys:
    """From the orchestrator's answer (retain.orchestrator.v1.StoreKeys)."""
    return StoreKeys(
        access_key=message.access_key,
        secret_key=message.secret_key,
        session_token=message.session_token,
        expire_s=message.expire_time.ToNanoseconds() / 1e9,
    )


IssueKeys = Callable[[Policy, str], StoreKeys]  # for a policy and a name for the store's log


def no_keys(policy: Policy, name: str) -> StoreKeys:
    """`IssueKeys` where nobody holds keys that could be narrowed. Raises FailedPrecondition (NO_STS)."""
    raise FailedPrecondition("this installation makes no narrow keys of its object store", reason="NO_STS")
