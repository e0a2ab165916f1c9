"""How much of a server one caller may have, and how large each part of a call may be: one table for all services.

What a spec may hold has a table of its own, in the words of a spec:
services/orchestrator/domain/spec/validation/limits.py. Every other text, number, list and map of a request has its line
here, or falls under the ends that hold for all; a text without a line is a fault of this file, which a test finds. All
of it is looked at before a handler sees the request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MEBIBYTE = 1024 * 1024

# --- connections and calls

LARGEST_REQUEST_BYTES = 1 * MEBIBYTE  # a spec's file may have as much; bytes of models and data never come this way
LARGEST_RESPONSE_BYTES = 16 * MEBIBYTE
CALLS_AT_ONCE = 4096  # of a whole server, long polls and streams among them
STREAMS_PER_CONNECTION = 512
HANDSHAKE_S = 10
REQUEST_S = 10.0  # from the head of a call to the end of its request
CONNECTION_AGE_S = 3600
CONNECTION_GRACE_S = 1200  # longer than the longest call below
SHORTEST_PING_S = 10  # more frequent pings end a connection after PING_STRIKES
PING_STRIKES = 2
METADATA_BYTES = 16 * 1024

# How long a call may take whose caller named no end, or a later one. Streams end with their connection.
CALL_S = 120.0
CALLS_S: Mapping[str, float] = {
    "WritePoint": 1000.0,
    "CollectGarbage": 900.0,
    "DeleteRunRecords": 700.0,
    "ImportCheckpoint": 300.0,
}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What one principal may ask for: `calls_per_s` on the average, `burst` at once, `streams` that stay open."""

    calls_per_s: float = 200.0
    burst: int = 1000
    streams: int = 256


# Calls of one address without a good token; more are answered with less care and no line in the log.
REFUSED_LOGINS = Rate(calls_per_s=20.0, burst=400)

# --- texts of requests


class Text(StrEnum):
    """What a text may be made of. None may hold NUL, control or bidi characters, but for the line ends of PROSE."""

    NAME = "NAME"  # one name: no '/', no '..', no '%', no backslash
    PLACE = "PLACE"  # a path or a URI: no '..' among its parts, also not as %2e, no backslash
    LINE = "LINE"
    PROSE = "PROSE"
    TOLD = "TOLD"  # what a worker says, for people: cut and escaped, never a reason to lose the call


@dataclass(frozen=True, kw_only=True)
class TextLimit:
    """Characters, and of which kind."""

    most: int
    kind: Text


_ID, _PLACE, _TOLD = (
    TextLimit(most=200, kind=Text.NAME),
    TextLimit(most=1024, kind=Text.PLACE),
    TextLimit(most=4096, kind=Text.TOLD),
)

# By the name of the field, or MESSAGE.field where a name means two things.
TEXTS: Mapping[str, TextLimit] = {
    "run_id": _ID,
    "evaluation_id": _ID,
    "request_id": TextLimit(most=128, kind=Text.LINE),
    "checkpoint_id": _PLACE,  # an id, a URI or digits of a digest
    "etag": TextLimit(most=256, kind=Text.LINE),
    "page_token": TextLimit(most=512, kind=Text.LINE),
    "comment": TextLimit(most=4096, kind=Text.PROSE),
    "VoidCheckpointRequest.reason": TextLimit(most=4096, kind=Text.PROSE),
    "EndStageRequest.reason": TextLimit(most=128, kind=Text.TOLD),
    "message": _TOLD,
    "waiting_for": _TOLD,
    "prompt": TextLimit(most=65_536, kind=Text.PROSE),
    "content": TextLimit(most=65_536, kind=Text.PROSE),
    "uri": _PLACE,
    "output_uri": _PLACE,
    "parent": _PLACE,
    "name": TextLimit(most=256, kind=Text.LINE),
    "set_name": TextLimit(most=256, kind=Text.LINE),
    "stage": TextLimit(most=256, kind=Text.LINE),
    "paths": TextLimit(most=256, kind=Text.LINE),  # of a field mask
    "names": TextLimit(most=64, kind=Text.LINE),  # of series
    "folder": TextLimit(most=128, kind=Text.LINE),
    "file_name": TextLimit(most=256, kind=Text.LINE),
    "sha256": TextLimit(most=128, kind=Text.LINE),
    "digest": TextLimit(most=128, kind=Text.LINE),
    "manifest_sha256": TextLimit(most=128, kind=Text.LINE),
    "weights_digest": TextLimit(most=128, kind=Text.LINE),
    "roles": TextLimit(most=64, kind=Text.LINE),
    "project": TextLimit(most=64, kind=Text.NAME),
    "role": TextLimit(most=128, kind=Text.NAME),
    "projects": TextLimit(most=64, kind=Text.NAME),
    "subject": TextLimit(most=256, kind=Text.LINE),
    "ListAuditEventsRequest.action": TextLimit(most=128, kind=Text.LINE),
    "ListAuditEventsRequest.outcome": TextLimit(most=64, kind=Text.LINE),
    "Benchmark.id": TextLimit(most=128, kind=Text.LINE),
    "harness": TextLimit(most=128, kind=Text.LINE),
    "versions": TextLimit(most=256, kind=Text.LINE),
    "settings": TextLimit(most=1024, kind=Text.LINE),
    "task": TextLimit(most=256, kind=Text.LINE),
    "SampledText.prompts": TextLimit(most=64, kind=Text.LINE),
    "BenchmarkTask.version": TextLimit(most=256, kind=Text.LINE),
    "containing": TextLimit(most=256, kind=Text.LINE),
    "search": TextLimit(most=256, kind=Text.LINE),
    "metric": TextLimit(most=256, kind=Text.LINE),
    "resource": TextLimit(most=1024, kind=Text.LINE),
    "code": TextLimit(most=256, kind=Text.LINE),
    "token": TextLimit(most=4096, kind=Text.LINE),
}

# --- numbers, lists and maps of requests

LARGEST_NUMBER = 10**15  # tokens of a stage, the largest thing that is counted
LARGEST_LIST = 4096
LARGEST_MAP = 1024
LARGEST_KEY = 256

COUNTS: Mapping[str, int] = {
    "states": 16,
    "sets": 64,
    "baselines": 64,
    "stages": 32,
    "paths": 128,
    "names": 64,
    "tasks": 512,
    "metrics": 64,
    "turns": 256,
}
# (least, most); a number that is checked where it is used says so.
NUMBERS: Mapping[str, tuple[float, float]] = {
    "stage_index": (-1, 32),
    "max_points": (-(2**31), 2**31),  # run_metrics.py
    "last_lines": (-(2**31), 2**31),  # orchestrator/application/logs, as the next two
    "skip_lines": (-(2**31), 2**31),
    "StreamLogsRequest.submission": (-(2**31), 2**31),
    "page_size": (-(2**31), 2**31),  # services/common/grpc/paging.py refuses or cuts it
    "older_than_seconds": (-(2**63), 2**63),  # checkpoint_servicer.py
    "CreateUploadRequest.bytes": (-(2**63), 2**63),  # library.py
    "ProjectQuotas.runs": (-(2**31), 2**31),  # orchestrator/application/projects/service.py, as the next three
    "ProjectQuotas.slots": (-(2**31), 2**31),
    "ProjectQuotas.bytes": (-(2**63), 2**63),
    "weight": (-1e300, 1e300),
    "priority": (-(2**31), 2**31),  # runs.py
    "lifetime_seconds": (-(2**63), 2**63),  # orchestrator/application/identity.py
    "sequence": (0, 2**63),
    "seed": (0, 2**64),
    "heartbeat": (0, 2**63),
    "temperature": (0, 1000),
    "max_new_tokens": (-(2**31), 2**31),  # sampling.py
    "top_k": (-(2**31), 2**31),
    "point": (-1e9, 1e9),
    "interpolation": (-1e9, 1e9),
    "figure": (-1e300, 1e300),
    "standard_error": (-1e300, 1e300),
    "MixPoint.forgetting_nats": (-1e300, 1e300),  # a trial of mixes: old text that is learned falls below its baseline
}
