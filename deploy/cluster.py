"""The one-node Kubernetes of the shared tools, the images, and the chart in it: what the cluster demo is made of."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
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
PORTS = {"orchestrator": 7070, "evaluator": 7071, "minio": 9000}
SPEAK_GRPC = ("orchestrator", "evaluator")
# kubectl ends a forward whose pod or connection is lost; a client outside must only see a short gap.
FORWARD_FOR_EVER = 'while :; do "$@"; sleep 0.5; done'


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


def load(tools: Tools) -> None:
    """All images from dockerd into the cluster, in one archive: what they share is written once."""
    images = [*(f"retain/{name}:{TAG}" for name in IMAGES), MINIO_IMAGE]
    print("+ docker save", *images, "| ctr images import", file=sys.stderr, flush=True)
    socket = str(tools.kube_dir / "run/containerd.sock")
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
        command = ["ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", "-"]
        subprocess.run(command, stdin=saving.stdout, stdout=subprocess.DEVNULL, check=True)
    if saving.returncode:
        raise SystemExit(f"docker save ended with {saving.returncode}")


def install(tools: Tools, values: list[str]) -> None:
    """The chart in a namespace that enforces the restricted Pod Security Standard, waited for and tested."""
    tools.run("kubectl", "create", "namespace", NAMESPACE, check=False)
    tools.run(
        "kubectl", "label", "--overwrite", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"
    )
    arguments = ["--namespace", NAMESPACE, "--values", "helm/retain/ci/small-values.yaml"]
    arguments += ["--set", f"objectStore.minio.image={MINIO_IMAGE}"]
    for value in values:
        arguments += ["--set", value]
    tools.run("helm", "upgrade", "--install", RELEASE, "helm/retain", *arguments, "--wait", "--timeout", "6m")
    tools.run("helm", "test", RELEASE, "--namespace", NAMESPACE, "--timeout", "3m")
    tools.run("kubectl", "--namespace", NAMESPACE, "get", "pods,svc", "--output", "wide")


def outside_addresses() -> dict[str, str]:
    """A free address on loopback for each service; the store's must be known before the chart is installed."""
    first = {name: 17_000 + remote for name, remote in PORTS.items()}
    return {
        name: f"{LOOPBACK}:{next(p for p in range(port, 30_000, 100) if is_free(p))}" for name, port in first.items()
    }


@contextlib.contextmanager
def forwarded(tools: Tools, where: Mapping[str, str], *, ca: Path) -> Iterator[None]:
    """The services at these addresses outside, by `kubectl port-forward`; `ca` signed their certificates."""
    LOGS.mkdir(parents=True, exist_ok=True)
    running = []
    try:
        for name, address in where.items():
            command = ["sh", "-c", FORWARD_FOR_EVER, "forward", "kubectl", "--namespace", NAMESPACE, "port-forward"]
            command += [f"service/{RELEASE}-{name}", f"{address.rpartition(':')[2]}:{PORTS[name]}"]
            mark = f"{LOGS}:{name}"
            child = start(command, env=tools.env, log=LOGS / f"forward-{name}.log", mark=mark)
            running.append((Identity.of(child.pid), mark))
        deadline = time.monotonic() + 60
        while not all(grpc_serving(where[name], ca=ca) for name in SPEAK_GRPC):
            if time.monotonic() > deadline:
                raise SystemExit(f"the forwarded services do not answer within 60 s; see {LOGS}")
            time.sleep(0.5)
        yield
    finally:
        for identity, mark in running:
            end(identity, mark=mark, grace_s=2)


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
