"""Whose tokens a service knows from its start: from the environment, else from the files of its home."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from retain.values.addresses import is_loopback
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.identity.access import Access, Guarded, OpenToAll
from services.common.identity.principal import Kind, Principal, Role
from services.common.identity.token_file import read_or_make
from services.common.identity.tokens import SHORTEST_TOKEN, Authenticator, KnownTokens, service, user
from services.common.logging import get_logger

USER_TOKEN_FILE, SERVICE_TOKEN_FILE = "token", "service_token"  # in RETAIN_HOME


class IdentitySettings(BaseSettings):
    """Each field is RETAIN_ and its name in upper case. The values themselves, or files that hold them.

    `admin_token` lets its holder do everything that people may; `service_token` is what orchestrator and evaluator show
    each other. A part that is not set is read from RETAIN_HOME (`token`, `service_token`), and made there.
    """

    model_config = SettingsConfigDict(env_prefix="RETAIN_", frozen=True, extra="ignore")

    home: Path = Path(".retain")
    admin_token: SecretStr | None = None
    admin_token_file: Path | None = None
    service_token: SecretStr | None = None
    service_token_file: Path | None = None
    no_access_control: bool = False  # on loopback only: everybody who reaches the port may do everything

    @property
    def admin(self) -> str:
        """The token of whoever runs the installation. Raises InvalidInput, FailedPrecondition or Unavailable."""
        return self._secret("admin_token", self.admin_token, self.admin_token_file or self.home / USER_TOKEN_FILE)

    @property
    def service(self) -> str:
        """The token between services. Raises InvalidInput, FailedPrecondition or Unavailable."""
        file = self.service_token_file or self.home / SERVICE_TOKEN_FILE
        return self._secret("service_token", self.service_token, file)

    def known(self) -> KnownTokens:
        """Both, as a way to know callers. Raises InvalidInput, also when both are the same."""
        if self.admin == self.service:
            said = mismatch("the service token too", "two different ones")
            raise InvalidInput([Violation(field="RETAIN_ADMIN_TOKEN", description=said)])
        return KnownTokens({self.admin: user("admin", Role.ADMIN), self.service: service("services")})

    def access(self, authenticator: Authenticator, *, bind: str) -> Access:
        """What the server on `bind` asks of each call. Raises InvalidInput where nobody would be asked on an address
        that others reach."""
        if not self.no_access_control:
            return Guarded(authenticator)
        if not is_loopback(bind):
            said = f"is set, and the server listens on {bind}; expected a loopback address, or to leave it out"
            raise InvalidInput([Violation(field="RETAIN_NO_ACCESS_CONTROL", description=said)])
        get_logger(__name__).warning("access control is off: whoever reaches the port may do everything", bind=bind)
        return OpenToAll(Principal(subject="anybody", kind=Kind.USER, roles=frozenset(Role)))

    @staticmethod
    def _secret(name: str, value: SecretStr | None, file: Path) -> str:
        if value is None:
            return read_or_make(file)
        token = value.get_secret_value().strip()
        if len(token) < SHORTEST_TOKEN:
            said = mismatch(f"{len(token)} characters", f"{SHORTEST_TOKEN} or more, random ones")
            raise InvalidInput([Violation(field=f"RETAIN_{name.upper()}", description=said)])
        return token
