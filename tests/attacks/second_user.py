"""The second user's List, twenty times a second, in a process of its own: within the attackers' process it would also
wait for what they prepare.

    RETAIN_TOKEN=... python -m tests.attacks.second_user ADDRESS

One line a call: when it began (in seconds of CLOCK_MONOTONIC, which all processes share), milliseconds, and the code
where it failed. Ends when its standard input does.
"""

import os
import select
import sys
import time

import grpc

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as runs_grpc

EVERY_S, CALL_S = 0.05, 20.0


def main(address: str) -> None:
    """Until standard input ends."""
    metadata = (("authorization", f"Bearer {os.environ['RETAIN_TOKEN']}"),)
    with grpc.insecure_channel(address, options=(("grpc.enable_retries", 0),)) as channel:
        runs = runs_grpc.OrchestratorServiceStub(channel)
        grpc.channel_ready_future(channel).result(CALL_S)
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            began, failed = time.monotonic(), ""
            try:
                runs.ListPipelineRuns(pb.ListPipelineRunsRequest(page_size=50), timeout=CALL_S, metadata=metadata)
            except grpc.RpcError as error:
                failed = f"{error.code()}: {error.details()}"
            print(began, 1000 * (time.monotonic() - began), failed, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
