"""Stand-ins for the programs of the local stack: they serve, die, leave helpers behind, or ignore SIGTERM."""

import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.components import Component

SERVE = "import pathlib, time; pathlib.Path({flag!r}).write_text('up'); time.sleep(600)"
DIE = "import sys; print('no such option: --colour'); sys.exit(7)"
STUBBORN = (
    "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path({flag!r}).write_text('up'); time.sleep(600)"
)
# Starts a helper in another session, as Ray's programs do, and writes its pid.
PARENT = (
    "import pathlib, subprocess, sys, time;"
    "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
    "pathlib.Path({flag!r}).write_text(str(helper.pid)); time.sleep(600)"
)


def component(name: str, program: str, folder: Path, *, rank: int = 0, grace_s: float = 2.0) -> Component:
    """A component that runs `program` and is ready when it has written its flag file."""
    flag = folder / f"{name}.flag"
    ready: Callable[[], bool] = lambda: flag.exists() and bool(flag.read_text())  # noqa: E731
    return Component(
        name=name,
        title=name,
        command=[sys.executable, "-c", program.format(flag=str(flag))],
        env={},
        ready=ready,
        endpoint=str(flag),
        rank=rank,
        grace_s=grace_s,
        prepare=lambda: flag.unlink(missing_ok=True),
    )
