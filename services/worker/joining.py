"""A job's first word to the orchestrator: its code for a token of its own making.

The token is made here and sent with the code, so that the same call can be made again when its reply was lost: the same
token again changes nothing, and another one is refused.
"""

import time

import grpc
import tenacity

from retain.orchestrator.v1 import identity_service_pb2 as pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as pb_grpc
from services.common.errors import RetainError, Unavailable
from services.common.grpc.status import error_of
from services.common.identity.tokens import new_token
from services.common.retry import RetryPolicy
from services.worker.orchestrator_client import orchestrator_channel

CALL_TIMEOUT_S = 10.0
PATIENCE_S = 300.0  # the code may have expired by then; only the orchestrator knows whether it was redeemed in time
RETRIES = RetryPolicy(
    interval_s=0.2, maximum_s=5.0, is_retried=lambda error: isinstance(error, Unavailable), jitter=True
)


def join(run_id: str, submission: int, *, code: str, patience_s: float = PATIENCE_S) -> str:
    """The token of this group, good for its run and submission. Raises what the orchestrator refuses with, and
    Unavailable when it stays away."""
    token = new_token()
    request = pb.JoinRunRequest(run_id=run_id, submission=submission, code=code, token=token)
    until_s = time.monotonic() + patience_s
    with orchestrator_channel() as channel:
        stub = pb_grpc.IdentityServiceStub(channel)
        retrying = tenacity.Retrying(
            **(RETRIES.options() | {"stop": lambda _: time.monotonic() >= until_s}),
        )
        retrying(_once, stub, request)
    return token


def _once(stub: pb_grpc.IdentityServiceStub, request: pb.JoinRunRequest) -> None:
    try:
        stub.JoinRun(request, timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        found: RetainError = error_of(error, server="orchestrator")
        raise found from error
