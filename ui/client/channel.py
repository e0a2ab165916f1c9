"""Channels to the services, and gRPC errors as `ClientError`s."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ui.client.address import Address, check_plain_text
from ui.client.errors import BadInput, ClientError, RefusedByServer, Unreachable, Violation

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# A call that found no server is made again by gRPC itself: every call of ours is idempotent or carries a request id.
_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_BAD_INPUT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.OUT_OF_RANGE,
}
_UNREACHABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
_REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def open_channel(target: str, address: Address) -> grpc.Channel:
    """A channel to `target`, with TLS when a CA is named. gRPC connects it at the first call. Raises BadInput when the
    token would travel in plain text over a network."""
    check_plain_text(target, address)
    if address.tls_ca:
        credentials = grpc.ssl_channel_credentials(root_certificates=address.tls_ca.read_bytes())
        return grpc.secure_channel(target, credentials, options=_OPTIONS)
    return grpc.insecure_channel(target, options=_OPTIONS)


# What gRPC says of a handshake, and what a person can do about it.
_HANDSHAKES = (
    ("certificate has expired", "has an expired certificate; whoever runs it must renew it"),
    ("certificate is not yet valid", "has a certificate of the future; one of the two clocks is wrong"),
    ("Hostname Verification", "has a certificate for other names than this; expected one of those that it lists"),
    ("CERTIFICATE_VERIFY_FAILED", "has a certificate that nobody in RETAIN_TLS_CA (--ca) signed"),
    ("WRONG_VERSION_NUMBER", "speaks plain text, and RETAIN_TLS_CA (--ca) asks for TLS"),
)
CLOSED = "Socket closed"  # what a server that speaks TLS does to one who speaks plain text


def handshake_failure(target: str, details: str) -> str:
    """What the details of an UNAVAILABLE call say of certificates; empty when they say nothing of them."""
    for mark, said in _HANDSHAKES:
        if mark in details:
            return f"{target} {said} ({details})"
    return ""


@contextmanager
def mapped_errors(target: str) -> Iterator[None]:
    """Turns a gRPC error of the block into the ClientError that a person can act on."""
    try:
        yield
    except grpc.RpcError as error:
        raise to_client_error(error, target) from error


def to_client_error(error: grpc.RpcError, target: str) -> ClientError:
    """Reads status, ErrorInfo and BadRequest of a failed call."""
    code, details = error.code(), error.details() or ""
    reason, metadata, violations = "", {}, []
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if packed.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif packed.Unpack(bad):
            violations = [Violation(field=v.field, description=v.description) for v in bad.field_violations]
    if code in _BAD_INPUT:
        return BadInput(violations, message=details, reason=reason or code.name)
    if code in _UNREACHABLE:
        if said := handshake_failure(target, details):
            return Unreachable(said, reason="TLS")
        hint = "; if it speaks TLS, name who signed its certificate (RETAIN_TLS_CA, --ca)" if CLOSED in details else ""
        return Unreachable(
            f"{target} does not answer ({details}); is the stack up? `retain up` starts it{hint}",
            reason=reason or code.name,
        )
    if code in _REFUSED:
        return RefusedByServer(details or "the server refused the call", reason=reason or code.name, metadata=metadata)
    return ClientError(f"{details or code.name}", reason=reason or code.name, metadata=metadata)
