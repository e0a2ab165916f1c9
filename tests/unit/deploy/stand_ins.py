"""Stand-ins for the programs of the local stack: they serve, die, leave helpers behind, or ignore SIGTERM.

python -m tests.unit.deploy.stand_ins HOME [NAMES]    a supervisor of stand-ins: what `supervise` is
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.components import Component
from deploy.local.home import Home
from deploy.local.supervisor import Supervisor

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


def two(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> list[Component]:
    """An object store and, with a helper in a session of its own, Ray."""
    return [
        component("object_store", SERVE, home.path, rank=0),
        component("ray", PARENT, home.path, rank=1),
    ]


if __name__ == "__main__":
    place = Home(path=Path(sys.argv[1]))
    place.prepare()
    with place.supervised():
        chosen = frozenset(sys.argv[2].split(",")) if len(sys.argv) > 2 else frozenset({"object_store", "ray"})
        sys.exit(Supervisor(place, env={}, only=chosen, make=two).run())
