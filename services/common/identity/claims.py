"""From the verified claims of an identity provider's token to a principal: the one place that reads claims.

A provider says who somebody is and in which groups; the installation says which groups have which roles and projects. A
group that is not in these tables gives nothing, so that somebody whom the provider knows and the installation does not
may do nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Unauthenticated, Violation
from services.common.identity.principal import DEFAULT_PROJECT, GRANTABLE, Kind, Principal, Role

PREFIX = "oidc:"  # no API token can have such a name, so that nobody takes another's place in the audit trail
LONGEST_NAME = 200  # characters
DEFAULT_ROLES = "retain-viewer=viewer,retain-operator=operator,retain-admin=admin"


@dataclass(frozen=True, kw_only=True)
class ClaimsMap:
    """`name_claim` holds who it is; `roles_claim` (a path with dots, such as realm_access.roles) the groups, of which
    `roles` says what each may do, and `projects` (pairs of group and project) where. Without any pair that is the
    default project."""

    name_claim: str
    roles_claim: str
    roles: Mapping[str, Role]
    projects: Sequence[tuple[str, str]] = ()

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Raises Unauthenticated for claims that name nobody."""
        groups = _texts(_at(claims, self.roles_claim))
        projects = {project for group, project in self.projects if group in groups}
        return Principal(
            subject=PREFIX + self._name(claims),
            kind=Kind.USER,
            roles=frozenset(self.roles[group] for group in groups if group in self.roles),
            projects=frozenset(projects if self.projects else {DEFAULT_PROJECT}),
        )

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = _at(claims, self.name_claim)
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise Unauthenticated(
                f"the token's claim {self.name_claim} names nobody; expected 1 to {LONGEST_NAME} printable characters",
                reason="TOKEN_CLAIMS",
            )
        # Where people enter their address themselves, an unverified one may be anybody's.
        if self.name_claim == "email" and claims.get("email_verified") is not True:
            raise Unauthenticated("the token's address is not verified by the provider", reason="TOKEN_CLAIMS")
        return name


def roles_of(setting: str) -> dict[str, Role]:
    """`group=role` pairs between commas. Raises InvalidInput that names each pair that is none."""
    said = f"of the roles {', '.join(sorted(GRANTABLE))}"
    return {group: Role(role) for group, role in _pairs("RETAIN_OIDC_ROLES", setting, GRANTABLE.__contains__, said)}


def projects_of(setting: str) -> tuple[tuple[str, str], ...]:
    """`group=project` pairs between commas; a group may have several. Raises InvalidInput likewise."""
    return tuple(_pairs("RETAIN_OIDC_PROJECTS", setting, bool, "the name of a project"))


def _pairs(field: str, setting: str, is_good: Callable[[Any], bool], expected: str) -> Iterator[tuple[str, str]]:
    """A group's name may hold an equals sign (cn=ml), what it gets does not."""
    found, faults = [], []
    for pair in filter(None, map(str.strip, setting.split(","))):
        group, _, given = (part.strip() for part in pair.rpartition("="))
        if group and is_good(given):
            found.append((group, given))
        else:
            said = mismatch(repr(pair[:100]), f"a group, an equals sign and {expected}")
            faults.append(Violation(field=field, description=said))
    if faults:
        raise InvalidInput(faults)
    return iter(found)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, else the one at the path. A claim's own name may have dots: https://example.org/groups."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: Any) -> list[str]:
    """A list of texts, or one text; everything else is no group."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
