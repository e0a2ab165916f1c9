"""`python -m deploy.local up|down|status|supervise`: parses, calls, turns errors into an exit code."""

import argparse
import os
import sys
from pathlib import Path

from deploy.local.commands import StackFailed, down, status, up
from deploy.local.home import AlreadySupervised, Home
from deploy.local.processes import Identity
from deploy.local.supervisor import HOLDS, Supervisor


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The local stack of Retain.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, what in (
        ("up", "start what is not running, return when all is healthy"),
        ("down", "stop everything; the state stays"),
        ("status", "what runs where"),
        ("supervise", "keep the programs alive (started by up)"),
    ):
        one = verbs.add_parser(verb, help=what, description=what)
        one.add_argument("--home", type=Path, help="default: RETAIN_HOME, else .retain")
        if verb in ("up", "supervise"):
            one.add_argument("--only", metavar="NAMES", help=f"of the programs only these: {','.join(HOLDS)}")
        if verb in ("up", "status"):
            one.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        if verb == "up":
            one.add_argument("--foreground", action="store_true", help="stay; stop everything on Ctrl-C or exit")
        if verb == "supervise":
            one.add_argument("--parent", type=int, help="stop when the process with this pid is gone")
            one.add_argument("--parent-started", type=float, help="start time of that process")
    return parser.parse_args(arguments)


def names(only: str | None) -> frozenset[str]:
    """The programs that --only names; all when it is left out. Raises RuntimeError for one that does not exist."""
    chosen = frozenset(only.split(",")) if only else frozenset(HOLDS)
    if unknown := chosen - set(HOLDS):
        raise RuntimeError(f"--only: came {', '.join(sorted(unknown))}; allowed are {', '.join(HOLDS)}")
    return chosen


def supervise(home: Home, only: str | None, parent: int | None, parent_started: float | None) -> int:
    """The supervisor in this process, if the place is free."""
    home.prepare()
    with home.supervised():
        identity = None
        if parent is not None and parent_started is not None:
            identity = Identity(pid=parent, started=parent_started)
        return Supervisor(home, env=os.environ, parent=identity, only=names(only)).run()


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    home = Home(path=options.home.absolute()) if options.home else Home.from_environment()
    try:
        if options.verb == "up":
            names(options.only)
            return up(home, foreground=options.foreground, as_json=options.json, only=options.only)
        if options.verb == "down":
            return down(home)
        if options.verb == "status":
            return status(home, as_json=options.json)
        return supervise(home, options.only, options.parent, options.parent_started)
    except (StackFailed, AlreadySupervised, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the stack goes on, `retain down` stops it", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
