"""Health of a gRPC service as an exit code, for containers without a probe of their own.

    python -m deploy.healthcheck HOST:PORT [SERVICE] [--ca FILE]     0 SERVING, 1 anything else

The answer comes from the standard gRPC health protocol; an empty SERVICE asks for the whole server. With --ca, or with
RETAIN_TLS_CA as the services themselves have it, it speaks TLS.
"""

import argparse
import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def grpc_serving(address: str, service: str = "", *, timeout_s: float = 3.0, ca: Path | None = None) -> bool:
    """Whether `service` at `address` reports SERVING within `timeout_s`. `ca` is a PEM file: speak TLS and trust it."""
    options = (("grpc.enable_http_proxy", 0),)
    if ca is None:
        channel = grpc.insecure_channel(address, options=options)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes()), options=options)
    with channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Exit 0 when a gRPC service reports SERVING.")
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("service", nargs="?", default="", help="full service name; left out: the whole server")
    ca = os.environ.get("RETAIN_TLS_CA")
    parser.add_argument(
        "--ca",
        type=Path,
        default=Path(ca) if ca else None,
        help="PEM file of the authority that signed the server's certificate (default: RETAIN_TLS_CA)",
    )
    parser.add_argument("--timeout", type=float, default=3.0, metavar="SECONDS")
    arguments = parser.parse_args()
    serving = grpc_serving(arguments.address, arguments.service, timeout_s=arguments.timeout, ca=arguments.ca)
    if not serving:
        print(f"{arguments.service or 'the server'} at {arguments.address} is not SERVING", file=sys.stderr)
    return 0 if serving else 1


if __name__ == "__main__":
    sys.exit(main())
