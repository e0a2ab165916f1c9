"""lm-evaluation-harness itself: `make test-lm-eval` (RETAIN_LM_EVAL=1) runs these where it is installed."""

import os

from tests.unit.ui.conftest import client, platform, retain  # noqa: F401

collect_ignore_glob = [] if os.environ.get("RETAIN_LM_EVAL") == "1" else ["test_*.py"]
