import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from retain.types.v1 import spec_pb2 as _spec_pb2
from retain.types.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_PENDING: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_SUSPENDED: _ClassVar[RunState]
    RUN_STATE_SUCCEEDED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_CANCELLED: _ClassVar[RunState]

class StageState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_STATE_UNSPECIFIED: _ClassVar[StageState]
    STAGE_STATE_LOCKED: _ClassVar[StageState]
    STAGE_STATE_READY: _ClassVar[StageState]
    STAGE_STATE_RUNNING: _ClassVar[StageState]
    STAGE_STATE_SUSPENDED: _ClassVar[StageState]
    STAGE_STATE_COMPLETE: _ClassVar[StageState]
    STAGE_STATE_FAILED: _ClassVar[StageState]

class StagePhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_PHASE_UNSPECIFIED: _ClassVar[StagePhase]
    STAGE_PHASE_PREPARING: _ClassVar[StagePhase]
    STAGE_PHASE_LOADING: _ClassVar[StagePhase]
    STAGE_PHASE_TRAINING: _ClassVar[StagePhase]
    STAGE_PHASE_SAVING: _ClassVar[StagePhase]
    STAGE_PHASE_WAITING: _ClassVar[StagePhase]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_CONTINUE: _ClassVar[Verdict]
    VERDICT_ADJUST: _ClassVar[Verdict]
    VERDICT_ROLL_BACK: _ClassVar[Verdict]
    VERDICT_STOP: _ClassVar[Verdict]
    VERDICT_ACCEPT: _ClassVar[Verdict]
    VERDICT_INTERPOLATE: _ClassVar[Verdict]

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_OK: _ClassVar[Severity]
    SEVERITY_MINOR: _ClassVar[Severity]
    SEVERITY_ACTION: _ClassVar[Severity]
    SEVERITY_STOP: _ClassVar[Severity]
    SEVERITY_UNRESOLVED: _ClassVar[Severity]

class ComponentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPONENT_STATE_UNSPECIFIED: _ClassVar[ComponentState]
    COMPONENT_STATE_UP: _ClassVar[ComponentState]
    COMPONENT_STATE_DOWN: _ClassVar[ComponentState]

class AlertKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_KIND_UNSPECIFIED: _ClassVar[AlertKind]
    ALERT_KIND_FORGETTING: _ClassVar[AlertKind]
    ALERT_KIND_NEEDS_PERSON: _ClassVar[AlertKind]
    ALERT_KIND_WAITS: _ClassVar[AlertKind]
    ALERT_KIND_UPLOADS_FAIL: _ClassVar[AlertKind]

class CheckpointState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECKPOINT_STATE_UNSPECIFIED: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_LIVE: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_VOID: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_ACCEPTED: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_PRUNED: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_PRUNING: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_DAMAGED: _ClassVar[CheckpointState]
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_PENDING: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_SUSPENDED: RunState
RUN_STATE_SUCCEEDED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_CANCELLED: RunState
STAGE_STATE_UNSPECIFIED: StageState
STAGE_STATE_LOCKED: StageState
STAGE_STATE_READY: StageState
STAGE_STATE_RUNNING: StageState
STAGE_STATE_SUSPENDED: StageState
STAGE_STATE_COMPLETE: StageState
STAGE_STATE_FAILED: StageState
STAGE_PHASE_UNSPECIFIED: StagePhase
STAGE_PHASE_PREPARING: StagePhase
STAGE_PHASE_LOADING: StagePhase
STAGE_PHASE_TRAINING: StagePhase
STAGE_PHASE_SAVING: StagePhase
STAGE_PHASE_WAITING: StagePhase
VERDICT_UNSPECIFIED: Verdict
VERDICT_CONTINUE: Verdict
VERDICT_ADJUST: Verdict
VERDICT_ROLL_BACK: Verdict
VERDICT_STOP: Verdict
VERDICT_ACCEPT: Verdict
VERDICT_INTERPOLATE: Verdict
SEVERITY_UNSPECIFIED: Severity
SEVERITY_OK: Severity
SEVERITY_MINOR: Severity
SEVERITY_ACTION: Severity
SEVERITY_STOP: Severity
SEVERITY_UNRESOLVED: Severity
COMPONENT_STATE_UNSPECIFIED: ComponentState
COMPONENT_STATE_UP: ComponentState
COMPONENT_STATE_DOWN: ComponentState
ALERT_KIND_UNSPECIFIED: AlertKind
ALERT_KIND_FORGETTING: AlertKind
ALERT_KIND_NEEDS_PERSON: AlertKind
ALERT_KIND_WAITS: AlertKind
ALERT_KIND_UPLOADS_FAIL: AlertKind
CHECKPOINT_STATE_UNSPECIFIED: CheckpointState
CHECKPOINT_STATE_LIVE: CheckpointState
CHECKPOINT_STATE_VOID: CheckpointState
CHECKPOINT_STATE_ACCEPTED: CheckpointState
CHECKPOINT_STATE_PRUNED: CheckpointState
CHECKPOINT_STATE_PRUNING: CheckpointState
CHECKPOINT_STATE_DAMAGED: CheckpointState

class PipelineRun(_message.Message):
    __slots__ = ("id", "spec", "status", "etag", "sequence", "create_time", "update_time", "end_time", "project", "priority")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    spec: _spec_pb2.PipelineSpec
    status: RunStatus
    etag: str
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    project: str
    priority: int
    def __init__(self, id: _Optional[str] = ..., spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., status: _Optional[_Union[RunStatus, _Mapping]] = ..., etag: _Optional[str] = ..., sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., project: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class RunStatus(_message.Message):
    __slots__ = ("state", "reason", "message", "stages", "queue_position", "submission", "phase", "prepare_progress", "prepared", "overlap", "waiting_for", "near_duplicates", "sampled")
    class OverlapEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class NearDuplicatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PREPARE_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_FIELD_NUMBER: _ClassVar[int]
    state: RunState
    reason: str
    message: str
    stages: _containers.RepeatedCompositeFieldContainer[StageStatus]
    queue_position: int
    submission: int
    phase: StagePhase
    prepare_progress: float
    prepared: _containers.RepeatedCompositeFieldContainer[_values_pb2.PreparedFolder]
    overlap: _containers.ScalarMap[str, float]
    waiting_for: str
    near_duplicates: _containers.ScalarMap[str, float]
    sampled: _containers.RepeatedCompositeFieldContainer[_values_pb2.SampledText]
    def __init__(self, state: _Optional[_Union[RunState, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[StageStatus, _Mapping]]] = ..., queue_position: _Optional[int] = ..., submission: _Optional[int] = ..., phase: _Optional[_Union[StagePhase, str]] = ..., prepare_progress: _Optional[float] = ..., prepared: _Optional[_Iterable[_Union[_values_pb2.PreparedFolder, _Mapping]]] = ..., overlap: _Optional[_Mapping[str, float]] = ..., waiting_for: _Optional[str] = ..., near_duplicates: _Optional[_Mapping[str, float]] = ..., sampled: _Optional[_Iterable[_Union[_values_pb2.SampledText, _Mapping]]] = ...) -> None: ...

class StageStatus(_message.Message):
    __slots__ = ("index", "name", "kind", "domain", "state", "attempt", "step", "total_steps", "tokens", "total_tokens", "train_loss_nats", "learning_rate", "tokens_per_second", "shares", "lr_scale", "retries", "forgetting", "worst_set", "scores", "results", "report_scores", "report_results", "accepted", "latest", "checkpoints", "unlocked_by", "curriculum_level", "wall_seconds", "stall_seconds", "wait_seconds", "passes", "time_left_seconds", "boundary_share", "probe")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    LR_SCALE_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    WORST_SET_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REPORT_SCORES_FIELD_NUMBER: _ClassVar[int]
    REPORT_RESULTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    UNLOCKED_BY_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_LEVEL_FIELD_NUMBER: _ClassVar[int]
    WALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    kind: _spec_pb2.StageKind
    domain: _spec_pb2.Domain
    state: StageState
    attempt: int
    step: int
    total_steps: int
    tokens: int
    total_tokens: int
    train_loss_nats: float
    learning_rate: float
    tokens_per_second: float
    shares: _containers.ScalarMap[str, float]
    lr_scale: float
    retries: int
    forgetting: float
    worst_set: str
    scores: _containers.RepeatedCompositeFieldContainer[_values_pb2.ForgettingScore]
    results: _containers.RepeatedCompositeFieldContainer[_values_pb2.SetResult]
    report_scores: _containers.RepeatedCompositeFieldContainer[_values_pb2.ForgettingScore]
    report_results: _containers.RepeatedCompositeFieldContainer[_values_pb2.SetResult]
    accepted: _values_pb2.CheckpointRef
    latest: _values_pb2.CheckpointRef
    checkpoints: int
    unlocked_by: str
    curriculum_level: int
    wall_seconds: float
    stall_seconds: float
    wait_seconds: float
    passes: _values_pb2.Passes
    time_left_seconds: float
    boundary_share: float
    probe: _values_pb2.ProbeReport
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[_spec_pb2.StageKind, str]] = ..., domain: _Optional[_Union[_spec_pb2.Domain, str]] = ..., state: _Optional[_Union[StageState, str]] = ..., attempt: _Optional[int] = ..., step: _Optional[int] = ..., total_steps: _Optional[int] = ..., tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., train_loss_nats: _Optional[float] = ..., learning_rate: _Optional[float] = ..., tokens_per_second: _Optional[float] = ..., shares: _Optional[_Mapping[str, float]] = ..., lr_scale: _Optional[float] = ..., retries: _Optional[int] = ..., forgetting: _Optional[float] = ..., worst_set: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[_values_pb2.ForgettingScore, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[_values_pb2.SetResult, _Mapping]]] = ..., report_scores: _Optional[_Iterable[_Union[_values_pb2.ForgettingScore, _Mapping]]] = ..., report_results: _Optional[_Iterable[_Union[_values_pb2.SetResult, _Mapping]]] = ..., accepted: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., latest: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., checkpoints: _Optional[int] = ..., unlocked_by: _Optional[str] = ..., curriculum_level: _Optional[int] = ..., wall_seconds: _Optional[float] = ..., stall_seconds: _Optional[float] = ..., wait_seconds: _Optional[float] = ..., passes: _Optional[_Union[_values_pb2.Passes, _Mapping]] = ..., time_left_seconds: _Optional[float] = ..., boundary_share: _Optional[float] = ..., probe: _Optional[_Union[_values_pb2.ProbeReport, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("run_id", "number", "stage", "attempt", "boundary", "step", "verdict", "severity", "forgetting", "projected", "threshold", "worst_set", "scores", "shares", "lr_scale", "target", "message", "time", "actor", "recommendations", "points", "suspicious", "probe", "mixes")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    WORST_SET_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    LR_SCALE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDATIONS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SUSPICIOUS_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    MIXES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    number: int
    stage: str
    attempt: int
    boundary: int
    step: int
    verdict: Verdict
    severity: Severity
    forgetting: float
    projected: float
    threshold: float
    worst_set: str
    scores: _containers.RepeatedCompositeFieldContainer[_values_pb2.ForgettingScore]
    shares: _containers.ScalarMap[str, float]
    lr_scale: float
    target: _values_pb2.CheckpointRef
    message: str
    time: _timestamp_pb2.Timestamp
    actor: str
    recommendations: _containers.RepeatedScalarFieldContainer[str]
    points: _containers.RepeatedCompositeFieldContainer[LinePoint]
    suspicious: bool
    probe: _values_pb2.ProbeReport
    mixes: _containers.RepeatedCompositeFieldContainer[MixPoint]
    def __init__(self, run_id: _Optional[str] = ..., number: _Optional[int] = ..., stage: _Optional[str] = ..., attempt: _Optional[int] = ..., boundary: _Optional[int] = ..., step: _Optional[int] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., severity: _Optional[_Union[Severity, str]] = ..., forgetting: _Optional[float] = ..., projected: _Optional[float] = ..., threshold: _Optional[float] = ..., worst_set: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[_values_pb2.ForgettingScore, _Mapping]]] = ..., shares: _Optional[_Mapping[str, float]] = ..., lr_scale: _Optional[float] = ..., target: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., message: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., recommendations: _Optional[_Iterable[str]] = ..., points: _Optional[_Iterable[_Union[LinePoint, _Mapping]]] = ..., suspicious: _Optional[bool] = ..., probe: _Optional[_Union[_values_pb2.ProbeReport, _Mapping]] = ..., mixes: _Optional[_Iterable[_Union[MixPoint, _Mapping]]] = ...) -> None: ...

class MixPoint(_message.Message):
    __slots__ = ("share", "target_loss_nats", "forgetting_nats")
    class ForgettingNatsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SHARE_FIELD_NUMBER: _ClassVar[int]
    TARGET_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_NATS_FIELD_NUMBER: _ClassVar[int]
    share: float
    target_loss_nats: float
    forgetting_nats: _containers.ScalarMap[str, float]
    def __init__(self, share: _Optional[float] = ..., target_loss_nats: _Optional[float] = ..., forgetting_nats: _Optional[_Mapping[str, float]] = ...) -> None: ...

class LinePoint(_message.Message):
    __slots__ = ("point", "forgetting", "worst_set", "target_loss_nats", "kind")
    POINT_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    WORST_SET_FIELD_NUMBER: _ClassVar[int]
    TARGET_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    point: float
    forgetting: float
    worst_set: str
    target_loss_nats: float
    kind: _values_pb2.PointKind
    def __init__(self, point: _Optional[float] = ..., forgetting: _Optional[float] = ..., worst_set: _Optional[str] = ..., target_loss_nats: _Optional[float] = ..., kind: _Optional[_Union[_values_pb2.PointKind, str]] = ...) -> None: ...

class MetricSeries(_message.Message):
    __slots__ = ("name", "set", "stage", "stage_index", "steps", "tokens", "unix_seconds", "attempts", "values", "stored_points")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    UNIX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STORED_POINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    set: str
    stage: str
    stage_index: int
    steps: _containers.RepeatedScalarFieldContainer[int]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    unix_seconds: _containers.RepeatedScalarFieldContainer[float]
    attempts: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    stored_points: int
    def __init__(self, name: _Optional[str] = ..., set: _Optional[str] = ..., stage: _Optional[str] = ..., stage_index: _Optional[int] = ..., steps: _Optional[_Iterable[int]] = ..., tokens: _Optional[_Iterable[int]] = ..., unix_seconds: _Optional[_Iterable[float]] = ..., attempts: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ..., stored_points: _Optional[int] = ...) -> None: ...

class ComponentStatus(_message.Message):
    __slots__ = ("name", "state", "reason", "since_time", "check_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHECK_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: ComponentState
    reason: str
    since_time: _timestamp_pb2.Timestamp
    check_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[ComponentState, str]] = ..., reason: _Optional[str] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., check_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SystemStatus(_message.Message):
    __slots__ = ("start_time", "slots", "slots_held", "runs_waiting", "unreadable_records", "components")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_HELD_FIELD_NUMBER: _ClassVar[int]
    RUNS_WAITING_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_RECORDS_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    slots: int
    slots_held: int
    runs_waiting: int
    unreadable_records: int
    components: _containers.RepeatedCompositeFieldContainer[ComponentStatus]
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., slots: _Optional[int] = ..., slots_held: _Optional[int] = ..., runs_waiting: _Optional[int] = ..., unreadable_records: _Optional[int] = ..., components: _Optional[_Iterable[_Union[ComponentStatus, _Mapping]]] = ...) -> None: ...

class RunAlert(_message.Message):
    __slots__ = ("run_id", "stage", "kind", "severity", "retention_set", "ratio", "threshold", "message")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    RETENTION_SET_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    stage: str
    kind: AlertKind
    severity: Severity
    retention_set: str
    ratio: float
    threshold: float
    message: str
    def __init__(self, run_id: _Optional[str] = ..., stage: _Optional[str] = ..., kind: _Optional[_Union[AlertKind, str]] = ..., severity: _Optional[_Union[Severity, str]] = ..., retention_set: _Optional[str] = ..., ratio: _Optional[float] = ..., threshold: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("id", "ref", "run_id", "stage", "attempt", "parent", "state", "bytes", "train_loss_nats", "forgetting", "create_time", "kind", "domain", "message", "interim", "project", "shared_with", "point", "point_kind", "other_end")
    ID_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    INTERIM_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    SHARED_WITH_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    POINT_KIND_FIELD_NUMBER: _ClassVar[int]
    OTHER_END_FIELD_NUMBER: _ClassVar[int]
    id: str
    ref: _values_pb2.CheckpointRef
    run_id: str
    stage: str
    attempt: int
    parent: str
    state: CheckpointState
    bytes: int
    train_loss_nats: float
    forgetting: float
    create_time: _timestamp_pb2.Timestamp
    kind: _spec_pb2.StageKind
    domain: _spec_pb2.Domain
    message: str
    interim: bool
    project: str
    shared_with: _containers.RepeatedScalarFieldContainer[str]
    point: float
    point_kind: _values_pb2.PointKind
    other_end: str
    def __init__(self, id: _Optional[str] = ..., ref: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., run_id: _Optional[str] = ..., stage: _Optional[str] = ..., attempt: _Optional[int] = ..., parent: _Optional[str] = ..., state: _Optional[_Union[CheckpointState, str]] = ..., bytes: _Optional[int] = ..., train_loss_nats: _Optional[float] = ..., forgetting: _Optional[float] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[_spec_pb2.StageKind, str]] = ..., domain: _Optional[_Union[_spec_pb2.Domain, str]] = ..., message: _Optional[str] = ..., interim: _Optional[bool] = ..., project: _Optional[str] = ..., shared_with: _Optional[_Iterable[str]] = ..., point: _Optional[float] = ..., point_kind: _Optional[_Union[_values_pb2.PointKind, str]] = ..., other_end: _Optional[str] = ...) -> None: ...

class Benchmark(_message.Message):
    __slots__ = ("id", "checkpoint", "harness", "versions", "settings", "tasks", "create_time", "subject")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    HARNESS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    id: str
    checkpoint: _values_pb2.CheckpointRef
    harness: str
    versions: _containers.ScalarMap[str, str]
    settings: _containers.ScalarMap[str, str]
    tasks: _containers.RepeatedCompositeFieldContainer[BenchmarkTask]
    create_time: _timestamp_pb2.Timestamp
    subject: str
    def __init__(self, id: _Optional[str] = ..., checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., harness: _Optional[str] = ..., versions: _Optional[_Mapping[str, str]] = ..., settings: _Optional[_Mapping[str, str]] = ..., tasks: _Optional[_Iterable[_Union[BenchmarkTask, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subject: _Optional[str] = ...) -> None: ...

class BenchmarkTask(_message.Message):
    __slots__ = ("task", "version", "digest", "samples", "metrics")
    TASK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    task: str
    version: str
    digest: str
    samples: int
    metrics: _containers.RepeatedCompositeFieldContainer[BenchmarkMetric]
    def __init__(self, task: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., samples: _Optional[int] = ..., metrics: _Optional[_Iterable[_Union[BenchmarkMetric, _Mapping]]] = ...) -> None: ...

class BenchmarkMetric(_message.Message):
    __slots__ = ("metric", "figure", "standard_error")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    metric: str
    figure: float
    standard_error: float
    def __init__(self, metric: _Optional[str] = ..., figure: _Optional[float] = ..., standard_error: _Optional[float] = ...) -> None: ...

class PipelinePlan(_message.Message):
    __slots__ = ("spec", "stages", "parameters", "warnings", "policy", "queue")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.PipelineSpec
    stages: _containers.RepeatedCompositeFieldContainer[PlannedStage]
    parameters: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    policy: _containers.RepeatedScalarFieldContainer[str]
    queue: QueueForecast
    def __init__(self, spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[PlannedStage, _Mapping]]] = ..., parameters: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., policy: _Optional[_Iterable[str]] = ..., queue: _Optional[_Union[QueueForecast, _Mapping]] = ...) -> None: ...

class QueueForecast(_message.Message):
    __slots__ = ("project", "position", "slots_ahead", "slots_wanted", "slots_free", "slots", "quotas")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SLOTS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    SLOTS_WANTED_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FREE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    project: str
    position: int
    slots_ahead: int
    slots_wanted: int
    slots_free: int
    slots: int
    quotas: _containers.RepeatedCompositeFieldContainer[QuotaUse]
    def __init__(self, project: _Optional[str] = ..., position: _Optional[int] = ..., slots_ahead: _Optional[int] = ..., slots_wanted: _Optional[int] = ..., slots_free: _Optional[int] = ..., slots: _Optional[int] = ..., quotas: _Optional[_Iterable[_Union[QuotaUse, _Mapping]]] = ...) -> None: ...

class QuotaUse(_message.Message):
    __slots__ = ("quota", "limit", "used", "asked")
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    quota: str
    limit: int
    used: int
    asked: int
    def __init__(self, quota: _Optional[str] = ..., limit: _Optional[int] = ..., used: _Optional[int] = ..., asked: _Optional[int] = ...) -> None: ...

class PlannedStage(_message.Message):
    __slots__ = ("name", "kind", "domain", "tokens", "steps", "steps_per_boundary", "boundaries", "retention_sets", "sources", "learning_rate", "base", "never_replayed", "boundary_cost", "needs")
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    RETENTION_SETS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    NEVER_REPLAYED_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_COST_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _spec_pb2.StageKind
    domain: _spec_pb2.Domain
    tokens: int
    steps: int
    steps_per_boundary: int
    boundaries: int
    retention_sets: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.ScalarMap[str, str]
    learning_rate: float
    base: str
    never_replayed: _containers.RepeatedScalarFieldContainer[str]
    boundary_cost: BoundaryCost
    needs: StageNeeds
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_spec_pb2.StageKind, str]] = ..., domain: _Optional[_Union[_spec_pb2.Domain, str]] = ..., tokens: _Optional[int] = ..., steps: _Optional[int] = ..., steps_per_boundary: _Optional[int] = ..., boundaries: _Optional[int] = ..., retention_sets: _Optional[_Iterable[str]] = ..., sources: _Optional[_Mapping[str, str]] = ..., learning_rate: _Optional[float] = ..., base: _Optional[str] = ..., never_replayed: _Optional[_Iterable[str]] = ..., boundary_cost: _Optional[_Union[BoundaryCost, _Mapping]] = ..., needs: _Optional[_Union[StageNeeds, _Mapping]] = ...) -> None: ...

class StageNeeds(_message.Message):
    __slots__ = ("memory", "memory_limit_bytes", "training_flops", "store_bytes", "disk_bytes", "unknown", "warning", "too_large", "notes", "sampled_tokens", "sampling_flops")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FLOPS_FIELD_NUMBER: _ClassVar[int]
    STORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    TOO_LARGE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FLOPS_FIELD_NUMBER: _ClassVar[int]
    memory: MemoryEstimate
    memory_limit_bytes: int
    training_flops: float
    store_bytes: int
    disk_bytes: int
    unknown: _containers.RepeatedScalarFieldContainer[str]
    warning: str
    too_large: bool
    notes: _containers.RepeatedScalarFieldContainer[str]
    sampled_tokens: int
    sampling_flops: float
    def __init__(self, memory: _Optional[_Union[MemoryEstimate, _Mapping]] = ..., memory_limit_bytes: _Optional[int] = ..., training_flops: _Optional[float] = ..., store_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., unknown: _Optional[_Iterable[str]] = ..., warning: _Optional[str] = ..., too_large: _Optional[bool] = ..., notes: _Optional[_Iterable[str]] = ..., sampled_tokens: _Optional[int] = ..., sampling_flops: _Optional[float] = ...) -> None: ...

class MemoryEstimate(_message.Message):
    __slots__ = ("weights_bytes", "gradients_bytes", "moments_bytes", "copies_bytes", "parent_bytes", "activations_bytes", "runtime_bytes", "total_bytes", "host_bytes")
    WEIGHTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    COPIES_BYTES_FIELD_NUMBER: _ClassVar[int]
    PARENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    weights_bytes: int
    gradients_bytes: int
    moments_bytes: int
    copies_bytes: int
    parent_bytes: int
    activations_bytes: int
    runtime_bytes: int
    total_bytes: int
    host_bytes: int
    def __init__(self, weights_bytes: _Optional[int] = ..., gradients_bytes: _Optional[int] = ..., moments_bytes: _Optional[int] = ..., copies_bytes: _Optional[int] = ..., parent_bytes: _Optional[int] = ..., activations_bytes: _Optional[int] = ..., runtime_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., host_bytes: _Optional[int] = ...) -> None: ...

class BoundaryCost(_message.Message):
    __slots__ = ("checkpoint_bytes", "upload_seconds", "evaluation_tokens", "evaluation_seconds", "interval_seconds", "boundary_seconds", "training_seconds", "share", "basis", "warning")
    CHECKPOINT_BYTES_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    checkpoint_bytes: int
    upload_seconds: float
    evaluation_tokens: int
    evaluation_seconds: float
    interval_seconds: float
    boundary_seconds: float
    training_seconds: float
    share: float
    basis: _containers.RepeatedScalarFieldContainer[str]
    warning: str
    def __init__(self, checkpoint_bytes: _Optional[int] = ..., upload_seconds: _Optional[float] = ..., evaluation_tokens: _Optional[int] = ..., evaluation_seconds: _Optional[float] = ..., interval_seconds: _Optional[float] = ..., boundary_seconds: _Optional[float] = ..., training_seconds: _Optional[float] = ..., share: _Optional[float] = ..., basis: _Optional[_Iterable[str]] = ..., warning: _Optional[str] = ...) -> None: ...
