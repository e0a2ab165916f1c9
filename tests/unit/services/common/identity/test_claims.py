"""Who somebody is and what they may do, from a provider's claims."""

from typing import Any

import pytest

from services.common.errors import InvalidInput, Unauthenticated
from services.common.identity.claims import DEFAULT_ROLES, ClaimsMap, projects_of, roles_of
from services.common.identity.principal import Kind, Role


def claims_map(name: str = "sub", roles: str = "groups", table: str = DEFAULT_ROLES) -> ClaimsMap:
    return ClaimsMap(name_claim=name, roles_claim=roles, roles=roles_of(table))


def test_groups_become_roles_and_unknown_ones_nothing() -> None:
    found = claims_map().principal({"sub": "ada", "groups": ["retain-viewer", "retain-admin", "staff"]})
    assert (found.subject, found.kind, found.roles) == ("oidc:ada", Kind.USER, {Role.VIEWER, Role.ADMIN})
    assert claims_map().principal({"sub": "ada", "groups": ["staff"]}).roles == set()


def test_groups_become_projects_where_the_installation_says_so_and_the_default_one_else() -> None:
    one = ClaimsMap(name_claim="sub", roles_claim="groups", roles={}, projects=projects_of("a=red, a=blue, b=green"))
    assert one.principal({"sub": "ada", "groups": ["a", "c"]}).projects == {"red", "blue"}
    assert one.principal({"sub": "ada", "groups": ["c"]}).projects == set(), "none, not the default one"
    assert claims_map().principal({"sub": "ada", "groups": ["a"]}).projects == {"default"}
    with pytest.raises(InvalidInput, match="RETAIN_OIDC_PROJECTS: got 'a='"):
        projects_of("a=,b=red")


@pytest.mark.parametrize("groups", [None, 7, {"retain-admin": True}, [["retain-admin"]], "retain-administrator"])
def test_what_is_no_list_of_groups_gives_nothing(groups: Any) -> None:
    assert claims_map().principal({"sub": "ada", "groups": groups}).roles == set()


def test_groups_may_lie_deeper_or_be_one_text_or_have_dots_in_their_name() -> None:
    table = "ml-team=operator"
    deep = claims_map(roles="realm_access.roles", table=table)
    assert deep.principal({"sub": "a", "realm_access": {"roles": ["ml-team"]}}).roles == {Role.OPERATOR}
    assert deep.principal({"sub": "a", "realm_access": ["ml-team"]}).roles == set()
    one = claims_map(roles="https://example.org/groups", table=table)
    assert one.principal({"sub": "a", "https://example.org/groups": "ml-team"}).roles == {Role.OPERATOR}


@pytest.mark.parametrize("name", [None, "", 7, "x" * 201, "a\nb", "a\u202eb", ["ada"]])
def test_who_has_no_name_that_can_be_shown_is_refused(name: Any) -> None:
    with pytest.raises(Unauthenticated, match="names nobody"):
        claims_map().principal({"sub": name})


def test_an_address_counts_once_the_provider_has_verified_it() -> None:
    by_address = claims_map(name="email")
    assert by_address.principal({"email": "a@example.org", "email_verified": True}).subject == "oidc:a@example.org"
    for verified in (False, None, "true"):
        with pytest.raises(Unauthenticated, match="not verified"):
            by_address.principal({"email": "a@example.org", "email_verified": verified})


def test_a_group_s_name_may_hold_an_equals_sign() -> None:
    assert roles_of("cn=ml=operator, all=viewer,") == {"cn=ml": Role.OPERATOR, "all": Role.VIEWER}


def test_every_pair_that_is_none_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        roles_of("a=operator,b,c=worker,=viewer")
    assert [fault.description.partition(";")[0] for fault in caught.value.violations] == [
        "got 'b'",
        "got 'c=worker'",
        "got '=viewer'",
    ]
