"""Tells the worker processes of this machine to leave, and waits until they have.

    python -m services.worker.drain --grace-s 120

For a machine that is about to go: a pod's preStop hook, a spot instance's notice, a scheduler's epilogue. Kubernetes
sends SIGTERM to the first process of a container only, which is Ray's; the workers would be killed in the midst of a
step. Told by this command, they finish the step, store an interim checkpoint, and the next group resumes from it.

It finds the processes by the files that they hold locked in the local cache (RETAIN_CACHE), and sends them SIGTERM.
Exit code 0: all have left (or there were none); 1: the time was over before. What then is killed loses the steps since
the last checkpoint, and nothing else.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from services.common.logging import configure_logging, get_logger
from services.worker.cache_root import default_root
from services.worker.present import Worker, gone, present

POLL_S = 0.2


def drain(root: Path, *, grace_s: float) -> list[Worker]:
    """Tell every worker, also those that begin meanwhile, and wait; returns those that are still there."""
    log = get_logger(__name__)
    told: dict[tuple[int, Path], Worker] = {}
    ends_s = time.monotonic() + grace_s
    while True:
        for worker in present(root):
            if (worker.pid, worker.path) not in told:
                log.info("tells a worker to leave", pid=worker.pid, run=worker.run_id)
                told[worker.pid, worker.path] = worker
                try:
                    os.kill(worker.pid, signal.SIGTERM)
                except ProcessLookupError:
                    log.info("it has left already", pid=worker.pid)
        staying = [worker for worker in told.values() if not gone(worker)]
        if not staying or time.monotonic() >= ends_s:
            return staying
        time.sleep(POLL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="services.worker.drain", description="Let the workers of this machine leave.")
    parser.add_argument("--grace-s", type=float, default=60.0, help="wait for at most so many seconds (default: 60)")
    parser.add_argument("--cache", type=Path, default=None, help="the local cache (default: RETAIN_CACHE)")
    given = parser.parse_args(arguments)
    configure_logging("drain")
    staying = drain(given.cache or default_root(), grace_s=given.grace_s)
    for worker in staying:
        get_logger(__name__).error("still here", pid=worker.pid, run=worker.run_id)
    return 1 if staying else 0


if __name__ == "__main__":
    sys.exit(main())
