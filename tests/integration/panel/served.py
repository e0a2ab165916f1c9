"""The panel as a process of its own, for tests in a browser."""

import contextlib
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextlib.contextmanager
def served_panel(url: str, environ: Mapping[str, str], *, within_s: float) -> Iterator[None]:
    """`python -m ui.panel` in this environment, once it answers at `url`. Raises AssertionError if it ends before, or
    does not answer within so many seconds."""
    process = subprocess.Popen([sys.executable, "-m", "ui.panel"], env=dict(environ), stdout=subprocess.DEVNULL)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + within_s
        while True:
            try:
                opener.open(f"{url}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, "the panel ended"
                assert time.monotonic() < deadline, f"the panel did not answer within {within_s:g} s"
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(20)
