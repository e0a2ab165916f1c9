"""`make cluster-demo`: the chart on a real one-node Kubernetes, the demo pipeline submitted from outside through gRPC.

    python -m deploy.cluster_demo [--domain code|math|science] [--keep] [--skip-build]

Builds the four images, starts the cluster that the shared tools ship, loads the images, installs the chart, runs
`helm test`, forwards the two gRPC ports and runs the demo against them. At the end release and cluster are removed,
unless --keep. Needs root and the folder of shared tools (beside the checkout, or RETAIN_SHARED).
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


def build(tools: Tools) -> None:
    """The base image, the four images, and one of the shared MinIO."""
    tools.run(tools.cluster / "base-image")
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
            command = ["kubectl", "--namespace", NAMESPACE, "port-forward", f"service/{RELEASE}-{name}"]
            log, mark = LOGS / f"forward-{name}.log", f"{LOGS}:{name}"
            child = start([*command, f"{port}:{remote}"], env=tools.env, log=log, mark=mark)
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


def main() -> int:
    """Exit code of the demo's run."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cluster_demo", description=__doc__)
    parser.add_argument("--domain", choices=["code", "math", "science"], default="code")
    parser.add_argument("--keep", action="store_true", help="leave release and cluster running")
    parser.add_argument("--skip-build", action="store_true", help="take the images as they are in the cluster")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a value of the chart")
    options = parser.parse_args()
    tools = Tools()
    if not options.skip_build:
        build(tools)
    tools.run(tools.cluster / "kube-up")
    try:
        if not options.skip_build:
            tools.run(tools.cluster / "kube-load", *(f"retain/{name}:{TAG}" for name in IMAGES), MINIO_IMAGE)
        install(tools, [word for value in options.set for word in ("--set", value)])
        with forwarded(tools) as where:
            print(f"orchestrator at {where['orchestrator']}, evaluator at {where['evaluator']}", file=sys.stderr)
            env = {**os.environ, "RETAIN_SERVER": where["orchestrator"], "RETAIN_EVALUATOR": where["evaluator"]}
            command = [sys.executable, "-m", "ui.demo", "--domain", options.domain]
            return subprocess.run(command, env=env, check=False).returncode
    finally:
        if not options.keep:
            tools.run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, check=False)
            tools.run(tools.cluster / "kube-down", check=False)


if __name__ == "__main__":
    sys.exit(main())
