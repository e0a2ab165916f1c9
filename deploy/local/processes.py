"""Starting, recognising and ending processes. A process is its pid and its start time: a pid alone may be another's.

Every program gets a session of its own and a mark in its environment, so that what it leaves behind when it dies (Ray's
helpers, a job's workers) is found and ended too, and nothing else is. The start time is the kernel's, counted from the
start of the machine: one in seconds since the epoch moves whenever the clock is set.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

MARK = "RETAIN_STACK_MEMBER"
POLL_S = 0.05


@cache
def boot() -> str:
    """What names this run of the machine's kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def born(pid: int) -> int:
    """When the process that has this pid now was started, in clock ticks since the start of the machine.

    Raises psutil.NoSuchProcess.
    """
    try:
        # The name, in parentheses, may hold anything; what follows is the third field on.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        raise psutil.NoSuchProcess(pid) from None


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process for ever: no other has this pid and this start (clock ticks since a boot, and which boot)."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The process that has this pid now. Raises psutil.NoSuchProcess."""
        return cls(pid=pid, started=born(pid), boot=boot())

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> "Identity":
        """From what `as_record` gave. Raises KeyError, TypeError or ValueError.

        An entry without a boot was written by an earlier version, in seconds since the epoch.
        """
        pid, started = int(entry["pid"]), entry["started"]
        if "boot" in entry:
            return cls(pid=pid, started=int(started), boot=str(entry["boot"]))
        try:
            same = abs(psutil.Process(pid).create_time() - float(started)) < 0.02
            return cls.of(pid) if same else cls(pid=pid, started=-1, boot="")
        except psutil.NoSuchProcess:
            return cls(pid=pid, started=-1, boot="")

    def as_record(self) -> dict[str, Any]:
        """For a file; `parse` reads it."""
        return {"pid": self.pid, "started": self.started, "boot": self.boot}

    def process(self) -> psutil.Process | None:
        """The living process, or None when it is gone, a zombie, or when the pid has passed to another one."""
        try:
            process = psutil.Process(self.pid)
            same = self.boot == boot() and self.started == born(self.pid)
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
    reused = reused or root.boot != boot()
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            of_session = not reused and os.getsid(process.pid) == root.pid and born(process.pid) >= root.started
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
    _kill(members, lambda: family(root, mark), mark)


def marked(mark: str) -> set[psutil.Process]:
    """All of this user's processes that carry the mark, this one left out."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and _alive(process):
                found.add(process)
        except (psutil.Error, OSError):
            continue  # gone in the meantime, or of another user
    return found


def end_marked(mark: str, *, grace_s: float) -> bool:
    """End all that carries the mark, though nobody has noted its pid: SIGTERM for those that lead a session, `grace_s`,
    SIGKILL for the rest. Returns whether there was anything."""
    members = marked(mark)
    leaders = [process for process in members if _leads(process)]
    _send(leaders, signal.SIGTERM)
    psutil.wait_procs(leaders, timeout=grace_s if leaders else 0)
    _kill(members, lambda: marked(mark), mark)
    return bool(members)


def _kill(members: set[psutil.Process], look_again: Callable[[], set[psutil.Process]], mark: str) -> None:
    # A family can grow while it ends (a job starts a worker): look again until nobody is left.
    for _ in range(20):
        members = {process for process in members | look_again() if _alive(process)}
        if not members:
            return
        _send(members, signal.SIGKILL)
        psutil.wait_procs(list(members), timeout=2)
    raise RuntimeError(
        f"processes {sorted(process.pid for process in members)} of {mark} do not end, not even by SIGKILL"
    )


def _leads(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


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
