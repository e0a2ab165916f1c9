"""Serves the fake platform with three runs for ten minutes: `python -m tests.fakes.serve_fake PORT PACE_S`."""

import sys
import threading
import time

from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform


def main() -> None:
    platform = FakePlatform()
    port, pace_s = int(sys.argv[1]), float(sys.argv[2])
    print("serving at", platform.start(port), flush=True)
    scripted_runs.finished(platform, "run-finished")
    scripted_runs.suspended(platform, "run-suspended")
    threading.Thread(
        target=scripted_runs.tell, args=(platform, "run-live"), kwargs={"pace_s": pace_s}, daemon=True
    ).start()
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("stopping", flush=True)
    platform.stop()


if __name__ == "__main__":
    main()
