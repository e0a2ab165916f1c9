"""Which identity provider an installation trusts, from the environment; none without an issuer."""

import ssl
from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from retain.values import GetLoginResponse
from retain.values.addresses import keeps_secrets
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.identity.claims import DEFAULT_ROLES, ClaimsMap, projects_of, roles_of
from services.common.identity.tokens import Authenticator


class OidcSettings(BaseSettings):
    """Each field is RETAIN_OIDC_ and its name in upper case.

    `audience` are the client ids or API names that tokens may be made for, between commas. `client_id`, `scopes` and
    `token` are what `retain login` is told: its public client, what it asks for, and which token it sends.
    """

    model_config = SettingsConfigDict(env_prefix="RETAIN_OIDC_", frozen=True, extra="ignore", env_ignore_empty=True)

    issuer: str = ""
    audience: str = ""
    client_id: str = ""  # default: the first audience
    scopes: str = "openid profile email offline_access"
    token: Literal["id", "access"] = "id"
    name_claim: str = "sub"
    roles_claim: str = "groups"
    roles: str = DEFAULT_ROLES
    projects: str = ""  # which group has which project, between commas; default: all have the default project
    ca: Path | None = None  # PEM file of who signed the provider's certificate; default: the system's

    @property
    def audiences(self) -> tuple[str, ...]:
        """Those between the commas."""
        return tuple(filter(None, map(str.strip, self.audience.split(","))))

    @property
    def login(self) -> GetLoginResponse:
        """How people log in here; empty without a provider."""
        if not self.issuer:
            return GetLoginResponse()
        return GetLoginResponse(issuer=self.issuer, client_id=self.client, scopes=self.scopes, token=self.token)

    @property
    def client(self) -> str:
        """The public client of `retain login`."""
        return self.client_id or next(iter(self.audiences), "")

    def tokens(self) -> Authenticator | None:
        """A way to know the provider's people; None without a provider. Asks nobody yet. Raises InvalidInput."""
        if not self.issuer:
            return None
        self._check()
        # Late: an installation without a provider loads no cryptography for it.
        from services.common.identity.key_set import KeySet, from_provider
        from services.common.identity.oidc import OidcTokens

        context = ssl.create_default_context(cafile=str(self.ca)) if self.ca else None
        return OidcTokens(
            KeySet(from_provider(self.issuer, context=context)),
            ClaimsMap(
                name_claim=self.name_claim,
                roles_claim=self.roles_claim,
                roles=roles_of(self.roles),
                projects=projects_of(self.projects),
            ),
            issuer=self.issuer,
            audience=self.audiences,
        )

    def _check(self) -> None:
        faults = []
        if not keeps_secrets(self.issuer):
            said = mismatch(repr(self.issuer[:200]), "an https:// address, or http:// on loopback")
            faults.append(Violation(field="RETAIN_OIDC_ISSUER", description=said))
        if not self.audiences:
            said = "is not set; expected the client ids that tokens are made for, since a provider makes others, too"
            faults.append(Violation(field="RETAIN_OIDC_AUDIENCE", description=said))
        if self.ca is not None and not self.ca.is_file():
            said = mismatch(f"{self.ca}, which is no file", "a PEM file of certificates")
            faults.append(Violation(field="RETAIN_OIDC_CA", description=said))
        if faults:
            raise InvalidInput(faults)
