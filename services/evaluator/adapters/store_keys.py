"""Keys of the store for this service, asked of the orchestrator; its own where its environment has some."""

import os

import grpc

from retain.orchestrator.v1 import identity_service_pb2 as pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as pb_grpc
from services.common.grpc.server import CLIENT_OPTIONS
from services.common.grpc.status import error_of
from services.common.store.minio_store import OWN_KEYS
from services.common.store.renewed_keys import RenewedKeys
from services.common.store.store_keys import StoreKeys, store_keys_of
from services.common.tls.channel import open_channel

CALL_TIMEOUT_S = 30.0  # the orchestrator asks the store


def evaluator_keys(server: str, *, token: str) -> RenewedKeys | None:
    """None where AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set. `server` is the orchestrator; it is asked once
    for a call that needs keys, and whoever made the call tries again."""

    def ask(patiently: bool) -> StoreKeys:
        with open_channel(server, options=CLIENT_OPTIONS) as channel:
            try:
                answer = pb_grpc.IdentityServiceStub(channel).GetEvaluatorKeys(
                    pb.GetEvaluatorKeysRequest(),
                    timeout=CALL_TIMEOUT_S,
                    metadata=(("authorization", f"Bearer {token}"),),
                )
            except grpc.RpcError as error:
                raise error_of(error, server="orchestrator") from error
        return store_keys_of(answer.keys)

    return None if all(os.environ.get(name) for name in OWN_KEYS) else RenewedKeys(ask)
