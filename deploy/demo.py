"""`make demo`: start a stack, run the demo pipeline of a domain on it, stop everything that was started.

    python -m deploy.demo --domain code|math|science

The stack lives in RETAIN_HOME, by default in `.retain/demo`, and its state stays there: `retain up` with
RETAIN_HOME=.retain/demo shows the finished run again. Ctrl-C leaves nothing running, nor does killing this process.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.commands import Wait, console, stack
from deploy.local.home import Home

GRACE_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Exit code of the demo's run; 130 when it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description="The whole story in minutes.")
    parser.add_argument("--domain", choices=["code", "math", "science"], default="code")
    options = parser.parse_args(arguments)
    home = Home.at(Path(os.environ.get("RETAIN_HOME") or Path(".retain") / "demo"))
    messages = console()
    began_s = time.monotonic()
    try:
        with stack(home, messages) as (endpoints, stopped):
            if endpoints is None:
                return 130
            code = run([sys.executable, "-m", "ui.demo", "--domain", options.domain], home, stopped)
            if code is not None:
                say_where(home, endpoints["metrics"])
    except RuntimeError as error:  # StackFailed, and what is wrong with the home's files
        print(f"error: {error}", file=sys.stderr)
        return 1
    if code is not None:
        minutes, seconds = divmod(round(time.monotonic() - began_s), 60)
        print(f"From start to stop of everything: {minutes} min {seconds:02d} s.")
    return 130 if code is None else code


def run(command: list[str], home: Home, stopped: Wait) -> int | None:
    """Exit code of the command; None when a signal came first."""
    dropped = ("RETAIN_SERVER", "RETAIN_EVALUATOR", "RETAIN_TOKEN", "RETAIN_TLS_CA")
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    child = subprocess.Popen(command, env={**env, "RETAIN_HOME": str(home.path)})
    if stopped(child.poll):
        child.terminate()
        try:
            child.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        return None
    return child.wait()


def say_where(home: Home, metrics: str) -> None:
    """Where the results are once the stack is down."""
    print(f"\nCheckpoints and history stay in {home.objects} (an object store's files), the database in {home.path}.")
    print(f"Look at them again:  RETAIN_HOME={home.path} retain up    then  retain list, retain checkpoints")
    print(f"Metrics were served at {metrics} while it ran; logs are in {home.logs}.")


if __name__ == "__main__":
    sys.exit(main())
