"""A local stack of its own for tests: its processes, its client, waiting for what a run comes to.

A process is found through the stack's own record and the family of the Ray head, never by name on the machine.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from deploy.local.components import BUCKET
from deploy.local.home import Home
from services.common.store.minio_store import MinioStore
from ui.client.address import Address
from ui.client.client import RetainClient
from ui.client.errors import Unreachable
from ui.client.views import Run

PROGRAMS = "object_store,ray,evaluator,orchestrator"
STALL_TIMEOUT_S = 20.0
STORE_TIMEOUT_S = 5.0
# A busy machine may take minutes over what a quiet one does in seconds; a wait that fails is a fault, not slowness.
PATIENCE_S = 300.0
POLL_S = 0.1


@dataclass(kw_only=True)
class Stack:
    """The stack in `folder`. Start it with `up`, end it with `down`."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)  # settings besides those of `up`
    programs: str = PROGRAMS
    endpoints: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        return Home(path=self.folder / "home")

    @property
    def cache(self) -> Path:
        """Where workers keep local copies."""
        return self.folder / "cache"

    @property
    def token(self) -> str:
        """What clients of this user send."""
        return self.home.user_token_file.read_text()

    @property
    def address(self) -> Address:
        return Address(
            orchestrator=self.endpoints["orchestrator"],
            evaluator=self.endpoints["evaluator"],
            token=self.token,
        )

    def up(self) -> None:
        """Start it, one run at a time, with times so short that a hang shows within a test."""
        env = {
            "RETAIN_CACHE": str(self.cache),
            "RETAIN_STALL_TIMEOUT_S": f"{STALL_TIMEOUT_S:g}",
            "RETAIN_STORE_TIMEOUT_S": f"{STORE_TIMEOUT_S:g}",
            "RETAIN_WORKER_SLOTS": "1",
            "OMP_NUM_THREADS": "1",
            **self.env,
        }
        self.endpoints = json.loads(self._launch("up", "--json", "--only", self.programs, env=env))

    def down(self) -> None:
        """Stop it."""
        self._launch("down")

    def _launch(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = [sys.executable, "-m", "deploy.local", *arguments, "--home", str(self.home.path)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RETAIN_", "RAY_"))}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={**inherited, **(env or {})}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def store(self) -> MinioStore:
        """The bucket."""
        keys = self.home.credentials()
        endpoint = self.endpoints["object_store"]
        return MinioStore(endpoint, BUCKET, access_key=keys.access_key, secret_key=keys.secret_key, patience_s=60)

    def keys(self, prefix: str) -> set[str]:
        """Keys of all objects under a prefix."""
        return {info.key for info in self.store().list(prefix)}

    def metric(self, name: str, run_id: str) -> float:
        """Sum of a metric of the orchestrator over the series of a run."""
        with urllib.request.urlopen(self.endpoints["metrics"], timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{") and run_id in line)

    # --- processes

    def entry(self, name: str) -> dict[str, Any]:
        """What the supervisor says of a program."""
        return dict(self.home.read_record()["processes"][name])

    def program(self, name: str) -> psutil.Process:
        """The process of a program of the stack."""
        return psutil.Process(int(self.entry(name)["pid"]))

    def training_workers(self) -> list[psutil.Process]:
        """Ray Train's worker processes."""
        return self._of_ray(lambda command: command[0].startswith("ray::RayTrainWorker"))

    def drivers(self) -> list[psutil.Process]:
        """Entry points of the Ray jobs."""
        return self._of_ray(lambda command: "-m" in command and "services.worker.main" in command)

    def _of_ray(self, wanted: Callable[[list[str]], bool]) -> list[psutil.Process]:
        found = []
        for process in self.program("ray").children(recursive=True):
            try:
                command = process.cmdline()
                if command and wanted(command) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def until_restarted(self, name: str, former: psutil.Process) -> float:
        """Wait until the supervisor has started a program anew; returns the seconds that it took."""
        began = time.monotonic()

        def back() -> bool:
            now = self.entry(name)
            return now["state"] == "ready" and now.get("pid") != former.pid

        wait_until(back, f"{name} is started again")
        return time.monotonic() - began

    def left_behind(self) -> list[str]:
        """Every process on the machine that belongs to this stack."""
        found = []
        places = (str(self.folder), str(self.home.scratch))
        for process in psutil.process_iter():
            try:
                texts = [*process.environ().values(), *process.cmdline()]
                mine = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
                if mine and any(place in text for text in texts for place in places):
                    found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
            except (psutil.Error, OSError):
                continue
        return found


def wait_until(reached: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until something is true. Fails with `what` was waited for."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(POLL_S)


def until(
    client: RetainClient, run_id: str, reached: Callable[[Run], bool], what: str, within_s: float = PATIENCE_S
) -> Run:
    """Wait until a run has come to something. A run that ended otherwise fails at once, with its reason.

    An orchestrator that is being restarted is waited for.
    """
    deadline = time.monotonic() + within_s
    where = "not to be asked"
    while time.monotonic() < deadline:
        with contextlib.suppress(Unreachable):
            run = client.get_run(run_id)
            if reached(run):
                return run
            status = run.status
            where = f"{run.state} {status.reason} {status.message} {status.phase}, submission {status.submission}"
            assert not run.is_settled, f"{run_id} ended as {where} before: {what}"
        time.sleep(POLL_S)
    raise AssertionError(f"{run_id} is not within {within_s:.0f} s: {what}; it is {where}")


def until_ended(client: RetainClient, run_id: str, within_s: float = 2 * PATIENCE_S) -> Run:
    """Wait for a run's end, whichever it is."""
    return until(client, run_id, lambda run: run.is_settled, "it ends", within_s)


def newest_checkpoint(run: Run) -> tuple[int, int]:
    """Stage and step of the last checkpoint that counts; (0, 0) before the first."""
    return max(((stage.index, stage.latest.step) for stage in run.stages if stage.latest), default=(0, 0))
