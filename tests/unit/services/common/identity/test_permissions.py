"""The table of methods: complete over everything that any server serves, and no role may do more than it should."""

import importlib
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import retain
from services.common.identity.permissions import METHODS, PERMISSIONS, Permission, permissions_of, roles_with
from services.common.identity.principal import Role


def served() -> set[str]:
    """Full names of the methods of every service of ours, of health and of reflection."""
    files = [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    root = Path(retain.__file__).parent
    for path in sorted(root.rglob("*_pb2.py")):
        name = ".".join(("retain", *path.relative_to(root).with_suffix("").parts))
        files.append(importlib.import_module(name).DESCRIPTOR)
    services = [service for file in files for service in file.services_by_name.values()]
    assert len(services) >= 7, "ours, health and reflection"
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_method_of_every_service_is_in_the_table_and_nothing_else() -> None:
    missing, left_over = served() - METHODS.keys(), METHODS.keys() - served()
    # `List` of the health service is newer than some versions of its package.
    assert (missing, left_over - {"/grpc.health.v1.Health/List"}) == (set(), set())


def test_a_method_that_is_new_fails_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "/retain.orchestrator.v1.OrchestratorService/GetPipelineRun"
    monkeypatch.delitem(METHODS, name)  # type: ignore[arg-type]
    assert served() - METHODS.keys() == {name}


def test_only_probes_the_way_to_log_in_and_the_redemption_of_a_code_need_no_token() -> None:
    public = {name for name, needed in METHODS.items() if needed is Permission.PUBLIC}
    health = {f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch", "List")}
    assert public == health | {f"/retain.orchestrator.v1.IdentityService/{name}" for name in ("GetLogin", "JoinRun")}


def test_a_viewer_changes_nothing() -> None:
    changing = (
        "Create",
        "Update",
        "Cancel",
        "Approve",
        "Retry",
        "Delete",
        "Import",
        "Void",
        "Collect",
        "Write",
        "Revoke",
        "Begin",
    )
    allowed = {name.rpartition("/")[2] for name, needed in METHODS.items() if needed in PERMISSIONS[Role.VIEWER]}
    assert not [name for name in allowed if name.startswith((*changing, "Report", "End", "Export", "Sample"))]


def test_roles_of_people_grow() -> None:
    assert PERMISSIONS[Role.VIEWER] < PERMISSIONS[Role.OPERATOR] < PERMISSIONS[Role.ADMIN]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.SERVICE])
def test_workers_alone_train(role: Role) -> None:
    assert Permission.TRAIN not in PERMISSIONS[role]
    assert roles_with(Permission.TRAIN) == (Role.WORKER,)


def test_workers_and_services_touch_nothing_of_people() -> None:
    for role in (Role.WORKER, Role.SERVICE):
        assert not PERMISSIONS[role] & {Permission.WRITE, Permission.TOKENS, Permission.AUDIT, Permission.CLEAN}


def test_every_permission_is_of_use() -> None:
    assert descriptor_pool.Default() is not None
    assert set(METHODS.values()) == set(Permission)
    assert permissions_of(Role) == set(Permission) - {Permission.PUBLIC}
    assert permissions_of(()) == frozenset()
