"""What happens to an installation in a cluster and interrupts no training: certificates are renewed, pods replaced."""

import functools
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.cluster import NAMESPACE, RELEASE, ROOT, Tools

PATIENCE_S = 300.0  # Kubernetes brings a changed secret to its pods within a minute or two
LONGER_THAN_ANY_DAYS = 10_000
UNDER_WAY = ("RUN_STATE_PENDING", "RUN_STATE_RUNNING")
# In this order, and the kind of controller that makes each anew.
PODS = {
    "orchestrator": "statefulset",
    "evaluator": "deployment",
    "minio": "statefulset",
    "ray-worker": "deployment",
    "ray-head": "statefulset",
    "ui": "deployment",
}
# Whoever trains there leaves with the pod: each costs one worker group, which resumes. The others cost none.
COST_A_GROUP = ("ray-worker", "ray-head")


@dataclass
class Disturbances:
    """Made by `start` on a thread of their own, one after another, each while the run trains; `told` is what they did,
    `failed` what they could not. `run` gives the run as `retain show --json` prints it."""

    tools: Tools
    where: Mapping[str, str]
    run: Callable[[], dict[str, Any]]
    told: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def start(self) -> threading.Thread:
        """The thread, which ends by itself."""
        thread = threading.Thread(target=self._disturb, daemon=True)
        thread.start()
        return thread

    @property
    def most_groups(self) -> int:
        """Worker groups that the run may have needed, the first included."""
        return 1 + len(COST_A_GROUP)

    def _disturb(self) -> None:
        replaced = [functools.partial(self._replace, name) for name in PODS]
        each: list[Callable[[], str]] = [self._renew, *replaced]
        for one in each:
            try:
                step = self._until_it_trains()
                self._tell(f"at {step}: {one()}")
            except (OSError, RuntimeError, ValueError, subprocess.CalledProcessError) as error:
                self.failed.append(str(error))

    def _until_it_trains(self) -> str:
        """Stage and step. Raises RuntimeError where the run has ended: nothing would be disturbed any more."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            status = self.run().get("status", {})
            if status.get("state") not in UNDER_WAY:
                raise RuntimeError(f"the run is {status.get('state')}: it ended before it was disturbed")
            if status.get("phase") == "STAGE_PHASE_TRAINING":
                stage = [one for one in status["stages"] if one.get("attempt")][-1]
                return f"{stage['name']}, step {stage['step']}"
            if time.monotonic() > end_s:
                raise RuntimeError(f"the run does not train within {PATIENCE_S:.0f} s: {status.get('phase')}")
            time.sleep(2)

    def _tell(self, text: str) -> None:
        self.told.append(text)
        print(f"+ {text}", file=sys.stderr, flush=True)

    def _renew(self) -> str:
        """Certificates are renewed when their end is near; here any is."""
        began_s, before = time.monotonic(), self._shown()
        words = ("--reuse-values", "--set", f"tls.renewDays={LONGER_THAN_ANY_DAYS}", "--timeout", "5m")
        self.tools.run("helm", "upgrade", RELEASE, ROOT / "helm/retain", "--namespace", NAMESPACE, *words)
        _until(lambda: all(self._shown()[name] != before[name] for name in before), "the renewed certificates")
        return f"certificates renewed and shown to new connections after {time.monotonic() - began_s:.0f} s"

    def _replace(self, name: str) -> str:
        began_s = time.monotonic()
        kubectl = ("kubectl", "--namespace", NAMESPACE)
        self.tools.run(*kubectl, "delete", "pod", "--selector", f"app.kubernetes.io/component={name}")
        self.tools.run(*kubectl, "rollout", "status", f"{PODS[name]}/{RELEASE}-{name}", "--timeout", "5m")
        if name in self._shown():
            _until(lambda: bool(self._shown()[name]), f"the new pod of the {name}")
        return f"pod of {name} replaced after {time.monotonic() - began_s:.0f} s"

    def _shown(self) -> dict[str, str]:
        """The certificates that a new connection is shown; empty where nobody answers."""
        found = {}
        for name in ("orchestrator", "evaluator", "minio"):
            host, _, port = self.where[name].rpartition(":")
            try:
                found[name] = ssl.get_server_certificate((host, int(port)), timeout=5)
            except OSError:
                found[name] = ""
        return found


def _until(condition: Callable[[], bool], what: str) -> None:
    """Raises RuntimeError when it takes too long."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise RuntimeError(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(2)
