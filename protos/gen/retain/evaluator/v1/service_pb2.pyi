from retain.evaluator.v1 import resources_pb2 as _resources_pb2
from retain.types.v1 import spec_pb2 as _spec_pb2
from retain.types.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateEvaluationRequest(_message.Message):
    __slots__ = ("evaluation_id", "request")
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    request: _resources_pb2.EvaluationRequest
    def __init__(self, evaluation_id: _Optional[str] = ..., request: _Optional[_Union[_resources_pb2.EvaluationRequest, _Mapping]] = ...) -> None: ...

class CreateEvaluationResponse(_message.Message):
    __slots__ = ("evaluation",)
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    evaluation: _resources_pb2.Evaluation
    def __init__(self, evaluation: _Optional[_Union[_resources_pb2.Evaluation, _Mapping]] = ...) -> None: ...

class GetEvaluationRequest(_message.Message):
    __slots__ = ("evaluation_id",)
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    def __init__(self, evaluation_id: _Optional[str] = ...) -> None: ...

class GetEvaluationResponse(_message.Message):
    __slots__ = ("evaluation",)
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    evaluation: _resources_pb2.Evaluation
    def __init__(self, evaluation: _Optional[_Union[_resources_pb2.Evaluation, _Mapping]] = ...) -> None: ...

class ListEvaluationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "run_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    run_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class ListEvaluationsResponse(_message.Message):
    __slots__ = ("evaluations", "next_page_token")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Evaluation]
    next_page_token: str
    def __init__(self, evaluations: _Optional[_Iterable[_Union[_resources_pb2.Evaluation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchEvaluationRequest(_message.Message):
    __slots__ = ("evaluation_id", "sequence")
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    sequence: int
    def __init__(self, evaluation_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class WatchEvaluationResponse(_message.Message):
    __slots__ = ("evaluation",)
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    evaluation: _resources_pb2.Evaluation
    def __init__(self, evaluation: _Optional[_Union[_resources_pb2.Evaluation, _Mapping]] = ...) -> None: ...

class GetForgettingHistoryRequest(_message.Message):
    __slots__ = ("run_id", "stage", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    stage: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., stage: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetForgettingHistoryResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_resources_pb2.ForgettingRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[_resources_pb2.ForgettingRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WritePointRequest(_message.Message):
    __slots__ = ("checkpoint", "parent", "point", "output_uri", "kind", "weight")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_URI_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _values_pb2.CheckpointRef
    parent: _values_pb2.CheckpointRef
    point: float
    output_uri: str
    kind: _values_pb2.PointKind
    weight: float
    def __init__(self, checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., parent: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., point: _Optional[float] = ..., output_uri: _Optional[str] = ..., kind: _Optional[_Union[_values_pb2.PointKind, str]] = ..., weight: _Optional[float] = ...) -> None: ...

class WritePointResponse(_message.Message):
    __slots__ = ("checkpoint", "bytes")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _values_pb2.CheckpointRef
    bytes: int
    def __init__(self, checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., bytes: _Optional[int] = ...) -> None: ...

class SampleTextRequest(_message.Message):
    __slots__ = ("checkpoint", "prompt", "max_new_tokens", "temperature", "top_k", "seed", "chat", "turns")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_NEW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _values_pb2.CheckpointRef
    prompt: str
    max_new_tokens: int
    temperature: float
    top_k: int
    seed: int
    chat: bool
    turns: _containers.RepeatedCompositeFieldContainer[ChatTurn]
    def __init__(self, checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., prompt: _Optional[str] = ..., max_new_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., seed: _Optional[int] = ..., chat: _Optional[bool] = ..., turns: _Optional[_Iterable[_Union[ChatTurn, _Mapping]]] = ...) -> None: ...

class ChatTurn(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class SampleTextResponse(_message.Message):
    __slots__ = ("text", "prompt_tokens", "context")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    prompt_tokens: int
    context: int
    def __init__(self, text: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., context: _Optional[int] = ...) -> None: ...

class PreviewDataRequest(_message.Message):
    __slots__ = ("spec", "stage", "role", "project", "documents")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.PipelineSpec
    stage: int
    role: str
    project: str
    documents: int
    def __init__(self, spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., stage: _Optional[int] = ..., role: _Optional[str] = ..., project: _Optional[str] = ..., documents: _Optional[int] = ...) -> None: ...

class PreviewDataResponse(_message.Message):
    __slots__ = ("preview",)
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    preview: _resources_pb2.DataPreview
    def __init__(self, preview: _Optional[_Union[_resources_pb2.DataPreview, _Mapping]] = ...) -> None: ...

class EvaluateFileRequest(_message.Message):
    __slots__ = ("checkpoint", "uri", "project", "context", "documents")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _values_pb2.CheckpointRef
    uri: str
    project: str
    context: int
    documents: int
    def __init__(self, checkpoint: _Optional[_Union[_values_pb2.CheckpointRef, _Mapping]] = ..., uri: _Optional[str] = ..., project: _Optional[str] = ..., context: _Optional[int] = ..., documents: _Optional[int] = ...) -> None: ...

class EvaluateFileResponse(_message.Message):
    __slots__ = ("evaluation",)
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    evaluation: _resources_pb2.FileEvaluation
    def __init__(self, evaluation: _Optional[_Union[_resources_pb2.FileEvaluation, _Mapping]] = ...) -> None: ...

class DeleteRunRecordsRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class DeleteRunRecordsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
