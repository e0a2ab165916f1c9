"""The supervisor: one process monitor for each program, a record of all of them on disk, and an orderly end.

Why not supervisord: a supervisor that died and is begun again adopts the programs that still run, by that record, so
that no training is lost with it; supervisord starts its programs anew.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deploy.local.components import Component, components, endpoints
from deploy.local.home import Damaged, Home, explained
from deploy.local.listening import Listening
from deploy.local.ports import HOLDS, choose
from deploy.local.process_monitor import ProcessMonitor, Status
from deploy.local.processes import Identity

POLL_S = 0.25
MakeComponents = Callable[[Home, Mapping[str, int], Mapping[str, str]], list[Component]]


def survivors(record: Mapping[str, Any]) -> dict[str, Identity]:
    """The programs in a supervisor's record that still run, by name."""
    found = {}
    for name, entry in record.get("processes", {}).items():
        if "pid" in entry:
            identity = Identity.parse(entry)
            if identity.running():
                found[name] = identity
    return found


def supervisor_of(record: Mapping[str, Any]) -> Identity | None:
    """The living supervisor that wrote the record, if there is one."""
    entry = record.get("supervisor")
    if not entry:
        return None
    identity = Identity.parse(entry)
    return identity if identity.running() else None


def last_record(home: Home) -> dict[str, Any]:
    """What the last supervisor has left, for its successor. A damaged record says nothing; marks tell what runs."""
    try:
        return home.read_record()
    except Damaged as error:
        print(f"{error}: taken as empty, as nobody supervises this home", flush=True)
        return {}


class Supervisor:
    """Keeps the programs of one home alive until it is told to stop. Runs in the main thread (it takes the signals).

    SIGTERM, SIGINT and SIGHUP end the programs; SIGUSR1 leaves them running for a successor. What a predecessor left
    running is taken over whether or not it is among `only`: nobody else would ever end it.
    """

    def __init__(
        self,
        home: Home,
        *,
        env: Mapping[str, str],
        parent: Identity | None = None,
        only: frozenset[str] = frozenset(HOLDS),
        make: MakeComponents = components,
    ) -> None:
        self._home, self._parent = home, parent
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._statuses: dict[str, Status] = {}
        self._state = "starting"
        self._error = ""
        self._handing_over = False
        self._unsaid: OSError | None = None
        adopted = survivors(last_record(home))
        held = frozenset(port for name in adopted for port in HOLDS.get(name, ()))
        ports = choose(home.read_ports(), held)
        home.write_ports(ports)
        listening = Listening.of(home, env)
        self._endpoints = endpoints(ports, listening) | ({"ca": str(listening.ca)} if listening.ca else {})
        self._monitors = [
            ProcessMonitor(
                replace(component, ports=tuple(ports[name] for name in HOLDS.get(component.name, ()))),
                home,
                self._told,
                self._stopping,
                adopted.get(component.name),
            )
            for component in make(home, ports, env)
            if component.name in only or component.name in adopted
        ]
        self._me = Identity.of(os.getpid())

    def run(self) -> int:
        """Until a signal, until the parent is gone, or until a program cannot be started. Returns an exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stopping.set())
        signal.signal(signal.SIGUSR1, self._hand_over)
        with self._lock:
            self._statuses = {monitor.component.name: monitor.status for monitor in self._monitors}
        self._home.write_stack(self._endpoints)
        self._write()
        for monitor in self._monitors:
            monitor.start()
        while not self._stopping.wait(POLL_S):
            failed = [status for status in self._snapshot() if status.state == "failed"]
            if failed:
                self._error = "\n".join(f"{status.name} {status.error}" for status in failed)
                self._stopping.set()
            elif self._parent is not None and not self._parent.running():
                self._stopping.set()
            elif self._unsaid is not None:
                self._write()
        self._finish()
        return 1 if self._error else 0

    @property
    def lost_a_port(self) -> bool:
        """Whether it gave up because somebody took a port between its choice and its use: other ports may do."""
        return any(status.lost for status in self._snapshot())

    def _hand_over(self, *_: object) -> None:
        self._handing_over = True
        self._stopping.set()

    def _told(self, status: Status) -> None:
        with self._lock:
            self._statuses[status.name] = status
            if self._state == "starting" and all(one.state == "ready" for one in self._statuses.values()):
                self._state = "healthy"
        self._write()
        note = f" {status.error}" if status.state in ("restarting", "failed") else ""
        pid = f" pid {status.process.pid}" if status.process else ""
        self._log(f"{status.name} {status.state}{pid}{note}")

    def _log(self, text: str) -> None:
        # A log that cannot be written is no reason to leave a program without its monitor.
        with contextlib.suppress(OSError):
            print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}", flush=True)

    def _snapshot(self) -> list[Status]:
        with self._lock:
            return list(self._statuses.values())

    def _write(self) -> None:
        with self._lock:
            record = {
                "state": self._state,
                "error": self._error,
                "supervisor": self._me.as_record(),
                "processes": {name: status.as_record() for name, status in self._statuses.items()},
            }
            before = self._unsaid
            try:
                self._home.write_record(record)
                self._unsaid = None
            except OSError as error:
                self._unsaid = error
        if before is None and self._unsaid is not None:
            self._log(
                f"{explained(self._unsaid)} at {self._unsaid.filename}: programs are kept, the record is written later"
            )
        elif before is not None and self._unsaid is None:
            self._log("the record is written again")

    def _finish(self) -> None:
        with self._lock:
            self._state = "handing over" if self._handing_over else "stopping"
        self._write()
        for monitor in self._monitors:
            monitor.join(timeout=30)
        if self._handing_over:
            return
        for rank in sorted({monitor.component.rank for monitor in self._monitors}, reverse=True):
            ending = [threading.Thread(target=k.finish) for k in self._monitors if k.component.rank == rank]
            for thread in ending:
                thread.start()
            for thread in ending:
                thread.join()
        self._home.forget()
        if self._error and not self.lost_a_port:
            self._home.write_record({"state": "failed", "error": self._error, "processes": {}})
