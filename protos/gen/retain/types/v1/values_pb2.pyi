from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SetRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SET_ROLE_UNSPECIFIED: _ClassVar[SetRole]
    SET_ROLE_TARGET: _ClassVar[SetRole]
    SET_ROLE_RETENTION: _ClassVar[SetRole]

class SetUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SET_USE_UNSPECIFIED: _ClassVar[SetUse]
    SET_USE_CONTROL: _ClassVar[SetUse]
    SET_USE_REPORT: _ClassVar[SetUse]

class ProbeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROBE_KIND_UNSPECIFIED: _ClassVar[ProbeKind]
    PROBE_KIND_ALL: _ClassVar[ProbeKind]
    PROBE_KIND_CHOICE: _ClassVar[ProbeKind]
    PROBE_KIND_FORMAT: _ClassVar[ProbeKind]
    PROBE_KIND_JSON: _ClassVar[ProbeKind]
    PROBE_KIND_STOP: _ClassVar[ProbeKind]

class PointKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POINT_KIND_UNSPECIFIED: _ClassVar[PointKind]
    POINT_KIND_SEGMENT: _ClassVar[PointKind]
    POINT_KIND_FAPM: _ClassVar[PointKind]
    POINT_KIND_PATH: _ClassVar[PointKind]
SET_ROLE_UNSPECIFIED: SetRole
SET_ROLE_TARGET: SetRole
SET_ROLE_RETENTION: SetRole
SET_USE_UNSPECIFIED: SetUse
SET_USE_CONTROL: SetUse
SET_USE_REPORT: SetUse
PROBE_KIND_UNSPECIFIED: ProbeKind
PROBE_KIND_ALL: ProbeKind
PROBE_KIND_CHOICE: ProbeKind
PROBE_KIND_FORMAT: ProbeKind
PROBE_KIND_JSON: ProbeKind
PROBE_KIND_STOP: ProbeKind
POINT_KIND_UNSPECIFIED: PointKind
POINT_KIND_SEGMENT: PointKind
POINT_KIND_FAPM: PointKind
POINT_KIND_PATH: PointKind

class CheckpointRef(_message.Message):
    __slots__ = ("uri", "manifest_sha256", "weights_digest", "step", "tokens")
    URI_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    uri: str
    manifest_sha256: str
    weights_digest: str
    step: int
    tokens: int
    def __init__(self, uri: _Optional[str] = ..., manifest_sha256: _Optional[str] = ..., weights_digest: _Optional[str] = ..., step: _Optional[int] = ..., tokens: _Optional[int] = ...) -> None: ...

class EvalSetRef(_message.Message):
    __slots__ = ("name", "uri", "digest", "role", "use")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    name: str
    uri: str
    digest: str
    role: SetRole
    use: SetUse
    def __init__(self, name: _Optional[str] = ..., uri: _Optional[str] = ..., digest: _Optional[str] = ..., role: _Optional[_Union[SetRole, str]] = ..., use: _Optional[_Union[SetUse, str]] = ...) -> None: ...

class SetResult(_message.Message):
    __slots__ = ("set", "nats", "tokens", "bytes", "loss_nats", "perplexity", "bits_per_byte", "units")
    SET_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LOSS_NATS_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    set: EvalSetRef
    nats: float
    tokens: int
    bytes: int
    loss_nats: float
    perplexity: float
    bits_per_byte: float
    units: int
    def __init__(self, set: _Optional[_Union[EvalSetRef, _Mapping]] = ..., nats: _Optional[float] = ..., tokens: _Optional[int] = ..., bytes: _Optional[int] = ..., loss_nats: _Optional[float] = ..., perplexity: _Optional[float] = ..., bits_per_byte: _Optional[float] = ..., units: _Optional[int] = ...) -> None: ...

class ForgettingScore(_message.Message):
    __slots__ = ("retention_set", "ratio", "nats", "ratio_low", "ratio_high", "baseline_perplexity", "perplexity", "use", "floor_ratio", "baseline_bits_per_byte", "shown_only")
    RETENTION_SET_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    RATIO_LOW_FIELD_NUMBER: _ClassVar[int]
    RATIO_HIGH_FIELD_NUMBER: _ClassVar[int]
    BASELINE_PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_RATIO_FIELD_NUMBER: _ClassVar[int]
    BASELINE_BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    SHOWN_ONLY_FIELD_NUMBER: _ClassVar[int]
    retention_set: str
    ratio: float
    nats: float
    ratio_low: float
    ratio_high: float
    baseline_perplexity: float
    perplexity: float
    use: SetUse
    floor_ratio: float
    baseline_bits_per_byte: float
    shown_only: bool
    def __init__(self, retention_set: _Optional[str] = ..., ratio: _Optional[float] = ..., nats: _Optional[float] = ..., ratio_low: _Optional[float] = ..., ratio_high: _Optional[float] = ..., baseline_perplexity: _Optional[float] = ..., perplexity: _Optional[float] = ..., use: _Optional[_Union[SetUse, str]] = ..., floor_ratio: _Optional[float] = ..., baseline_bits_per_byte: _Optional[float] = ..., shown_only: _Optional[bool] = ...) -> None: ...

class ProbeResult(_message.Message):
    __slots__ = ("kind", "items", "right", "baseline_right", "lost", "gained", "loss", "loss_low", "loss_high", "shown_only")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BASELINE_RIGHT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    GAINED_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    LOSS_LOW_FIELD_NUMBER: _ClassVar[int]
    LOSS_HIGH_FIELD_NUMBER: _ClassVar[int]
    SHOWN_ONLY_FIELD_NUMBER: _ClassVar[int]
    kind: ProbeKind
    items: int
    right: int
    baseline_right: int
    lost: int
    gained: int
    loss: float
    loss_low: float
    loss_high: float
    shown_only: bool
    def __init__(self, kind: _Optional[_Union[ProbeKind, str]] = ..., items: _Optional[int] = ..., right: _Optional[int] = ..., baseline_right: _Optional[int] = ..., lost: _Optional[int] = ..., gained: _Optional[int] = ..., loss: _Optional[float] = ..., loss_low: _Optional[float] = ..., loss_high: _Optional[float] = ..., shown_only: _Optional[bool] = ...) -> None: ...

class ProbeReport(_message.Message):
    __slots__ = ("results", "not_measured", "digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    NOT_MEASURED_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ProbeResult]
    not_measured: str
    digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[ProbeResult, _Mapping]]] = ..., not_measured: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class PreparedFolder(_message.Message):
    __slots__ = ("name", "uri", "digest", "tokens", "loss_tokens", "documents", "left_out")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOSS_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    uri: str
    digest: str
    tokens: int
    loss_tokens: int
    documents: int
    left_out: int
    def __init__(self, name: _Optional[str] = ..., uri: _Optional[str] = ..., digest: _Optional[str] = ..., tokens: _Optional[int] = ..., loss_tokens: _Optional[int] = ..., documents: _Optional[int] = ..., left_out: _Optional[int] = ...) -> None: ...

class SampledText(_message.Message):
    __slots__ = ("name", "uri", "digest", "parent", "prompts", "temperature", "top_p", "seed", "tokens", "documents", "dropped")
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    name: str
    uri: str
    digest: str
    parent: str
    prompts: str
    temperature: float
    top_p: float
    seed: int
    tokens: int
    documents: int
    dropped: _containers.ScalarMap[str, int]
    def __init__(self, name: _Optional[str] = ..., uri: _Optional[str] = ..., digest: _Optional[str] = ..., parent: _Optional[str] = ..., prompts: _Optional[str] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., tokens: _Optional[int] = ..., documents: _Optional[int] = ..., dropped: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Passes(_message.Message):
    __slots__ = ("least", "median", "most")
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    least: float
    median: float
    most: float
    def __init__(self, least: _Optional[float] = ..., median: _Optional[float] = ..., most: _Optional[float] = ...) -> None: ...
