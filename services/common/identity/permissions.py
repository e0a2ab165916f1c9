"""The one table of who may call what: a method needs a permission, and a role is a set of permissions.

Deny by default: a method that is not in METHODS is refused to everybody. A test walks every method of every service and
fails on one that is missing here.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from services.common.identity.principal import Role


class Permission(StrEnum):
    """What a call needs. PUBLIC needs no token: health for probes, how people log in, and the redemption of a join
    code, which is itself what lets a worker in."""

    PUBLIC = "public"
    WHO_AM_I = "identity.read"
    READ = "runs.read"
    WRITE = "runs.write"
    SAMPLE = "models.sample"
    EXPORT = "models.export"
    CLEAN = "store.clean"
    EVALUATE = "evaluations.run"
    TRAIN = "stages.work"
    MEASURE = "store.measure"
    TOKENS = "tokens.manage"
    AUDIT = "audit.read"
    PROJECTS = "projects.manage"


_VIEWER = frozenset({Permission.WHO_AM_I, Permission.READ})
_OPERATOR = _VIEWER | {Permission.WRITE, Permission.SAMPLE, Permission.EXPORT}
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _OPERATOR
    | {Permission.CLEAN, Permission.EVALUATE, Permission.TOKENS, Permission.AUDIT}
    | {Permission.PROJECTS},
    # Orchestrator and evaluator to each other.
    Role.SERVICE: frozenset({Permission.WHO_AM_I, Permission.READ, Permission.EVALUATE, Permission.MEASURE}),
    # One run's worker group; the interceptor also binds it to its run and submission.
    Role.WORKER: frozenset({Permission.WHO_AM_I, Permission.TRAIN}),
}


def _of(service: str, permission: Permission, *methods: str) -> dict[str, Permission]:
    return {f"/{service}/{method}": permission for method in methods}


_RUNS = "retain.orchestrator.v1.OrchestratorService"
_CHECKPOINTS = "retain.orchestrator.v1.CheckpointService"
_STAGES = "retain.orchestrator.v1.StageControlService"
_PROJECTS = "retain.orchestrator.v1.ProjectService"
_IDENTITY = "retain.orchestrator.v1.IdentityService"
_EVALUATOR = "retain.evaluator.v1.EvaluatorService"

METHODS: Mapping[str, Permission] = {
    **_of(_RUNS, Permission.READ, "GetPipelineRun", "ListPipelineRuns", "WatchPipelineRun", "ValidatePipelineSpec"),
    **_of(_RUNS, Permission.READ, "StreamLogs", "ListDecisions", "ListRunMetrics", "GetSystemStatus"),
    **_of(_RUNS, Permission.WRITE, "CreatePipelineRun", "CancelPipelineRun", "ApprovePipelineRun", "RetryPipelineRun"),
    **_of(_RUNS, Permission.WRITE, "UpdatePipelineRun", "DeletePipelineRun", "CreateUpload"),
    **_of(_CHECKPOINTS, Permission.READ, "ListCheckpoints", "GetCheckpoint", "ListBenchmarks"),
    **_of(_CHECKPOINTS, Permission.WRITE, "ImportCheckpoint", "VoidCheckpoint", "RecordBenchmark"),
    **_of(_CHECKPOINTS, Permission.WRITE, "ShareCheckpoint", "UnshareCheckpoint"),
    **_of(_CHECKPOINTS, Permission.EXPORT, "ExportCheckpoint"),
    **_of(_CHECKPOINTS, Permission.CLEAN, "CollectGarbage"),
    **_of(_STAGES, Permission.TRAIN, "BeginAttempt", "GetRunKeys"),
    **_of(_STAGES, Permission.TRAIN, "ReportProgress", "ReportCheckpoint", "GetDirective", "EndStage"),
    **_of(_STAGES, Permission.TRAIN, "ReportMixTrial"),
    **_of(_PROJECTS, Permission.READ, "GetProject", "ListProjects"),
    **_of(_PROJECTS, Permission.PROJECTS, "CreateProject", "UpdateProject"),
    **_of(_IDENTITY, Permission.WHO_AM_I, "WhoAmI"),
    **_of(_IDENTITY, Permission.TOKENS, "CreateToken", "ListTokens", "RevokeToken"),
    **_of(_IDENTITY, Permission.AUDIT, "ListAuditEvents"),
    **_of(_IDENTITY, Permission.PUBLIC, "GetLogin", "JoinRun"),
    **_of(_IDENTITY, Permission.MEASURE, "GetEvaluatorKeys"),
    **_of(_EVALUATOR, Permission.READ, "GetEvaluation", "ListEvaluations", "WatchEvaluation", "GetForgettingHistory"),
    **_of(_EVALUATOR, Permission.EVALUATE, "CreateEvaluation", "WritePoint", "DeleteRunRecords"),
    **_of(_EVALUATOR, Permission.SAMPLE, "SampleText"),
    **_of(_EVALUATOR, Permission.WRITE, "PreviewData", "EvaluateFile"),  # they read what a run would
    **_of("grpc.health.v1.Health", Permission.PUBLIC, "Check", "Watch", "List"),
    # It tells what there is to attack; whoever may read may ask.
    **_of("grpc.reflection.v1alpha.ServerReflection", Permission.READ, "ServerReflectionInfo"),
}


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Everything that any of the roles allows."""
    return frozenset[Permission]().union(*(PERMISSIONS[role] for role in roles))


def roles_with(permission: Permission) -> tuple[Role, ...]:
    """The roles that allow something, for messages."""
    return tuple(role for role in Role if permission in PERMISSIONS[role])


_JOIN = f"/{_IDENTITY}/JoinRun"


def needs_certificate(method: str, roles: Iterable[Role] | None) -> bool:
    """Whether a call comes from a service or a worker, who have certificates where there is TLS. `roles`: the caller's;
    None before it is known who calls."""
    return method == _JOIN if roles is None else not {Role.SERVICE, Role.WORKER}.isdisjoint(roles)
