from retain.orchestrator.v1 import identity_service_pb2 as _identity_service_pb2
from retain.orchestrator.v1 import resources_pb2 as _resources_pb2
from retain.types.v1 import spec_pb2 as _spec_pb2
from retain.types.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EndOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_OUTCOME_UNSPECIFIED: _ClassVar[EndOutcome]
    END_OUTCOME_COMPLETED: _ClassVar[EndOutcome]
    END_OUTCOME_FAILED: _ClassVar[EndOutcome]
    END_OUTCOME_INTERRUPTED: _ClassVar[EndOutcome]
END_OUTCOME_UNSPECIFIED: EndOutcome
END_OUTCOME_COMPLETED: EndOutcome
END_OUTCOME_FAILED: EndOutcome
END_OUTCOME_INTERRUPTED: EndOutcome

class BeginAttemptRequest(_message.Message):
    __slots__ = ("run_id", "submission", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class BeginAttemptResponse(_message.Message):
    __slots__ = ("prepare", "stage", "release")
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    prepare: PrepareWork
    stage: StageWork
    release: ReleaseWork
    def __init__(self, prepare: _Optional[_Union[PrepareWork, _Mapping]] = ..., stage: _Optional[_Union[StageWork, _Mapping]] = ..., release: _Optional[_Union[ReleaseWork, _Mapping]] = ...) -> None: ...

class GetRunKeysRequest(_message.Message):
    __slots__ = ("run_id", "submission")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ...) -> None: ...

class GetRunKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _identity_service_pb2.StoreKeys
    def __init__(self, keys: _Optional[_Union[_identity_service_pb2.StoreKeys, _Mapping]] = ...) -> None: ...

class ReleaseWork(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class PrepareWork(_message.Message):
    __slots__ = ("attempt", "spec", "stages", "base")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    spec: _spec_pb2.PipelineSpec
    stages: _containers.RepeatedCompositeFieldContainer[PrepareStage]
    base: _values_pb2.CheckpointRef
    def __init__(self, attempt: _Optional[int] = ..., spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[PrepareStage, _Mapping]]] = ..., base: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ...) -> None: ...

class PrepareStage(_message.Message):
    __slots__ = ("index", "name", "sources", "target", "shares", "never_replayed")
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    NEVER_REPLAYED_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    sources: _containers.ScalarMap[str, str]
    target: str
    shares: _containers.ScalarMap[str, float]
    never_replayed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., sources: _Optional[_Mapping[str, str]] = ..., target: _Optional[str] = ..., shares: _Optional[_Mapping[str, float]] = ..., never_replayed: _Optional[_Iterable[str]] = ...) -> None: ...

class StageWork(_message.Message):
    __slots__ = ("attempt", "index", "name", "spec", "output_uri", "parent", "resume", "target", "shards", "tokenizer", "shares", "lr_scale", "total_steps", "steps_per_boundary", "decision_lag", "sampled", "mix_trial")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_URI_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    LR_SCALE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    DECISION_LAG_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_FIELD_NUMBER: _ClassVar[int]
    MIX_TRIAL_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    index: int
    name: str
    spec: _spec_pb2.PipelineSpec
    output_uri: str
    parent: _values_pb2.CheckpointRef
    resume: _values_pb2.CheckpointRef
    target: str
    shards: _containers.RepeatedCompositeFieldContainer[_values_pb2.PreparedFolder]
    tokenizer: _values_pb2.PreparedFolder
    shares: _containers.ScalarMap[str, float]
    lr_scale: float
    total_steps: int
    steps_per_boundary: int
    decision_lag: int
    sampled: _containers.RepeatedCompositeFieldContainer[_values_pb2.SampledText]
    mix_trial: MixTrialWork
    def __init__(self, attempt: _Optional[int] = ..., index: _Optional[int] = ..., name: _Optional[str] = ..., spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., output_uri: _Optional[str] = ..., parent: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., resume: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., target: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[_values_pb2.PreparedFolder, _Mapping]]] = ..., tokenizer: _Optional[_Union[_values_pb2.PreparedFolder, _Mapping]] = ..., shares: _Optional[_Mapping[str, float]] = ..., lr_scale: _Optional[float] = ..., total_steps: _Optional[int] = ..., steps_per_boundary: _Optional[int] = ..., decision_lag: _Optional[int] = ..., sampled: _Optional[_Iterable[_Union[_values_pb2.SampledText, _Mapping]]] = ..., mix_trial: _Optional[_Union[MixTrialWork, _Mapping]] = ...) -> None: ...

class MixTrialWork(_message.Message):
    __slots__ = ("steps", "learning_rate", "rank", "shares", "sets", "most_bits_per_byte")
    class MostBitsPerByteEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    MOST_BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    learning_rate: float
    rank: int
    shares: _containers.RepeatedScalarFieldContainer[float]
    sets: _containers.RepeatedCompositeFieldContainer[_values_pb2.EvalSetRef]
    most_bits_per_byte: _containers.ScalarMap[str, float]
    def __init__(self, steps: _Optional[int] = ..., learning_rate: _Optional[float] = ..., rank: _Optional[int] = ..., shares: _Optional[_Iterable[float]] = ..., sets: _Optional[_Iterable[_Union[_values_pb2.EvalSetRef, _Mapping]]] = ..., most_bits_per_byte: _Optional[_Mapping[str, float]] = ...) -> None: ...

class ReportMixTrialRequest(_message.Message):
    __slots__ = ("run_id", "submission", "attempt", "stage_index", "points", "tokens", "seconds")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    attempt: int
    stage_index: int
    points: _containers.RepeatedCompositeFieldContainer[_resources_pb2.MixPoint]
    tokens: int
    seconds: float
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ..., attempt: _Optional[int] = ..., stage_index: _Optional[int] = ..., points: _Optional[_Iterable[_Union[_resources_pb2.MixPoint, _Mapping]]] = ..., tokens: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class ReportMixTrialResponse(_message.Message):
    __slots__ = ("shares", "message")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SHARES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.ScalarMap[str, float]
    message: str
    def __init__(self, shares: _Optional[_Mapping[str, float]] = ..., message: _Optional[str] = ...) -> None: ...

class ReportProgressRequest(_message.Message):
    __slots__ = ("run_id", "submission", "attempt", "stage_index", "phase", "step", "tokens", "train_loss_nats", "learning_rate", "tokens_per_second", "curriculum_level", "prepare_progress", "heartbeat", "wait_seconds", "stall_seconds", "upload_failures", "waiting_for", "train_seconds")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_LEVEL_FIELD_NUMBER: _ClassVar[int]
    PREPARE_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FAILURES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    attempt: int
    stage_index: int
    phase: _resources_pb2.StagePhase
    step: int
    tokens: int
    train_loss_nats: float
    learning_rate: float
    tokens_per_second: float
    curriculum_level: int
    prepare_progress: float
    heartbeat: int
    wait_seconds: float
    stall_seconds: float
    upload_failures: int
    waiting_for: str
    train_seconds: float
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ..., attempt: _Optional[int] = ..., stage_index: _Optional[int] = ..., phase: _Optional[_Union[_resources_pb2.StagePhase, str]] = ..., step: _Optional[int] = ..., tokens: _Optional[int] = ..., train_loss_nats: _Optional[float] = ..., learning_rate: _Optional[float] = ..., tokens_per_second: _Optional[float] = ..., curriculum_level: _Optional[int] = ..., prepare_progress: _Optional[float] = ..., heartbeat: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., stall_seconds: _Optional[float] = ..., upload_failures: _Optional[int] = ..., waiting_for: _Optional[str] = ..., train_seconds: _Optional[float] = ...) -> None: ...

class ReportProgressResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReportCheckpointRequest(_message.Message):
    __slots__ = ("run_id", "submission", "attempt", "stage_index", "boundary", "checkpoint", "parent", "bytes", "train_loss_nats", "upload_seconds", "stall_seconds", "interim")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INTERIM_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    attempt: int
    stage_index: int
    boundary: int
    checkpoint: _values_pb2.CheckpointRef
    parent: str
    bytes: int
    train_loss_nats: float
    upload_seconds: float
    stall_seconds: float
    interim: bool
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ..., attempt: _Optional[int] = ..., stage_index: _Optional[int] = ..., boundary: _Optional[int] = ..., checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., parent: _Optional[str] = ..., bytes: _Optional[int] = ..., train_loss_nats: _Optional[float] = ..., upload_seconds: _Optional[float] = ..., stall_seconds: _Optional[float] = ..., interim: _Optional[bool] = ...) -> None: ...

class ReportCheckpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDirectiveRequest(_message.Message):
    __slots__ = ("run_id", "submission", "attempt", "stage_index", "boundary")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    attempt: int
    stage_index: int
    boundary: int
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ..., attempt: _Optional[int] = ..., stage_index: _Optional[int] = ..., boundary: _Optional[int] = ...) -> None: ...

class GetDirectiveResponse(_message.Message):
    __slots__ = ("pending", "verdict", "shares", "lr_scale", "message")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PENDING_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    LR_SCALE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    pending: bool
    verdict: _resources_pb2.Verdict
    shares: _containers.ScalarMap[str, float]
    lr_scale: float
    message: str
    def __init__(self, pending: _Optional[bool] = ..., verdict: _Optional[_Union[_resources_pb2.Verdict, str]] = ..., shares: _Optional[_Mapping[str, float]] = ..., lr_scale: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class EndStageRequest(_message.Message):
    __slots__ = ("run_id", "submission", "attempt", "stage_index", "outcome", "reason", "message", "prepared", "damaged")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    submission: int
    attempt: int
    stage_index: int
    outcome: EndOutcome
    reason: str
    message: str
    prepared: PreparedData
    damaged: _values_pb2.CheckpointRef
    def __init__(self, run_id: _Optional[str] = ..., submission: _Optional[int] = ..., attempt: _Optional[int] = ..., stage_index: _Optional[int] = ..., outcome: _Optional[_Union[EndOutcome, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., prepared: _Optional[_Union[PreparedData, _Mapping]] = ..., damaged: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ...) -> None: ...

class EndStageResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PreparedData(_message.Message):
    __slots__ = ("tokenizer", "stages", "overlap", "parameters", "base", "near_duplicates", "sampled")
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
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_FIELD_NUMBER: _ClassVar[int]
    tokenizer: _values_pb2.PreparedFolder
    stages: _containers.RepeatedCompositeFieldContainer[PreparedStage]
    overlap: _containers.ScalarMap[str, float]
    parameters: int
    base: _values_pb2.CheckpointRef
    near_duplicates: _containers.ScalarMap[str, float]
    sampled: _containers.RepeatedCompositeFieldContainer[_values_pb2.SampledText]
    def __init__(self, tokenizer: _Optional[_Union[_values_pb2.PreparedFolder, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[PreparedStage, _Mapping]]] = ..., overlap: _Optional[_Mapping[str, float]] = ..., parameters: _Optional[int] = ..., base: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., near_duplicates: _Optional[_Mapping[str, float]] = ..., sampled: _Optional[_Iterable[_Union[_values_pb2.SampledText, _Mapping]]] = ...) -> None: ...

class PreparedStage(_message.Message):
    __slots__ = ("index", "shards", "sets", "steps", "passes")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    index: int
    shards: _containers.RepeatedCompositeFieldContainer[_values_pb2.PreparedFolder]
    sets: _containers.RepeatedCompositeFieldContainer[_values_pb2.EvalSetRef]
    steps: int
    passes: _values_pb2.Passes
    def __init__(self, index: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[_values_pb2.PreparedFolder, _Mapping]]] = ..., sets: _Optional[_Iterable[_Union[_values_pb2.EvalSetRef, _Mapping]]] = ..., steps: _Optional[int] = ..., passes: _Optional[_Union[_values_pb2.Passes, _Mapping]] = ...) -> None: ...
