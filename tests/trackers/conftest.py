"""The real packages: `make test-trackers` (RETAIN_TRACKERS=1) runs these where MLflow, wandb and TensorBoard are."""

import os

from tests.unit.ui.conftest import client, platform, retain  # noqa: F401

collect_ignore_glob = [] if os.environ.get("RETAIN_TRACKERS") == "1" else ["test_*.py"]
