"""What happens to an installation in a cluster and interrupts no training: certificates are renewed, pods replaced."""

import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deploy.cluster import NAMESPACE, RELEASE, ROOT, Tools

PATIENCE_S = 300.0  # Kubernetes brings a changed secret to its pods within a minute or two
LONGER_THAN_ANY_DAYS = 10_000


@dataclass
class Disturbances:
    """Run by `start` on a thread of their own, one after another; `told` is what they did, `failed` what they could
    not."""

    tools: Tools
    where: Mapping[str, str]
    told: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def start(self) -> threading.Thread:
        """The thread, which ends by itself."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        for one in (self._renew, lambda: self._replace("orchestrator"), lambda: self._replace("evaluator")):
            try:
                self._tell(one())
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                self.failed.append(str(error))

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
        kind = "statefulset" if name == "orchestrator" else "deployment"
        self.tools.run(*kubectl, "rollout", "status", f"{kind}/{RELEASE}-{name}", "--timeout", "5m")
        _until(lambda: bool(self._shown()[name]), f"the new pod of the {name}")
        return f"pod of the {name} replaced after {time.monotonic() - began_s:.0f} s"

    def _shown(self) -> dict[str, str]:
        """The certificates that a new connection is shown; empty where nobody answers."""
        found = {}
        for name in ("orchestrator", "evaluator"):
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
