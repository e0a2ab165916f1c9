"""`make real-model`: start a stack, adapt a real pre-trained model on it in several arms, stop everything.

    python -m deploy.real_model [--arm NAME]... [--table-only] [--anew]

Options are those of `python -m ui.adapt`, which does the same on a stack that runs. The stack lives in RETAIN_HOME, by
default in `.retain/real-model`; what is done stays there, and the same command resumes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.demo import run, say_where
from deploy.local.commands import console, stack
from deploy.local.home import Home

WITHOUT_STACK = {"--table-only", "--help", "-h"}


def main(arguments: Sequence[str]) -> int:
    """Exit code of `python -m ui.adapt`; 130 when it was interrupted."""
    home = Home.at(Path(os.environ.get("RETAIN_HOME") or Path(".retain") / "real-model"))
    command = [sys.executable, "-m", "ui.adapt", *arguments]
    if WITHOUT_STACK.intersection(arguments):
        env = {**os.environ, "RETAIN_HOME": str(home.path)}
        return subprocess.run(command, env=env, check=False).returncode
    try:
        with stack(home, console()) as (endpoints, stopped):
            code = None if endpoints is None else run(command, home, stopped)
            if code is not None and endpoints is not None:
                say_where(home, endpoints["metrics"])
    except RuntimeError as error:  # StackFailed, and what is wrong with the home's files
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 130 if code is None else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
