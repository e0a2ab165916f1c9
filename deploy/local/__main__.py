"""`python -m deploy.local up|down|status|supervise`: parses, calls, turns errors into an exit code."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from deploy.local.commands import TAKEN, down, status, up
from deploy.local.home import AlreadySupervised, Home, explained
from deploy.local.listening import LISTEN
from deploy.local.ports import HOLDS
from deploy.local.processes import Identity
from deploy.local.supervisor import Supervisor
from retain.values.faults import mismatch

ROUNDS_OF_PORTS = 5
INTERRUPTED = {
    "up": "the stack continues, `retain down` stops it",
    "down": "what has been told to stop continues to stop; `retain down` again waits for it",
}


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
            listen = "address for other machines, 0.0.0.0 for all, with certificates of an authority in the home"
            one.add_argument("--listen", metavar="HOST", help=f"{listen}; default: RETAIN_LISTEN, else loopback alone")
            one.add_argument("--foreground", action="store_true", help="stay; stop everything on Ctrl-C or exit")
        if verb == "supervise":
            one.add_argument("--parent", type=identity, metavar="JSON", help="stop when this process is gone")
    return parser.parse_args(arguments)


def identity(text: str) -> Identity:
    """A process, as the launcher writes it."""
    return Identity.parse(json.loads(text))


def names(only: str | None) -> frozenset[str]:
    """The programs that --only names; all when it is left out. Raises RuntimeError for one that does not exist."""
    chosen = frozenset(only.split(",")) if only else frozenset(HOLDS)
    if unknown := chosen - set(HOLDS):
        raise RuntimeError(f"--only: {mismatch(', '.join(sorted(unknown)), ', '.join(HOLDS))}")
    return chosen


def supervise(home: Home, only: str | None, parent: Identity | None) -> int:
    """The supervisor in this process, if the place is free. Ports that somebody takes too early are chosen anew."""
    home.prepare()
    with home.supervised():
        for _ in range(ROUNDS_OF_PORTS):
            supervisor = Supervisor(home, env=os.environ, parent=parent, only=names(only))
            code = supervisor.run()
            if not supervisor.lost_a_port:
                return code
        print(f"ports were taken in {ROUNDS_OF_PORTS} rounds", flush=True)
        return code


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    home = Home.at(options.home) if options.home else Home.from_environment()
    try:
        if options.verb == "up":
            names(options.only)
            if options.listen:
                os.environ[LISTEN] = options.listen  # the supervisor inherits it
            return up(home, foreground=options.foreground, as_json=options.json, only=options.only)
        if options.verb == "down":
            return down(home)
        if options.verb == "status":
            return status(home, as_json=options.json)
        return supervise(home, options.only, options.parent)
    except AlreadySupervised as error:
        print(f"error: {error}", file=sys.stderr)
        return TAKEN
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {explained(error)} at {error.filename or home.path}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one changes nothing any more
        print(f"interrupted; {INTERRUPTED.get(options.verb, 'nothing was changed')}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
