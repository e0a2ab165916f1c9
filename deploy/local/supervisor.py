"""The supervisor: one keeper for each program, a record of all of them on disk, and an orderly end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from deploy.local.components import Component, components, endpoints
from deploy.local.home import Home
from deploy.local.keeper import Keeper, Status
from deploy.local.ports import DEFAULTS, choose
from deploy.local.processes import Identity

POLL_S = 0.25
# Which ports a program holds: kept when the program has outlived a supervisor.
HOLDS = {
    "orchestrator": ("orchestrator", "metrics"),
    "evaluator": ("evaluator", "evaluator_metrics"),
    "panel": ("panel",),
    "ray": ("ray", "ray_gcs", "ray_agent", "ray_client"),
    "object_store": ("object_store", *(name for name in DEFAULTS if name.startswith("store_"))),
}

MakeComponents = Callable[[Home, Mapping[str, int], Mapping[str, str]], list[Component]]


def survivors(record: Mapping[str, Any]) -> dict[str, Identity]:
    """The programs in a supervisor's record that still run, by name."""
    found = {}
    for name, entry in record.get("processes", {}).items():
        if "pid" in entry:
            identity = Identity(pid=int(entry["pid"]), started=float(entry["started"]))
            if identity.running():
                found[name] = identity
    return found


def supervisor_of(record: Mapping[str, Any]) -> Identity | None:
    """The living supervisor that wrote the record, if there is one."""
    entry = record.get("supervisor")
    if not entry:
        return None
    identity = Identity(pid=int(entry["pid"]), started=float(entry["started"]))
    return identity if identity.running() else None


class Supervisor:
    """Keeps the programs of one home alive until it is told to stop. Runs in the main thread (it takes the signals)."""

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
        adopted = survivors(home.read_record())
        held = frozenset(port for name in adopted for port in HOLDS.get(name, ()))
        ports = choose(home.read_ports(), held)
        home.write_ports(ports)
        self._endpoints = endpoints(ports)
        self._keepers = [
            Keeper(component, home, self._told, self._stopping, adopted.get(component.name))
            for component in make(home, ports, env)
            if component.name in only
        ]
        self._me = Identity.of(os.getpid())

    def run(self) -> int:
        """Until a signal, until the parent is gone, or until a program cannot be started. Returns an exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stopping.set())
        with self._lock:
            self._statuses = {keeper.component.name: keeper.status for keeper in self._keepers}
        self._home.write_stack(self._endpoints)
        self._write()
        for keeper in self._keepers:
            keeper.start()
        while not self._stopping.wait(POLL_S):
            failed = [status for status in self._snapshot() if status.state == "failed"]
            if failed:
                self._error = "\n".join(f"{status.name} {status.error}" for status in failed)
                self._stopping.set()
            elif self._parent is not None and not self._parent.running():
                self._stopping.set()
        self._finish()
        return 1 if self._error else 0

    def _told(self, status: Status) -> None:
        with self._lock:
            self._statuses[status.name] = status
            if self._state == "starting" and all(one.state == "ready" for one in self._statuses.values()):
                self._state = "healthy"
        self._write()
        note = f" {status.error}" if status.state in ("restarting", "failed") else ""
        pid = f" pid {status.process.pid}" if status.process else ""
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {status.name} {status.state}{pid}{note}", flush=True)

    def _snapshot(self) -> list[Status]:
        with self._lock:
            return list(self._statuses.values())

    def _write(self) -> None:
        with self._lock:
            record = {
                "state": self._state,
                "error": self._error,
                "supervisor": {"pid": self._me.pid, "started": self._me.started},
                "processes": {name: status.as_record() for name, status in self._statuses.items()},
            }
            self._home.write_record(record)

    def _finish(self) -> None:
        with self._lock:
            self._state = "stopping"
        self._write()
        for keeper in self._keepers:
            keeper.join(timeout=30)
        for rank in sorted({keeper.component.rank for keeper in self._keepers}, reverse=True):
            ending = [threading.Thread(target=k.finish) for k in self._keepers if k.component.rank == rank]
            for thread in ending:
                thread.start()
            for thread in ending:
                thread.join()
        self._home.forget()
        if self._error:
            self._home.write_record({"state": "failed", "error": self._error, "processes": {}})
