"""`make cluster-demo`: the chart on a real one-node Kubernetes, the demo pipeline submitted from outside through gRPC.

    python -m deploy.cluster_demo [--domain code|math|science] [--tokens-share 0.5] [--keep] [--skip-build]

Builds the four images, starts the cluster that the shared tools ship, loads the images, installs the chart, runs
`helm test`, forwards the two gRPC ports, submits the demo's specification with the `retain` command, follows it to its
end and prints what it left: decisions, history, checkpoints. The pods share the machine with the cluster, so the demo's
stages are cut to half their tokens here unless --tokens-share says otherwise. At the end the pods' logs are in
`.retain/cluster`, and release, cluster and (if it was started here) dockerd are gone, unless --keep. Needs root and the
folder of shared tools (beside the checkout, or RETAIN_SHARED).
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.healthcheck import grpc_serving
from deploy.local.ports import LOOPBACK, is_free
from deploy.local.processes import Identity, end, start

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ("orchestrator", "ui", "evaluator", "ray")
TAG = "0.1.0"
BASE = "retain-base/python:3.11"
MINIO_IMAGE = "retain/minio:local"
NAMESPACE = RELEASE = "retain"
LOGS = ROOT / ".retain" / "cluster"
PORTS = {"orchestrator": 7070, "evaluator": 7071}
# kubectl ends a forward whose pod or connection is lost; a client outside must only see a short gap.
FORWARD_FOR_EVER = 'while :; do "$@"; sleep 0.5; done'


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


class Tools:
    """The shared programs, and the environment in which they find each other and the cluster."""

    def __init__(self) -> None:
        folder = Path(os.environ.get("RETAIN_SHARED", ROOT.parent / "shared")) / "tools"
        if not folder.is_dir():
            raise SystemExit(
                f"the shared tools are not at {folder}; set RETAIN_SHARED to the folder that holds `tools`"
            )
        self.cluster = folder / "cluster"
        self.kube_dir = Path(os.environ.get("KUBE_DIR", "/tmp/retain-kube"))
        unpacked = subprocess.run([str(folder / "unpack")], check=True, capture_output=True, text=True).stdout.strip()
        self.unpacked = Path(unpacked)
        self.env = {
            **os.environ,
            "PATH": f"{unpacked}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.kube_dir / "admin.kubeconfig"),
        }

    def run(self, *command: str | Path, quiet: bool = False, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run a program and show it; its output goes to standard error."""
        print("+", *command, file=sys.stderr, flush=True)
        output = subprocess.DEVNULL if quiet else sys.stderr
        return subprocess.run([str(word) for word in command], env=self.env, cwd=ROOT, check=check, stdout=output)


@contextlib.contextmanager
def docker(tools: Tools) -> Iterator[None]:
    """dockerd with the base image; ended afterwards if it was not running before."""
    before = (
        shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )
    tools.run(tools.cluster / "base-image")
    try:
        yield
    finally:
        if not before:
            os.kill(int((tools.kube_dir / "run/dockerd.pid").read_text()), signal.SIGTERM)


def build(tools: Tools) -> None:
    """The four images, and one of the shared MinIO."""
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    for wheel in Path(wheels).glob("torch-2.13.0*.whl") if wheels else ():
        shutil.copy2(wheel, ROOT / "deploy/docker/wheels")  # the CPU build, where one lies on this machine
    for name in IMAGES:
        options = ["--quiet", "--network", "host", "--build-arg", f"BASE={BASE}", "--target", name]
        tools.run(
            "docker", "build", "-f", "deploy/docker/Dockerfile", *options, "-t", f"retain/{name}:{TAG}", ".", quiet=True
        )
    layer = subprocess.run(
        [
            tools.cluster / "image-from-files",
            MINIO_IMAGE,
            '["/usr/bin/minio"]',
            f"{tools.unpacked}/minio:/usr/bin/minio",
        ],
        check=True,
        capture_output=True,
    ).stdout
    subprocess.run(["docker", "load"], input=layer, check=True, stdout=subprocess.DEVNULL)


def install(tools: Tools, values: list[str]) -> None:
    """The chart in a namespace that enforces the restricted Pod Security Standard, waited for and tested."""
    tools.run("kubectl", "create", "namespace", NAMESPACE, check=False)
    tools.run(
        "kubectl", "label", "--overwrite", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"
    )
    arguments = ["--namespace", NAMESPACE, "--values", "helm/retain/ci/small-values.yaml"]
    arguments += ["--set", f"objectStore.minio.image={MINIO_IMAGE}", *values]
    tools.run("helm", "upgrade", "--install", RELEASE, "helm/retain", *arguments, "--wait", "--timeout", "6m")
    tools.run("helm", "test", RELEASE, "--namespace", NAMESPACE, "--timeout", "3m")
    tools.run("kubectl", "--namespace", NAMESPACE, "get", "pods,svc", "--output", "wide")


@contextlib.contextmanager
def forwarded(tools: Tools) -> Iterator[dict[str, str]]:
    """The two gRPC services on loopback, by `kubectl port-forward`; yields their addresses."""
    LOGS.mkdir(parents=True, exist_ok=True)
    where, running = {}, []
    try:
        for name, remote in PORTS.items():
            port = next(p for p in range(17_000 + remote, 30_000, 100) if is_free(p))
            command = ["sh", "-c", FORWARD_FOR_EVER, "forward", "kubectl", "--namespace", NAMESPACE, "port-forward"]
            log, mark = LOGS / f"forward-{name}.log", f"{LOGS}:{name}"
            child = start(
                [*command, f"service/{RELEASE}-{name}", f"{port}:{remote}"], env=tools.env, log=log, mark=mark
            )
            running.append((Identity.of(child.pid), mark))
            where[name] = f"{LOOPBACK}:{port}"
        deadline = time.monotonic() + 60
        while not all(grpc_serving(address) for address in where.values()):
            if time.monotonic() > deadline:
                raise SystemExit(f"the forwarded services do not answer within 60 s; see {LOGS}")
            time.sleep(0.5)
        yield where
    finally:
        for identity, mark in running:
            end(identity, mark=mark, grace_s=2)


def reduced(template: Path, share: float) -> list[str]:
    """`--set` words for `retain run` that leave each stage `share` of the tokens that the template gives it."""
    stages = YAML(typ="safe").load(template.read_text())["stages"]
    words = [
        f"stages.{i}.duration.tokens={round(stage['duration']['tokens'] * share)}" for i, stage in enumerate(stages)
    ]
    return [word for change in words for word in ("--set", change)]


def run_demo(domain: str, share: float, where: dict[str, str]) -> int:
    """Submit the demo's specification from outside, follow it, print its evidence; exit code of the run."""
    env = {**os.environ, "RETAIN_SERVER": where["orchestrator"], "RETAIN_EVALUATOR": where["evaluator"]}
    template = ROOT / f"ui/templates/demo-{domain}.yaml"

    def retain(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        print("+ retain", *words, file=sys.stderr, flush=True)
        return subprocess.run([sys.executable, "-m", "ui.cli", *words], env=env, check=False, **options)

    made = retain("run", str(template), *reduced(template, share), "--detach", "--json", stdout=subprocess.PIPE)
    if made.returncode:
        return made.returncode
    run_id = json.loads(made.stdout)["run_id"]
    code = retain("watch", run_id).returncode
    for verb in ("decisions", "history", "checkpoints"):
        retain(verb, run_id)
    listed = json.loads(retain("checkpoints", run_id, "--json", stdout=subprocess.PIPE).stdout or "[]")
    print(f"run {run_id}: {len(listed)} checkpoints, exit code {code}", flush=True)
    return code


def keep_logs(tools: Tools) -> None:
    """What every container has written, one file a pod: after the release is gone nobody could read it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    kubectl = ["kubectl", "--namespace", NAMESPACE]
    listed = subprocess.run(
        [*kubectl, "get", "pods", "--output", "name"], env=tools.env, check=False, capture_output=True
    )
    for pod in listed.stdout.decode().split():
        with (LOGS / f"{pod.removeprefix('pod/')}.log").open("wb") as file:
            command = [*kubectl, "logs", "--all-containers", "--prefix", pod]
            subprocess.run(command, env=tools.env, check=False, stdout=file, stderr=subprocess.STDOUT)


def main() -> int:
    """Exit code of the demo's run."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cluster_demo", description=__doc__)
    parser.add_argument("--domain", choices=["code", "math", "science"], default="code")
    parser.add_argument(
        "--tokens-share", type=float, default=0.5, metavar="SHARE", help="of the demo's tokens; 1 for all"
    )
    parser.add_argument("--keep", action="store_true", help="leave release, cluster and dockerd running")
    parser.add_argument("--skip-build", action="store_true", help="take the images as dockerd has them")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a value of the chart")
    options = parser.parse_args()
    tools, clock = Tools(), Clock()
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
            tools.run(
                tools.cluster / "kube-load", *(f"retain/{name}:{TAG}" for name in IMAGES), MINIO_IMAGE, quiet=True
            )
        if not options.keep:
            cleanup.callback(tools.run, "helm", "uninstall", RELEASE, "--namespace", NAMESPACE, check=False)
        cleanup.callback(keep_logs, tools)
        with clock.step("install and helm test"):
            install(tools, [word for value in options.set for word in ("--set", value)])
        with forwarded(tools) as where, clock.step("pipeline"):
            print(f"orchestrator at {where['orchestrator']}, evaluator at {where['evaluator']}", file=sys.stderr)
            code = run_demo(options.domain, options.tokens_share, where)
    print(f"{clock}; exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
