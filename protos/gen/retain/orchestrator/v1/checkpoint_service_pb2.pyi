import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from retain.orchestrator.v1 import resources_pb2 as _resources_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token", "project", "stage", "states")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    project: str
    stage: str
    states: _containers.RepeatedScalarFieldContainer[_resources_pb2.CheckpointState]
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., project: _Optional[str] = ..., stage: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_resources_pb2.CheckpointState, str]]] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints", "next_page_token", "total_size")
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Checkpoint]
    next_page_token: str
    total_size: int
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[_resources_pb2.Checkpoint, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class GetCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_id",)
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    def __init__(self, checkpoint_id: _Optional[str] = ...) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _resources_pb2.Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[_resources_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class ImportCheckpointRequest(_message.Message):
    __slots__ = ("uri", "name")
    URI_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    uri: str
    name: str
    def __init__(self, uri: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ImportCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _resources_pb2.Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[_resources_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class ExportCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_id", "with_training_state")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    WITH_TRAINING_STATE_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    with_training_state: bool
    def __init__(self, checkpoint_id: _Optional[str] = ..., with_training_state: _Optional[bool] = ...) -> None: ...

class ExportCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint", "files", "expire_time")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _resources_pb2.Checkpoint
    files: _containers.RepeatedCompositeFieldContainer[ExportedFile]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, checkpoint: _Optional[_Union[_resources_pb2.Checkpoint, _Mapping]] = ..., files: _Optional[_Iterable[_Union[ExportedFile, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExportedFile(_message.Message):
    __slots__ = ("path", "url", "sha256", "bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    url: str
    sha256: str
    bytes: int
    def __init__(self, path: _Optional[str] = ..., url: _Optional[str] = ..., sha256: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class RecordBenchmarkRequest(_message.Message):
    __slots__ = ("checkpoint_id", "benchmark")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    BENCHMARK_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    benchmark: _resources_pb2.Benchmark
    def __init__(self, checkpoint_id: _Optional[str] = ..., benchmark: _Optional[_Union[_resources_pb2.Benchmark, _Mapping]] = ...) -> None: ...

class RecordBenchmarkResponse(_message.Message):
    __slots__ = ("benchmark",)
    BENCHMARK_FIELD_NUMBER: _ClassVar[int]
    benchmark: _resources_pb2.Benchmark
    def __init__(self, benchmark: _Optional[_Union[_resources_pb2.Benchmark, _Mapping]] = ...) -> None: ...

class ListBenchmarksRequest(_message.Message):
    __slots__ = ("checkpoint_id", "page_size", "page_token")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    page_size: int
    page_token: str
    def __init__(self, checkpoint_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBenchmarksResponse(_message.Message):
    __slots__ = ("benchmarks", "next_page_token")
    BENCHMARKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    benchmarks: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Benchmark]
    next_page_token: str
    def __init__(self, benchmarks: _Optional[_Iterable[_Union[_resources_pb2.Benchmark, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VoidCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_id", "reason")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    reason: str
    def __init__(self, checkpoint_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class VoidCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _resources_pb2.Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[_resources_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class ShareCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_id", "project")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    project: str
    def __init__(self, checkpoint_id: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class ShareCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _resources_pb2.Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[_resources_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class UnshareCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_id", "project")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    project: str
    def __init__(self, checkpoint_id: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class UnshareCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _resources_pb2.Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[_resources_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class CollectGarbageRequest(_message.Message):
    __slots__ = ("dry_run", "older_than_seconds")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    older_than_seconds: int
    def __init__(self, dry_run: _Optional[bool] = ..., older_than_seconds: _Optional[int] = ...) -> None: ...

class CollectGarbageResponse(_message.Message):
    __slots__ = ("items", "bytes", "dry_run", "notes", "total_items")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GarbageItem]
    bytes: int
    dry_run: bool
    notes: _containers.RepeatedScalarFieldContainer[str]
    total_items: int
    def __init__(self, items: _Optional[_Iterable[_Union[GarbageItem, _Mapping]]] = ..., bytes: _Optional[int] = ..., dry_run: _Optional[bool] = ..., notes: _Optional[_Iterable[str]] = ..., total_items: _Optional[int] = ...) -> None: ...

class GarbageItem(_message.Message):
    __slots__ = ("uri", "kind", "objects", "bytes", "update_time", "reason")
    URI_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    uri: str
    kind: str
    objects: int
    bytes: int
    update_time: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, uri: _Optional[str] = ..., kind: _Optional[str] = ..., objects: _Optional[int] = ..., bytes: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...
