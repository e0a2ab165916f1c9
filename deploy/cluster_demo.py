"""`make cluster-demo`: the chart on a real one-node Kubernetes, the demo pipeline submitted from outside through gRPC.

    python -m deploy.cluster_demo [--domain code|math|science] [--tokens-share 0.5] [--keep] [--skip-build] [--disturb]

Builds the four images, starts the cluster that the shared tools ship, loads the images, installs the chart, runs
`helm test`, forwards the ports of orchestrator, evaluator and store, submits the demo's specification with the `retain`
command, follows it to its end, prints what it left (decisions, history, checkpoints) and exports the last model. The
pods share the machine with the cluster, so the demo's stages are cut to half their tokens here unless --tokens-share
says otherwise; with --disturb they have three times as many, so that it still trains when the last pod is replaced. At
the end the pods' logs are in `.retain/cluster`, and release, cluster and (if it was started here) dockerd are gone,
unless --keep. Needs root and the folder of shared tools (beside the checkout, or RETAIN_SHARED).
"""

import argparse
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.cluster import (
    LOGS,
    NAMESPACE,
    RELEASE,
    ROOT,
    Tools,
    build,
    docker,
    forwarded,
    install,
    keep_logs,
    load,
    outside_addresses,
)
from deploy.cluster_disturbances import Disturbances

SHARE = 0.5
SHARE_WHILE_DISTURBED = (
    3.0  # minutes: renewed certificates take two to arrive, and every pod is replaced while it trains
)
# A pod that is replaced keeps database and objects only where they are on volumes; the small values have none.
ON_VOLUMES = ("database.sqlite.persistence.enabled=true", "objectStore.minio.persistence.enabled=true")


class Clock:
    """Seconds of each step, told at the end."""

    def __init__(self) -> None:
        self.taken_s: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        begin_s = time.monotonic()
        try:
            yield
        finally:
            self.taken_s[name] = time.monotonic() - begin_s

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.taken_s.items())


def reduced(template: Path, share: float) -> list[str]:
    """`--set` words for `retain run` that leave each stage `share` of the tokens that the template gives it."""
    stages = YAML(typ="safe").load(template.read_text())["stages"]
    words = [
        f"stages.{i}.duration.tokens={round(stage['duration']['tokens'] * share)}" for i, stage in enumerate(stages)
    ]
    return [word for change in words for word in ("--set", change)]


def secret(tools: Tools, name: str, key: str) -> str:
    """What the chart's bootstrap made: the token of whoever runs the installation, who signs its certificates."""
    path = f"jsonpath={{.data.{key.replace('.', chr(92) + '.')}}}"
    words = ("kubectl", "--namespace", NAMESPACE, "get", "secret", f"{RELEASE}-{name}", "--output", path)
    found = subprocess.run(words, env=tools.env, check=True, stdout=subprocess.PIPE)
    return base64.b64decode(found.stdout).decode()


def run_demo(
    domain: str,
    share: float,
    where: Mapping[str, str],
    *,
    token: str,
    ca: Path,
    disturbed_by: Tools | None = None,
) -> int:
    """Submit the demo's specification from outside, follow it, print its evidence; exit code of the run, and 1 where a
    disturbance has failed or cost more worker groups than it may."""
    env = {
        "COLUMNS": "140",
        **os.environ,
        "RETAIN_SERVER": where["orchestrator"],
        "RETAIN_EVALUATOR": where["evaluator"],
        "RETAIN_TOKEN": token,
        "RETAIN_TLS_CA": str(ca),
    }
    template = ROOT / f"ui/templates/demo-{domain}.yaml"

    def retain(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        print("+ retain", *words, file=sys.stderr, flush=True)
        return subprocess.run([sys.executable, "-m", "ui.cli", *words], env=env, check=False, **options)

    made = retain("run", str(template), *reduced(template, share), "--detach", "--json", stdout=subprocess.PIPE)
    if made.returncode:
        return made.returncode
    run_id = json.loads(made.stdout)["run_id"]

    def shown() -> dict[str, Any]:
        return dict(json.loads(retain("show", run_id, "--json", stdout=subprocess.PIPE).stdout))

    disturbances = Disturbances(disturbed_by, where, shown) if disturbed_by else None
    disturbing = disturbances.start() if disturbances else None
    code = retain("watch", run_id).returncode
    if disturbances and disturbing:
        disturbing.join()
        status = shown()["status"]
        attempts = ", ".join(f"{one['name']} {one['attempt']}" for one in status["stages"])
        print(*disturbances.told, *disturbances.failed, sep="\n")
        print(f"worker groups: {status['submission']}; attempts: {attempts}", flush=True)
        code = code or int(bool(disturbances.failed) or status["submission"] > disturbances.most_groups)
    for verb in ("decisions", "history", "checkpoints"):
        retain(verb, run_id)
    if code == 0:
        newest = json.loads(retain("checkpoints", run_id, "--limit", "1", "--json", stdout=subprocess.PIPE).stdout)
        with tempfile.TemporaryDirectory() as folder:
            code = retain("export", newest[0]["checkpoint"], f"{folder}/model").returncode
            print(*sorted(path.name for path in Path(folder).glob("model/*")), flush=True)
    print(f"run {run_id}: exit code {code}", flush=True)
    return code


def main() -> int:
    """Exit code of the demo's run."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cluster_demo", description=__doc__)
    parser.add_argument("--domain", choices=["code", "math", "science"], default="code")
    parser.add_argument("--tokens-share", type=float, metavar="SHARE", help="of the demo's tokens; 1 for all")
    parser.add_argument("--keep", action="store_true", help="leave release, cluster and dockerd running")
    parser.add_argument("--skip-build", action="store_true", help="take the images as dockerd has them")
    parser.add_argument("--disturb", action="store_true", help="renew certificates and replace pods while it trains")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a value of the chart")
    options = parser.parse_args()
    share = options.tokens_share or (SHARE_WHILE_DISTURBED if options.disturb else SHARE)
    tools, clock, where = Tools(), Clock(), outside_addresses()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    with contextlib.ExitStack() as cleanup:
        if not options.keep:
            cleanup.enter_context(docker(tools))
            cleanup.callback(tools.run, tools.cluster / "kube-down", check=False)
        else:
            tools.run(tools.cluster / "base-image")
        if not options.skip_build:
            with clock.step("build"):
                build(tools)
        with clock.step("cluster"):
            tools.run(tools.cluster / "kube-up")
        with clock.step("load images"):
            load(tools)
        if not options.keep:
            cleanup.callback(tools.run, "helm", "uninstall", RELEASE, "--namespace", NAMESPACE, check=False)
        cleanup.callback(keep_logs, tools)
        with clock.step("install and helm test"):
            lasting = ON_VOLUMES if options.disturb else ()
            store = (f"objectStore.publicEndpoint=https://{where['minio']}", "objectStore.minio.tls=true")
            install(tools, [*store, *lasting, *options.set])
        ca = LOGS / "ca.crt"
        LOGS.mkdir(parents=True, exist_ok=True)
        ca.write_text(secret(tools, "orchestrator-tls", "ca.crt"))
        with forwarded(tools, where, ca=ca), clock.step("pipeline"):
            print(f"orchestrator at {where['orchestrator']}, evaluator at {where['evaluator']}", file=sys.stderr)
            token = secret(tools, "identity", "admin-token")
            disturbed_by = tools if options.disturb else None
            code = run_demo(options.domain, share, where, token=token, ca=ca, disturbed_by=disturbed_by)
    print(f"{clock}; exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
