"""What people type: up, down, status. Messages go to standard error, results to standard output."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil
from rich.console import Console

from deploy.local.home import Damaged, Home
from deploy.local.listening import Listening
from deploy.local.ports import HOLDS
from deploy.local.processes import MARK, Identity, end, end_marked, marked
from deploy.local.supervisor import supervisor_of, survivors

POLL_S = 0.1
UP_TIMEOUT_S = 300.0
DOWN_TIMEOUT_S = 90.0
TAKEN = 3  # exit code of a supervisor whose place another one holds
TITLES = {
    "object_store": "object store",
    "ray": "Ray head",
    "evaluator": "evaluator",
    "orchestrator": "orchestrator",
    "panel": "control panel",
}
# Those that use a server go before it.
ENDED_IN_ORDER = ("panel", "orchestrator", "evaluator", "ray", "object_store")

Wait = Callable[..., bool]


class StackFailed(RuntimeError):
    """The stack did not come up or did not go down; the message holds the end of the log concerned."""


def up(home: Home, *, foreground: bool = False, as_json: bool = False, only: str | None = None) -> int:
    """Start what is not running and return when all is healthy; in the foreground stay until a signal. Raises
    StackFailed."""
    messages = console()
    running = home.read_stack()
    if Listening.of(home, os.environ).ca and running and "ca" not in running:
        raise StackFailed(f"a stack runs in {home.path} on loopback; `retain down` first, to let other machines in")
    if not foreground:
        _show(begin(home, messages, only=only), as_json, home)
        return 0
    with stack(home, messages, only=only) as (endpoints, stopped):
        if endpoints is not None:
            _show(endpoints, as_json, home)
            stopped()
    return 0


def console(*, quiet: bool = False) -> Console:
    """For messages to people: standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)


@contextlib.contextmanager
def stack(home: Home, messages: Console, *, only: str | None = None) -> Iterator[tuple[dict[str, str] | None, Wait]]:
    """A stack that lives as long as the block, and no longer than this process.

    Yields its endpoints (None when a signal came while it started), and a function that waits until its argument
    returns something or a signal comes, and says whether it was a signal. Raises StackFailed when one runs in this home
    already, or when it does not start or ends by itself.
    """
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: asked.append(received))
    if supervisor_of(_record(home)) is not None:
        raise StackFailed(f"a stack runs in {home.path} already; stop it with `retain down` first")

    def wait(until: Callable[[], object] = lambda: None) -> bool:
        supervisor = supervisor_of(_record(home))
        while supervisor is not None and supervisor.running():
            if asked or until() is not None:
                return bool(asked)
            time.sleep(POLL_S)
        raise StackFailed(f"the supervisor ended by itself; its log ends:\n{home.tail('supervisor')}")

    try:
        yield begin(home, messages, only=only, with_parent=True, asked=asked), wait
    finally:
        down(home)


def begin(
    home: Home,
    messages: Console,
    *,
    only: str | None = None,
    with_parent: bool = False,
    asked: Sequence[int] = (),
) -> dict[str, str] | None:
    """Start a supervisor unless one runs, and wait until all is healthy. Returns the endpoints, None as soon as `asked`
    holds a signal. Raises StackFailed with the end of the log that says why."""
    home.prepare()
    _wait_for_one_that_stops(home)
    wanted = set(only.split(",")) if only else set(HOLDS)
    _replace_one_that_keeps_less(home, wanted)
    began = time.monotonic()
    endpoints = _wait_until_healthy(
        home, lambda: _start_supervisor(home, with_parent=with_parent, only=only), wanted, messages, asked
    )
    if endpoints is not None:
        messages.print(
            f"[green]The stack is healthy[/] after {time.monotonic() - began:.1f} s; logs are in {home.logs}"
        )
    return endpoints


def _show(endpoints: dict[str, str] | None, as_json: bool, home: Home) -> None:
    if as_json:
        print(json.dumps(endpoints), flush=True)
        return
    for name, where in (endpoints or {}).items():
        print(f"{name:18}{where}", flush=True)
    if "panel" in (endpoints or {}) and (panel := (endpoints or {})["panel"]):
        # As notebooks do it: whoever sees this terminal is the user. Others on this machine reach the port, too.
        print(f"{'panel, logged in':18}{panel}/?token={home.user_token_file.read_text()}", flush=True)


def down(home: Home, *, quiet: bool = False) -> int:
    """Stop everything that was started in this home, also what a dead supervisor left behind or never noted."""
    messages = console(quiet=quiet)
    try:
        record = home.read_record()
    except Damaged as error:
        messages.print(f"{error}")
        record = {}
    supervisor = supervisor_of(record) or _marked_supervisor(home)
    left = set(survivors(record)) | {name for name in HOLDS if marked(home.mark(name))}
    if supervisor is None and not left:
        home.forget()
        messages.print(f"Nothing runs in {home.path}")
        return 0
    began = time.monotonic()
    with messages.status("Stopping ..."):
        if supervisor is not None:
            _signal(supervisor, signal.SIGTERM)
            if not _until_gone(supervisor, DOWN_TIMEOUT_S):
                end(supervisor, mark=home.mark("supervisor"), grace_s=0)
        # Only what the supervisor did not end: it may have been killed.
        for name, identity in survivors(record).items():
            end(identity, mark=home.mark(name), grace_s=5)
        for name in ENDED_IN_ORDER:
            end_marked(home.mark(name), grace_s=5)
    home.forget()
    stopped = ", ".join(title for name, title in TITLES.items() if name in left)
    messages.print(f"Stopped {stopped or 'the supervisor'} in {time.monotonic() - began:.1f} s")
    return 0


def status(home: Home, *, as_json: bool = False) -> int:
    """What runs where. Exit code 0 when the stack is healthy, 1 otherwise."""
    record = _record(home)
    supervisor = supervisor_of(record)
    alive = survivors(record)
    processes = {
        name: {**entry, "alive": name in alive} for name, entry in record.get("processes", {}).items() if entry
    }
    healthy = supervisor is not None and bool(processes) and all(p["state"] == "ready" for p in processes.values())
    if as_json:
        answer: dict[str, Any] = {
            "healthy": healthy,
            "state": record.get("state", "stopped") if supervisor is not None else "stopped",
            "supervisor": supervisor.pid if supervisor is not None else None,
            "processes": processes,
        }
        print(json.dumps(answer))
        return 0 if healthy else 1
    if supervisor is None:
        print(f"no supervisor in {home.path}" + (f"; left behind: {', '.join(alive)}" if alive else ""))
    for name, entry in processes.items():
        print(f"{name:18}{entry['state']:12}{'pid ' + str(entry.get('pid')) if name in alive else '-'}")
    return 0 if healthy else 1


def _start_supervisor(home: Home, *, with_parent: bool, only: str | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deploy.local", "supervise"]
    if only:
        command += ["--only", only]
    if with_parent:
        command += ["--parent", json.dumps(Identity.of(os.getpid()).as_record())]
    with home.log_file("supervisor").open("ab") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, "RETAIN_HOME": str(home.path), MARK: home.mark("supervisor")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is for the one who typed `up`, who passes it on
        )


def _record(home: Home, *, patience_s: float = 1.0) -> dict[str, Any]:
    """The record; one that is damaged is empty as long as nobody supervises this home. Raises StackFailed.

    A killed supervisor holds its place until the last of its threads is gone, a moment longer than it seems to live.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return home.read_record()
        except Damaged as error:
            if not home.is_supervised():
                return {}
            if time.monotonic() > deadline:
                raise StackFailed(str(error)) from error
            time.sleep(POLL_S)


def _wait_for_one_that_stops(home: Home) -> None:
    record = _record(home)
    supervisor = supervisor_of(record)
    if supervisor is None or record.get("state") not in ("stopping", "handing over"):
        return
    if not _until_gone(supervisor, DOWN_TIMEOUT_S):
        raise StackFailed(f"the stack in {home.path} has been stopping for {DOWN_TIMEOUT_S:.0f} s; run `retain down`")


def _replace_one_that_keeps_less(home: Home, wanted: set[str]) -> None:
    """A supervisor that was started for some programs leaves them to one that takes them over and starts the others."""
    record = _record(home)
    supervisor = supervisor_of(record)
    if supervisor is None or not record.get("processes") or wanted <= set(record["processes"]):
        return
    _signal(supervisor, signal.SIGUSR1)
    if not _until_gone(supervisor, DOWN_TIMEOUT_S):
        raise StackFailed(f"the supervisor of {home.path} does not make room for another; run `retain down`")


def _wait_until_healthy(
    home: Home,
    start: Callable[[], subprocess.Popen[bytes]],
    wanted: set[str],
    messages: Console,
    asked: Sequence[int],
) -> dict[str, str] | None:
    """The endpoints; None when a signal asked to stop. Prints a line for each program that has become ready.

    Starts a supervisor when there is none; when its place is taken (by another `up` at the same moment), that one is
    waited for.
    """
    began, said = time.monotonic(), set()
    child: subprocess.Popen[bytes] | None = None
    with messages.status("Starting ...") as spinner:
        while not asked:
            record = _record(home)
            if supervisor_of(record) is None:
                if child is None and not home.is_supervised():
                    child = start()
                elif child is not None and child.poll() == TAKEN:
                    child = None
                elif child is not None and child.poll() is not None:
                    error = record.get("error") or home.tail("supervisor")
                    home.forget()
                    raise StackFailed(f"the stack did not start: {error}")
            else:
                processes = record.get("processes", {})
                for name, entry in processes.items():
                    if entry["state"] == "ready" and name not in said:
                        said.add(name)
                        messages.print(f"  {TITLES.get(name, name):16}ready after {time.monotonic() - began:4.1f} s")
                waiting = [TITLES.get(name, name) for name, entry in processes.items() if entry["state"] != "ready"]
                if wanted <= set(processes) and not waiting:
                    return home.read_stack()
                spinner.update(f"Starting {', '.join(waiting)} ...")
            if time.monotonic() - began > UP_TIMEOUT_S:
                raise StackFailed(f"not healthy within {UP_TIMEOUT_S:.0f} s; see {home.logs}")
            time.sleep(POLL_S)
    return None


def _marked_supervisor(home: Home) -> Identity | None:
    """A supervisor that the record does not name: the record is lost, or it has not been written yet."""
    for process in marked(home.mark("supervisor")):
        with contextlib.suppress(psutil.NoSuchProcess):
            return Identity.of(process.pid)
    return None


def _signal(identity: Identity, number: signal.Signals) -> None:
    process = identity.process()
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _until_gone(identity: Identity, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while identity.running():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
