import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from retain.types.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVALUATION_STATE_UNSPECIFIED: _ClassVar[EvaluationState]
    EVALUATION_STATE_PENDING: _ClassVar[EvaluationState]
    EVALUATION_STATE_RUNNING: _ClassVar[EvaluationState]
    EVALUATION_STATE_SUCCEEDED: _ClassVar[EvaluationState]
    EVALUATION_STATE_FAILED: _ClassVar[EvaluationState]
EVALUATION_STATE_UNSPECIFIED: EvaluationState
EVALUATION_STATE_PENDING: EvaluationState
EVALUATION_STATE_RUNNING: EvaluationState
EVALUATION_STATE_SUCCEEDED: EvaluationState
EVALUATION_STATE_FAILED: EvaluationState

class Evaluation(_message.Message):
    __slots__ = ("id", "request", "state", "results", "scores", "error", "error_reason", "sequence", "create_time", "end_time", "measure_seconds", "damaged", "waiting_for", "project", "probe")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    MEASURE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    id: str
    request: EvaluationRequest
    state: EvaluationState
    results: _containers.RepeatedCompositeFieldContainer[_values_pb2.SetResult]
    scores: _containers.RepeatedCompositeFieldContainer[_values_pb2.ForgettingScore]
    error: str
    error_reason: str
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    measure_seconds: float
    damaged: _values_pb2.CheckpointRef
    waiting_for: str
    project: str
    probe: _values_pb2.ProbeReport
    def __init__(self, id: _Optional[str] = ..., request: _Optional[_Union[EvaluationRequest, _Mapping]] = ..., state: _Optional[_Union[EvaluationState, str]] = ..., results: _Optional[_Iterable[_Union[_values_pb2.SetResult, _Mapping]]] = ..., scores: _Optional[_Iterable[_Union[_values_pb2.ForgettingScore, _Mapping]]] = ..., error: _Optional[str] = ..., error_reason: _Optional[str] = ..., sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., measure_seconds: _Optional[float] = ..., damaged: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., waiting_for: _Optional[str] = ..., project: _Optional[str] = ..., probe: _Optional[_Union[_values_pb2.ProbeReport, _Mapping]] = ...) -> None: ...

class EvaluationRequest(_message.Message):
    __slots__ = ("checkpoint", "sets", "baselines", "run_id", "stage", "step", "attempt", "export_metrics", "interpolation", "parent", "train_loss_nats", "base", "probe", "kind")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXPORT_METRICS_FIELD_NUMBER: _ClassVar[int]
    INTERPOLATION_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _values_pb2.CheckpointRef
    sets: _containers.RepeatedCompositeFieldContainer[_values_pb2.EvalSetRef]
    baselines: _containers.RepeatedCompositeFieldContainer[Baseline]
    run_id: str
    stage: str
    step: int
    attempt: int
    export_metrics: bool
    interpolation: float
    parent: _values_pb2.CheckpointRef
    train_loss_nats: float
    base: _values_pb2.CheckpointRef
    probe: ProbeRequest
    kind: _values_pb2.PointKind
    def __init__(self, checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., sets: _Optional[_Iterable[_Union[_values_pb2.EvalSetRef, _Mapping]]] = ..., baselines: _Optional[_Iterable[_Union[Baseline, _Mapping]]] = ..., run_id: _Optional[str] = ..., stage: _Optional[str] = ..., step: _Optional[int] = ..., attempt: _Optional[int] = ..., export_metrics: _Optional[bool] = ..., interpolation: _Optional[float] = ..., parent: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., train_loss_nats: _Optional[float] = ..., base: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., probe: _Optional[_Union[ProbeRequest, _Mapping]] = ..., kind: _Optional[_Union[_values_pb2.PointKind, str]] = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ("answer_tokens", "most_seconds")
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MOST_SECONDS_FIELD_NUMBER: _ClassVar[int]
    answer_tokens: int
    most_seconds: float
    def __init__(self, answer_tokens: _Optional[int] = ..., most_seconds: _Optional[float] = ...) -> None: ...

class Baseline(_message.Message):
    __slots__ = ("set_name", "checkpoint", "most_bits_per_byte")
    SET_NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    MOST_BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    set_name: str
    checkpoint: _values_pb2.CheckpointRef
    most_bits_per_byte: float
    def __init__(self, set_name: _Optional[str] = ..., checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., most_bits_per_byte: _Optional[float] = ...) -> None: ...

class ForgettingRecord(_message.Message):
    __slots__ = ("run_id", "stage", "attempt", "step", "tokens", "results", "scores", "time", "train_loss_nats", "baseline", "probe")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    stage: str
    attempt: int
    step: int
    tokens: int
    results: _containers.RepeatedCompositeFieldContainer[_values_pb2.SetResult]
    scores: _containers.RepeatedCompositeFieldContainer[_values_pb2.ForgettingScore]
    time: _timestamp_pb2.Timestamp
    train_loss_nats: float
    baseline: bool
    probe: _values_pb2.ProbeReport
    def __init__(self, run_id: _Optional[str] = ..., stage: _Optional[str] = ..., attempt: _Optional[int] = ..., step: _Optional[int] = ..., tokens: _Optional[int] = ..., results: _Optional[_Iterable[_Union[_values_pb2.SetResult, _Mapping]]] = ..., scores: _Optional[_Iterable[_Union[_values_pb2.ForgettingScore, _Mapping]]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., train_loss_nats: _Optional[float] = ..., baseline: _Optional[bool] = ..., probe: _Optional[_Union[_values_pb2.ProbeReport, _Mapping]] = ...) -> None: ...

class DataPreview(_message.Message):
    __slots__ = ("kind", "documents", "documents_read", "bytes_read", "complete", "difficulty", "unrated", "notes", "tokenizer")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_READ_FIELD_NUMBER: _ClassVar[int]
    BYTES_READ_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    UNRATED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    kind: str
    documents: _containers.RepeatedCompositeFieldContainer[PreviewedDocument]
    documents_read: int
    bytes_read: int
    complete: bool
    difficulty: _containers.RepeatedCompositeFieldContainer[DifficultyBin]
    unrated: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    tokenizer: str
    def __init__(self, kind: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[PreviewedDocument, _Mapping]]] = ..., documents_read: _Optional[int] = ..., bytes_read: _Optional[int] = ..., complete: _Optional[bool] = ..., difficulty: _Optional[_Iterable[_Union[DifficultyBin, _Mapping]]] = ..., unrated: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ..., tokenizer: _Optional[str] = ...) -> None: ...

class PreviewedDocument(_message.Message):
    __slots__ = ("place", "tokens", "token_count", "target_count", "cut", "difficulty")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TARGET_COUNT_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    place: str
    tokens: _containers.RepeatedCompositeFieldContainer[PreviewedToken]
    token_count: int
    target_count: int
    cut: bool
    difficulty: float
    def __init__(self, place: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[PreviewedToken, _Mapping]]] = ..., token_count: _Optional[int] = ..., target_count: _Optional[int] = ..., cut: _Optional[bool] = ..., difficulty: _Optional[float] = ...) -> None: ...

class PreviewedToken(_message.Message):
    __slots__ = ("text", "is_target")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IS_TARGET_FIELD_NUMBER: _ClassVar[int]
    text: str
    is_target: bool
    def __init__(self, text: _Optional[str] = ..., is_target: _Optional[bool] = ...) -> None: ...

class DifficultyBin(_message.Message):
    __slots__ = ("low", "high", "count")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    count: int
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class FileEvaluation(_message.Message):
    __slots__ = ("state", "ahead", "tokens_done", "tokens", "result")
    STATE_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    TOKENS_DONE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    state: EvaluationState
    ahead: int
    tokens_done: int
    tokens: int
    result: FileResult
    def __init__(self, state: _Optional[_Union[EvaluationState, str]] = ..., ahead: _Optional[int] = ..., tokens_done: _Optional[int] = ..., tokens: _Optional[int] = ..., result: _Optional[_Union[FileResult, _Mapping]] = ...) -> None: ...

class FileResult(_message.Message):
    __slots__ = ("file_name", "sha256", "documents", "tokens", "bytes", "nats", "loss_nats", "perplexity", "perplexity_low", "perplexity_high", "bits_per_byte", "units", "context", "measure_seconds", "kept")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_LOW_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_HIGH_FIELD_NUMBER: _ClassVar[int]
    BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MEASURE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    sha256: str
    documents: int
    tokens: int
    bytes: int
    nats: float
    loss_nats: float
    perplexity: float
    perplexity_low: float
    perplexity_high: float
    bits_per_byte: float
    units: int
    context: int
    measure_seconds: float
    kept: bool
    def __init__(self, file_name: _Optional[str] = ..., sha256: _Optional[str] = ..., documents: _Optional[int] = ..., tokens: _Optional[int] = ..., bytes: _Optional[int] = ..., nats: _Optional[float] = ..., loss_nats: _Optional[float] = ..., perplexity: _Optional[float] = ..., perplexity_low: _Optional[float] = ..., perplexity_high: _Optional[float] = ..., bits_per_byte: _Optional[float] = ..., units: _Optional[int] = ..., context: _Optional[int] = ..., measure_seconds: _Optional[float] = ..., kept: _Optional[bool] = ...) -> None: ...
