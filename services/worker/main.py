"""Entry point of a Ray job: one worker group for one run.

python -m services.worker.main --run RUN --submission N [--workers W] [--min-workers M] [--cpus-per-worker C]
    [--gpus-per-worker G]
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from services.common.errors import RetainError
from services.common.logging import configure_logging, get_logger
from services.common.worker_environment import JOIN_CODE
from services.worker.group_settings import GroupSettings
from services.worker.joining import join


def parse(arguments: Sequence[str] | None = None) -> GroupSettings:
    """The settings that the command line names."""
    parser = argparse.ArgumentParser(prog="services.worker.main", description="Run one worker group of a pipeline run.")
    parser.add_argument("--run", required=True, help="id of the run")
    parser.add_argument("--submission", required=True, type=int, help="number of the worker group")
    parser.add_argument("--workers", type=int, default=1, help="training workers (default: 1)")
    parser.add_argument("--min-workers", type=int, default=0, help="continue with so few (default: all)")
    parser.add_argument("--cpus-per-worker", type=float, default=1.0, help="CPUs of each (default: 1)")
    parser.add_argument("--gpus-per-worker", type=float, default=0.0, help="GPUs of each (default: 0)")
    given = parser.parse_args(arguments)
    return GroupSettings(
        run_id=given.run,
        submission=given.submission,
        workers=given.workers,
        min_workers=given.min_workers,
        cpus_per_worker=given.cpus_per_worker,
        gpus_per_worker=given.gpus_per_worker,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the group; SIGTERM ends it like Ctrl-C, and Ray takes the workers down with this process."""
    settings = parse(arguments)
    configure_logging("worker")

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    log = get_logger().bind(run=settings.run_id, submission=settings.submission)
    log.info("worker group starts", workers=settings.workers, cpus_per_worker=settings.cpus_per_worker)
    try:
        token = join(settings.run_id, settings.submission, code=os.environ.pop(JOIN_CODE, ""))
    except RetainError as error:
        log.error("this group may not join its run", reason=error.reason, error=error.message)
        sys.exit(f"{error.reason}: {error.message}")
    # Not above: torch and Ray take seconds to import, on a busy machine a minute, and the code is good for minutes.
    from services.worker.ray_group import run_group

    run_group(settings, token)
    log.info("worker group ends")
    sys.exit(0)


if __name__ == "__main__":
    main()
