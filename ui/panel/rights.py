"""What a person's roles allow, so that nobody sees a button that the server would refuse.

The server decides (`services/common/identity/permissions.py`); a test holds both against each other.
"""

from collections.abc import Iterable

ACTING = frozenset({"operator", "admin"})  # who may change runs, ask models and take checkpoints out


def may_act(roles: Iterable[str] | None) -> bool:
    """Whether these roles may do more than look. None: nobody said (no server, or one that knows no roles), and the
    server's own answer is waited for."""
    return roles is None or not ACTING.isdisjoint(roles)
