"""Keeping one program alive: start or adopt it, wait until it is ready, start it again when it is dead."""

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from deploy.local.components import Component
from deploy.local.home import Home, explained
from deploy.local.ports import is_free
from deploy.local.processes import Identity, end, end_marked, start

POLL_S = 0.15
READY_TIMEOUT_S = 120.0
# A program that dies this often before it was ever ready has a fault that another start does not mend.
STARTS_BEFORE_GIVING_UP = 3
BACKOFF_S = (0.2, 1.0, 2.0, 5.0, 10.0)
HEALTH_S = 5.0  # between two questions to one that is ready
STABLE_S = 30.0  # after that long a life the backoff begins anew


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is known of one program. States: waiting, starting, ready, restarting, failed, stopped."""

    name: str
    state: str = "waiting"
    process: Identity | None = None
    restarts: int = 0
    error: str = ""
    ready_after_s: float | None = None
    # Ports that were free when they were chosen, and that somebody else listens on now.
    lost: tuple[int, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """For processes.json."""
        identity = self.process.as_record() if self.process else {}
        rest = {"restarts": self.restarts, "error": self.error, "ready_after_s": self.ready_after_s}
        return {"state": self.state, **identity, **rest}


class ProcessMonitor(threading.Thread):
    """Runs one program until `stopping` is set and reports every change through `tell`; `finish` ends the program."""

    def __init__(
        self,
        component: Component,
        home: Home,
        tell: Callable[[Status], None],
        stopping: threading.Event,
        adopt: Identity | None = None,
    ) -> None:
        super().__init__(name=f"monitor-{component.name}", daemon=True)
        self.component = component
        self._home, self._tell, self._stopping, self._adopt = home, tell, stopping, adopt
        self._status = Status(name=component.name)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def mark(self) -> str:
        """What the program's environment carries: unique to this home and program."""
        return self._home.mark(self.component.name)

    @property
    def status(self) -> Status:
        return self._status

    def run(self) -> None:
        """The thread: one turn for each life of the program."""
        deaths_before_ready, deaths_in_a_row, ever_ready = 0, 0, False
        while not self._stopping.is_set():
            began, ailment = time.monotonic(), ""
            try:
                identity = self._start_or_adopt()
                ready = self._wait_until_ready(identity, began)
                ever_ready = ever_ready or ready
                ailment = self._wait_until_dead(identity) if ready else ""
                cause = ailment or self._cause_of_death(ready)
            except OSError as error:
                cause = f"{explained(error)} at {error.filename}" if error.filename else explained(error)
            except RuntimeError as error:
                cause = str(error)
            if self._stopping.is_set():
                return
            # What it left behind would hold ports and files of the next one.
            if self._status.process is not None:
                end(self._status.process, mark=self.mark, grace_s=self.component.grace_s if ailment else 0)
            lost = tuple(port for port in self.component.ports if not is_free(port))
            if lost:
                cause = f"port {', '.join(map(str, lost))} is taken by another program; {cause}"
            deaths_before_ready += 0 if ever_ready else 1
            deaths_in_a_row = 0 if time.monotonic() - began > STABLE_S else deaths_in_a_row
            if not ever_ready and (lost or deaths_before_ready >= STARTS_BEFORE_GIVING_UP):
                self._say(state="failed", process=None, error=cause, lost=lost)
                return
            self._say(state="restarting", process=None, error=cause, restarts=self._status.restarts + 1)
            self._stopping.wait(BACKOFF_S[min(deaths_in_a_row, len(BACKOFF_S) - 1)])
            deaths_in_a_row += 1

    def finish(self) -> None:
        """End the program and all that it started. Call after `stopping` is set and the thread has ended."""
        identity = self._status.process
        if identity is not None:
            end(identity, mark=self.mark, grace_s=self.component.grace_s)
            if self._child is not None:
                self._child.poll()
            self.component.tidy()
        self._say(state="stopped", process=None)

    def _start_or_adopt(self) -> Identity:
        if self._adopt is not None and self._adopt.running():
            identity, self._adopt = self._adopt, None
            self._say(state="starting", process=identity)
            return identity
        if self._adopt is not None:
            end(self._adopt, mark=self.mark, grace_s=0)
            self._adopt = None
        # A supervisor that was killed between a start and its note left one that nobody knows, on the same data.
        end_marked(self.mark, grace_s=self.component.grace_s)
        self.component.prepare()
        log = self._home.log_file(self.component.name)
        self._child = start(self.component.command, env=self.component.env, log=log, mark=self.mark)
        identity = Identity.of(self._child.pid)
        self._say(state="starting", process=identity)
        return identity

    def _wait_until_ready(self, identity: Identity, began: float) -> bool:
        while identity.running() and not self._stopping.is_set():
            if self.component.ready():
                # A ready answer from a port that somebody else holds is not ours.
                if identity.running():
                    self._say(state="ready", error="", ready_after_s=round(time.monotonic() - began, 2))
                    return True
                return False
            if time.monotonic() - began > READY_TIMEOUT_S:
                raise RuntimeError(f"not ready within {READY_TIMEOUT_S:.0f} s; its log ends:\n{self._tail()}")
            self._stopping.wait(POLL_S)
        return False

    def _wait_until_dead(self, identity: Identity) -> str:
        """Until it is dead, or has what only another start mends: returns that, else ""."""
        asked = time.monotonic()
        while identity.running() and not self._stopping.wait(POLL_S):
            if time.monotonic() - asked < HEALTH_S:
                continue
            if ailment := self.component.ailment():
                return ailment
            asked = time.monotonic()
        return ""

    def _cause_of_death(self, was_ready: bool) -> str:
        code = self._child.poll() if self._child is not None else None
        when = "ended" if was_ready else "ended before it was ready"
        return f"{when} (exit code {'unknown' if code is None else code}); its log ends:\n{self._tail()}"

    def _tail(self) -> str:
        return self._home.tail(self.component.name) or "(empty)"

    def _say(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
        self._tell(self._status)
