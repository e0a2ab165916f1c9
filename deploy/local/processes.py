"""Starting, recognising and ending processes. A process is its pid and its start time: a pid alone may be another's.

Every program gets a session of its own and a mark in its environment, so that what it leaves behind when it dies (Ray's
helpers, a job's workers) is found and ended too, and nothing else is.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "RETAIN_STACK_MEMBER"
POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process for ever: no other has this pid and this start time (seconds since the epoch)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The process that has this pid now. Raises psutil.NoSuchProcess."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The living process, or None when it is gone, a zombie, or when the pid has passed to another one."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 0.02
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def running(self) -> bool:
        return self.process() is not None


def start(command: list[str], *, env: Mapping[str, str], log: Path, mark: str) -> subprocess.Popen[bytes]:
    """Start a program detached from the terminal, in a session of its own, with its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**env, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def family(root: Identity, mark: str) -> set[psutil.Process]:
    """Everything alive that descends from `root` (which may be dead by now), itself included."""
    found: set[psutil.Process] = set()
    living = root.process()
    if living is not None:
        found.add(living)
        try:
            found.update(living.children(recursive=True))
        except psutil.NoSuchProcess:
            living = None
    # The kernel gives a pid to nobody else as long as it names a session: with another process on root's pid, that
    # session is over.
    reused = living is None and psutil.pid_exists(root.pid) and not _is_zombie(root.pid)
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            of_session = not reused and os.getsid(process.pid) == root.pid and process.create_time() >= root.started - 1
            if of_session or process.environ().get(MARK) == mark:
                found.add(process)
                found.update(process.children(recursive=True))
        except (psutil.Error, OSError):
            continue  # gone in the meantime, or of another user and so not ours
    return {process for process in found if _alive(process)}


def end(root: Identity, *, mark: str, grace_s: float) -> None:
    """SIGTERM for the root, `grace_s` for it to go in order, then SIGKILL for all that is left of its family.

    A program that outlives SIGTERM is no error: SeaweedFS ignores it once its folder is gone.
    """
    members = family(root, mark)
    _send([process for process in members if process.pid == root.pid], signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while root.running() and time.monotonic() < deadline:
        time.sleep(POLL_S)
    # A family can grow while it ends (a job starts a worker): look again until nobody is left.
    for _ in range(20):
        members = {process for process in members | family(root, mark) if _alive(process)}
        if not members:
            return
        _send(members, signal.SIGKILL)
        psutil.wait_procs(list(members), timeout=2)
    raise RuntimeError(
        f"processes {sorted(process.pid for process in members)} of {mark} do not end, not even by SIGKILL"
    )


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)  # psutil compares the start time first
        except psutil.NoSuchProcess:
            continue


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
