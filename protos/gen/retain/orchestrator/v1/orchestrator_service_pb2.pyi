import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from retain.orchestrator.v1 import resources_pb2 as _resources_pb2
from retain.types.v1 import spec_pb2 as _spec_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApproveAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROVE_ACTION_UNSPECIFIED: _ClassVar[ApproveAction]
    APPROVE_ACTION_ACCEPT: _ClassVar[ApproveAction]
    APPROVE_ACTION_CONTINUE: _ClassVar[ApproveAction]
APPROVE_ACTION_UNSPECIFIED: ApproveAction
APPROVE_ACTION_ACCEPT: ApproveAction
APPROVE_ACTION_CONTINUE: ApproveAction

class CreatePipelineRunRequest(_message.Message):
    __slots__ = ("spec", "request_id", "project", "priority")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.PipelineSpec
    request_id: str
    project: str
    priority: int
    def __init__(self, spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., request_id: _Optional[str] = ..., project: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class CreatePipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class GetPipelineRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetPipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class ListPipelineRunsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "project", "search")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[_resources_pb2.RunState]
    project: str
    search: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_resources_pb2.RunState, str]]] = ..., project: _Optional[str] = ..., search: _Optional[str] = ...) -> None: ...

class ListPipelineRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_resources_pb2.PipelineRun]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[_resources_pb2.PipelineRun, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchPipelineRunRequest(_message.Message):
    __slots__ = ("run_id", "sequence")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    sequence: int
    def __init__(self, run_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class WatchPipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class UpdatePipelineRunRequest(_message.Message):
    __slots__ = ("run_id", "spec", "update_mask", "etag")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    spec: _spec_pb2.PipelineSpec
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    def __init__(self, run_id: _Optional[str] = ..., spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class UpdatePipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class CancelPipelineRunRequest(_message.Message):
    __slots__ = ("run_id", "etag")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    etag: str
    def __init__(self, run_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class CancelPipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class ApprovePipelineRunRequest(_message.Message):
    __slots__ = ("run_id", "action", "etag", "comment")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    action: ApproveAction
    etag: str
    comment: str
    def __init__(self, run_id: _Optional[str] = ..., action: _Optional[_Union[ApproveAction, str]] = ..., etag: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class ApprovePipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class RetryPipelineRunRequest(_message.Message):
    __slots__ = ("run_id", "etag")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    etag: str
    def __init__(self, run_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class RetryPipelineRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _resources_pb2.PipelineRun
    def __init__(self, run: _Optional[_Union[_resources_pb2.PipelineRun, _Mapping]] = ...) -> None: ...

class DeletePipelineRunRequest(_message.Message):
    __slots__ = ("run_id", "etag")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    etag: str
    def __init__(self, run_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeletePipelineRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ValidatePipelineSpecRequest(_message.Message):
    __slots__ = ("spec", "project", "priority")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.PipelineSpec
    project: str
    priority: int
    def __init__(self, spec: _Optional[_Union[_spec_pb2.PipelineSpec, _Mapping]] = ..., project: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class ValidatePipelineSpecResponse(_message.Message):
    __slots__ = ("plan", "violations")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    plan: _resources_pb2.PipelinePlan
    violations: _containers.RepeatedCompositeFieldContainer[SpecViolation]
    def __init__(self, plan: _Optional[_Union[_resources_pb2.PipelinePlan, _Mapping]] = ..., violations: _Optional[_Iterable[_Union[SpecViolation, _Mapping]]] = ...) -> None: ...

class SpecViolation(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class StreamLogsRequest(_message.Message):
    __slots__ = ("run_id", "follow", "last_lines", "skip_lines", "submission", "containing")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    LAST_LINES_FIELD_NUMBER: _ClassVar[int]
    SKIP_LINES_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    CONTAINING_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    follow: bool
    last_lines: int
    skip_lines: int
    submission: int
    containing: str
    def __init__(self, run_id: _Optional[str] = ..., follow: _Optional[bool] = ..., last_lines: _Optional[int] = ..., skip_lines: _Optional[int] = ..., submission: _Optional[int] = ..., containing: _Optional[str] = ...) -> None: ...

class StreamLogsResponse(_message.Message):
    __slots__ = ("submission", "text", "line")
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    submission: int
    text: str
    line: int
    def __init__(self, submission: _Optional[int] = ..., text: _Optional[str] = ..., line: _Optional[int] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Decision]
    next_page_token: str
    def __init__(self, decisions: _Optional[_Iterable[_Union[_resources_pb2.Decision, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRunMetricsRequest(_message.Message):
    __slots__ = ("run_id", "names", "stage", "max_points", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    MAX_POINTS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    names: _containers.RepeatedScalarFieldContainer[str]
    stage: str
    max_points: int
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., stage: _Optional[str] = ..., max_points: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunMetricsResponse(_message.Message):
    __slots__ = ("series", "next_page_token")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[_resources_pb2.MetricSeries]
    next_page_token: str
    def __init__(self, series: _Optional[_Iterable[_Union[_resources_pb2.MetricSeries, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSystemStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSystemStatusResponse(_message.Message):
    __slots__ = ("status", "alerts")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    status: _resources_pb2.SystemStatus
    alerts: _containers.RepeatedCompositeFieldContainer[_resources_pb2.RunAlert]
    def __init__(self, status: _Optional[_Union[_resources_pb2.SystemStatus, _Mapping]] = ..., alerts: _Optional[_Iterable[_Union[_resources_pb2.RunAlert, _Mapping]]] = ...) -> None: ...

class CreateUploadRequest(_message.Message):
    __slots__ = ("sha256", "file_name", "bytes", "folder", "project")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    file_name: str
    bytes: int
    folder: str
    project: str
    def __init__(self, sha256: _Optional[str] = ..., file_name: _Optional[str] = ..., bytes: _Optional[int] = ..., folder: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class CreateUploadResponse(_message.Message):
    __slots__ = ("url", "uri", "expire_time", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    url: str
    uri: str
    expire_time: _timestamp_pb2.Timestamp
    headers: _containers.ScalarMap[str, str]
    def __init__(self, url: _Optional[str] = ..., uri: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...
