"""Where the local cache is, known to the worker and to the command that drains a machine."""

import os
import tempfile
from pathlib import Path


def default_root() -> Path:
    """RETAIN_CACHE, or a folder of this user's own in the system's temporary folder."""
    return Path(os.environ.get("RETAIN_CACHE") or Path(tempfile.gettempdir()) / f"retain-worker-{os.getuid()}")
