"""Where the panel of these tests runs: on the whole stack (`make test-ui`), or on an orchestrator whose workers only
simulate training, which starts in seconds (the smoke test, and trying out a case)."""

import itertools
import os
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.stack import Stack
from tests.identity import ADMIN
from tests.ports import free_ports
from ui.client.address import Address
from ui.client.client import RetainClient

SESSION_S = 5  # what Streamlit keeps a session whose page is gone; its default is two minutes
PROGRAMS = "object_store,ray,evaluator,orchestrator,panel"
START_S = 90.0
LIFETIME_S = 4 * 3600  # of a person's token


class Place(ABC):
    """A panel and the services behind it."""

    real = False

    @property
    @abstractmethod
    def url(self) -> str:
        """The panel."""

    @property
    @abstractmethod
    def address(self) -> Address:
        """The services, with the token of a person who may do everything."""

    @abstractmethod
    def token_of_somebody(self) -> str:
        """Of a person who may do everything, and whom the panel has not seen before where that can be."""

    @abstractmethod
    def end_panel(self) -> None:
        """It ends as by a crash."""

    @abstractmethod
    def panel_again(self) -> None:
        """It answers again."""

    def until_panel_answers(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_S
        while True:
            try:
                opener.open(f"{self.url}/_stcore/health", timeout=2).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"the panel did not answer within {START_S:g} s"
                time.sleep(0.1)


@dataclass(kw_only=True)
class OnStack(Place):
    """The local stack: its supervisor starts anew what ended."""

    stack: Stack
    real = True
    _people: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return self.stack.endpoints["panel"]

    @property
    def address(self) -> Address:
        return self.stack.address

    def token_of_somebody(self) -> str:
        with RetainClient(self.address) as client:
            name = f"visitor-{next(self._people)}"
            return client.identity.create_token(name, roles=("admin",), lifetime_s=LIFETIME_S)[1]

    def end_panel(self) -> None:
        self.stack.program("panel").kill()

    def panel_again(self) -> None:
        self.until_panel_answers()


@dataclass(kw_only=True)
class Light(Place):
    """Two processes: a real orchestrator with fakes around it, and the panel."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[2]}"

    @property
    def address(self) -> Address:
        server, evaluator, _ = (f"127.0.0.1:{port}" for port in self.ports)
        return Address(orchestrator=server, evaluator=evaluator, token=ADMIN)

    def token_of_somebody(self) -> str:
        return ADMIN  # the fake evaluator knows no others

    def up(self) -> None:
        """Both, the panel once it answers."""
        command = ["-m", "tests.fakes.platform", str(self.ports[0]), str(self.ports[1]), "--no-demo"]
        self._start("platform", command, {})
        self._start_panel()
        self.until_panel_answers()

    def down(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)

    def end_panel(self) -> None:
        self.processes["panel"].kill()
        self.processes["panel"].wait(20)

    def panel_again(self) -> None:
        self._start_panel()
        self.until_panel_answers()

    def _start_panel(self) -> None:
        settings = {
            "RETAIN_SERVER": self.address.orchestrator,
            "RETAIN_EVALUATOR": self.address.evaluator or "",
            "RETAIN_PANEL_PORT": str(self.ports[2]),
            "RETAIN_PANEL_COOKIE_SECRET": "of-the-tests-" * 4,
            "STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": str(SESSION_S),
        }
        self._start("panel", ["-m", "ui.panel"], settings)

    def _start(self, name: str, command: list[str], settings: dict[str, str]) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RETAIN_")}
        environ = {**inherited, "RETAIN_HOME": str(self.folder), **settings}
        with (self.folder / f"{name}.log").open("ab") as log:
            order = [sys.executable, *command]
            self.processes[name] = subprocess.Popen(order, env=environ, stdout=log, stderr=log)
