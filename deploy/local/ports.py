"""Which ports the local stack listens on: the documented ones while they are free, others when they are taken."""

import random
import socket
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"

# What people and clients see, at the documented ports.
PUBLIC = {
    "orchestrator": 7070,
    "evaluator": 7071,
    "metrics": 7072,
    "evaluator_metrics": 7073,
    "panel": 7074,
    "object_store": 7075,
    "ray": 8265,
}
# What the programs use among themselves.
INTERNAL = {
    "orchestrator_internal": 7076,
    "evaluator_internal": 7077,
    "ray_gcs": 6379,
    "ray_agent": 7080,
    "ray_client": 7088,
    "store_master": 7081,
    "store_master_grpc": 7082,
    "store_volume": 7083,
    "store_volume_grpc": 7084,
    "store_filer": 7085,
    "store_filer_grpc": 7086,
    "store_s3_grpc": 7087,
}
DEFAULTS = PUBLIC | INTERNAL
# Which ports a program holds: kept when the program has outlived a supervisor.
HOLDS = {
    "orchestrator": ("orchestrator", "metrics", "orchestrator_internal"),
    "evaluator": ("evaluator", "evaluator_metrics", "evaluator_internal"),
    "panel": ("panel",),
    "ray": ("ray", "ray_gcs", "ray_agent", "ray_client"),
    "object_store": ("object_store", *(name for name in INTERNAL if name.startswith("store_"))),
}
# Under the range from which Linux takes the ports of outgoing connections, so that a port stays free until it is bound.
SPARE = range(22_700, 30_000)


def is_free(port: int) -> bool:
    """Whether nobody listens on the port on loopback or on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection's rest does not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(last: Mapping[str, int], in_use: frozenset[str] = frozenset()) -> dict[str, int]:
    """A port for each name, all different.

    `last` are the ports of the last start; `in_use` are the names whose program still runs and keeps its port.
    Otherwise the order is: the last port, the documented one, a spare one.
    Raises RuntimeError.
    """
    chosen = {name: last[name] for name in in_use if name in last}
    spare = random.SystemRandom()
    for name, default in DEFAULTS.items():
        if name in chosen:
            continue
        taken = set(chosen.values())
        for port in (last.get(name, default), default, *(spare.choice(SPARE) for _ in range(200))):
            if port not in taken and is_free(port):
                chosen[name] = port
                break
        else:
            raise RuntimeError(f"no free port for {name}: {default} is taken and so are 200 others in {SPARE}")
    return chosen
