"""Use cases are called here as they are on behalf of an admin, who may use every project."""

from collections.abc import Iterator

import pytest

from services.common.identity.principal import Role, set_current_principal
from services.common.identity.tokens import user


@pytest.fixture(autouse=True)
def _as_admin() -> Iterator[None]:
    set_current_principal(user("admin", Role.ADMIN))
    yield
    set_current_principal(None)
