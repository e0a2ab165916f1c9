"""The five programs of the local stack: how each is started, how one sees that it is ready, how it is ended."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import seaweedfs
from deploy.local.home import Home
from deploy.local.listening import LISTEN, Listening
from deploy.local.ports import LOOPBACK
from deploy.local.probes import bucket_ready, grpc_ready, http_ready

BUCKET = "retain"
PANEL_SECRETS = (
    "RETAIN_PANEL_CLIENT_SECRET",
    "RETAIN_PANEL_COOKIE_SECRET",
)  # the panel's alone, and their files' names
RAY_OBJECT_STORE_BYTES = 150_000_000  # Ray carries no tensors here: data and checkpoints go through the object store


@dataclass(frozen=True, kw_only=True)
class Component:
    """One program. `ready` returns whether it answers, and never raises for one that does not yet."""

    name: str
    title: str
    command: list[str]
    env: Mapping[str, str]
    ready: Callable[[], bool]
    endpoint: str
    # Programs of a lower rank are ended later: those that use a server go before it.
    rank: int
    grace_s: float
    prepare: Callable[[], None] = field(default=lambda: None)  # before each start
    tidy: Callable[[], None] = field(default=lambda: None)  # after its end
    ports: tuple[int, ...] = ()  # on which it listens
    # What a program that runs has and only another start mends, "" for nothing. Asked every few seconds.
    ailment: Callable[[], str] = field(default=lambda: "")


def cpus() -> int:
    """CPUs that this process may use, and at least two: a run of two workers trains on one CPU too, only slower."""
    return max(2, len(os.sched_getaffinity(0)))


def gpus() -> int:
    """GPUs that Ray will find here: NVIDIA's, or those that CUDA_VISIBLE_DEVICES names."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return len([one for one in named.split(",") if one.strip() not in ("", "-1", "NoDevFiles")])
    return len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit()])


def program(name: str) -> str:
    """Path of a program that a package of this environment ships, else of one on PATH. Raises RuntimeError."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(
            f"{name} is neither in {beside.parent} nor on PATH; install the packages of requirements.lock"
        )
    return found


def endpoints(ports: Mapping[str, int], listening: Listening) -> dict[str, str]:
    """What clients are told, by name: host:port for gRPC, a URL for everything else."""
    return {
        "orchestrator": listening.reached(ports["orchestrator"]),
        "evaluator": listening.reached(ports["evaluator"]),
        "object_store": listening.url(listening.reached(ports["object_store"])),
        "metrics": f"http://{LOOPBACK}:{ports['metrics']}/metrics",
        "evaluator_metrics": f"http://{LOOPBACK}:{ports['evaluator_metrics']}/metrics",
        "panel": f"http://{LOOPBACK}:{ports['panel']}",
        "ray": f"http://{LOOPBACK}:{ports['ray']}",
    }


def components(home: Home, ports: Mapping[str, int], base_env: Mapping[str, str]) -> list[Component]:
    """All programs of the stack in `home` on `ports`; `base_env` is the environment that all of them inherit."""
    secrets = home.credentials()
    listening = Listening.of(home, base_env)
    listening.make()
    where = endpoints(ports, listening)
    internal = {name: f"{LOOPBACK}:{ports[f'{name}_internal']}" for name in ("orchestrator", "evaluator")}
    # With certificates services and workers call each other on ports of their own, which loopback alone reaches.
    called = internal if listening.folder else where
    shared = {
        **without_secrets(base_env),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), base_env.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "RETAIN_HOME": str(home.path),
        # A proxy for the world outside is none for the machine itself.
        "NO_PROXY": ",".join(filter(None, [base_env.get("NO_PROXY", ""), LOOPBACK, "localhost"])),
        "no_proxy": ",".join(filter(None, [base_env.get("no_proxy", ""), LOOPBACK, "localhost"])),
    }
    bucket = {
        "RETAIN_S3_ENDPOINT": where["object_store"],
        "RETAIN_S3_BUCKET": BUCKET,
        "AWS_REGION": "us-east-1",
        **({"AWS_CA_BUNDLE": str(listening.ca)} if listening.ca else {}),
    }
    # The orchestrator alone has them: evaluator and workers get narrower ones from it, which end.
    store = {**bucket, "AWS_ACCESS_KEY_ID": secrets.access_key, "AWS_SECRET_ACCESS_KEY": secrets.secret_key}
    ray = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.ray_token_file),
        "RAY_DISABLE_USAGE_STATS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Despite its name: the node's address is the loopback's, and Ray listens there alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    among = {"RETAIN_SERVER": called["orchestrator"], "RETAIN_EVALUATOR": called["evaluator"]}
    services = {**shared, **among}
    public = base_env.get("RETAIN_S3_PUBLIC_ENDPOINT") or listening.public_url(ports["object_store"])
    orchestrator = {
        **store,
        **({"RETAIN_S3_PUBLIC_ENDPOINT": public} if listening.folder else {}),
        **ray,
        "RETAIN_RAY_ADDRESS": where["ray"],
        **listening.settings("orchestrator"),
        **({"RETAIN_INTERNAL_BIND": internal["orchestrator"]} if listening.folder else {}),
        "RETAIN_BIND": listening.bind(ports["orchestrator"]),
        "RETAIN_ORCHESTRATOR_BIND": where["orchestrator"],
        "RETAIN_METRICS_BIND": f"{LOOPBACK}:{ports['metrics']}",
        "RETAIN_DATABASE_URL": base_env.get("RETAIN_DATABASE_URL") or home.database_url,
        "RETAIN_WORKER_SLOTS": base_env.get("RETAIN_WORKER_SLOTS") or str(cpus()),
        "RETAIN_WORKER_GPUS": base_env.get("RETAIN_WORKER_GPUS") or str(gpus()),
    }
    evaluator = {
        **bucket,
        **listening.settings("evaluator"),
        **({"RETAIN_EVALUATOR_INTERNAL_BIND": internal["evaluator"]} if listening.folder else {}),
        "RETAIN_EVALUATOR_BIND": listening.bind(ports["evaluator"]),
        "RETAIN_METRICS_BIND": f"{LOOPBACK}:{ports['evaluator_metrics']}",
    }
    panel_secrets = {name: value for name, value in base_env.items() if name.startswith(PANEL_SECRETS)}
    if not any(name.startswith("RETAIN_PANEL_COOKIE_SECRET") for name in panel_secrets):
        panel_secrets["RETAIN_PANEL_COOKIE_SECRET_FILE"] = str(home.panel_cookie_file)
    panel = {
        "RETAIN_SERVER": where["orchestrator"],
        "RETAIN_EVALUATOR": where["evaluator"],
        **({"RETAIN_TLS_CA": str(listening.ca)} if listening.ca else {}),
        **panel_secrets,
        "RETAIN_PANEL_BIND": f"{LOOPBACK}:{ports['panel']}",
        "STREAMLIT_SERVER_ADDRESS": LOOPBACK,
        "STREAMLIT_SERVER_PORT": str(ports["panel"]),
        "STREAMLIT_SERVER_HEADLESS": "true",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    }
    return [
        object_store(home, ports, shared, store, listening),
        ray_head(home, ports, {**shared, **among, **bucket, **ray, **listening.settings("worker")}, secrets.ray_token),
        Component(
            name="evaluator",
            title="evaluator",
            command=[sys.executable, "-m", "services.evaluator.main"],
            env={**services, **evaluator},
            ready=lambda: grpc_ready(where["evaluator"], "retain.evaluator.v1.EvaluatorService", ca=listening.ca),
            endpoint=where["evaluator"],
            rank=2,
            grace_s=10,
        ),
        Component(
            name="orchestrator",
            title="orchestrator",
            command=[sys.executable, "-m", "services.orchestrator.main"],
            env={**services, **orchestrator},
            ready=lambda: grpc_ready(
                where["orchestrator"], "retain.orchestrator.v1.OrchestratorService", ca=listening.ca
            ),
            endpoint=where["orchestrator"],
            rank=3,
            grace_s=10,
        ),
        Component(
            name="panel",
            title="control panel",
            command=[sys.executable, "-m", "ui.panel"],
            env={**shared, **panel},
            ready=lambda: http_ready(where["panel"] + "/_stcore/health"),
            endpoint=where["panel"],
            rank=3,
            grace_s=3,
        ),
    ]


def without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without keys for other places and without settings that would redirect a program."""
    dropped = (
        "AWS_",
        "RAY_",
        "WEED_",
        "MINIO_",
        "RETAIN_S3_",
        "RETAIN_TOKEN",
        "RETAIN_ADMIN_TOKEN",
        "RETAIN_SERVICE_TOKEN",
        "RETAIN_JOIN_CODE",
        "RETAIN_NO_ACCESS_CONTROL",
        *PANEL_SECRETS,
        "RETAIN_TLS_",
        "RETAIN_SERVER",
        "RETAIN_INTERNAL_BIND",
        "RETAIN_EVALUATOR_INTERNAL_BIND",
        LISTEN,
        "RETAIN_STACK_MEMBER",
    )
    kept = ("AWS_CA_BUNDLE",)
    return {name: value for name, value in env.items() if name in kept or not name.startswith(dropped)}


def object_store(
    home: Home, ports: Mapping[str, int], env: Mapping[str, str], credentials: Mapping[str, str], listening: Listening
) -> Component:
    """MinIO when it is on PATH and the data are not SeaweedFS's, else SeaweedFS. The probe makes the bucket."""
    minio = shutil.which("minio")
    endpoint = credentials["RETAIN_S3_ENDPOINT"]
    keys = credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"]
    weed_data, minio_data = home.objects / "seaweedfs", home.objects / "minio"
    if minio and not weed_data.exists():
        command = [minio, "server", str(minio_data), "--address", listening.bind(ports["object_store"])]
        command += ["--console-address", f"{LOOPBACK}:{ports['store_master']}", "--quiet"]
        if pair := listening.pair("object_store"):
            command += ["--certs-dir", str(home.scratch / "minio-certs")]
        env = {
            **env,
            "MINIO_ROOT_USER": keys[0],
            "MINIO_ROOT_PASSWORD": keys[1],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        folder, prepare = minio_data, lambda: lay_certificates(home.scratch / "minio-certs", pair)
        jammed = None
    else:
        command = seaweedfs.command(program("weed"), home, ports, weed_data)
        if pair := listening.pair("object_store"):
            command += [f"-s3.ip.bind={listening.host}", f"-s3.cert.file={pair[0]}", f"-s3.key.file={pair[1]}"]
        env = {**env, **seaweedfs.environment(home)}
        folder, prepare = weed_data, lambda: seaweedfs.prepare(home, access_key=keys[0], secret_key=keys[1])
        jammed = seaweedfs.JammedNames(home.log_file("object_store"), folder)

    def make_ready() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if jammed is not None:
            jammed.begin()
        prepare()

    return Component(
        name="object_store",
        title="object store",
        command=command,
        env=env,
        ready=lambda: bucket_ready(endpoint, credentials),
        endpoint=endpoint,
        rank=0,
        # SeaweedFS has its data on disk within a second and then waits a quarter of a minute for nothing.
        grace_s=2.5,
        prepare=make_ready,
        ailment=jammed or (lambda: ""),
        tidy=lambda: seaweedfs.remove_sockets(ports),
    )


def lay_certificates(folder: Path, pair: tuple[Path, Path] | None) -> None:
    """The certificate and its key under the names by which MinIO looks for them, which read what is renewed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in zip(("public.crt", "private.key"), pair or (), strict=False):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(file)


def ray_head(home: Home, ports: Mapping[str, int], env: Mapping[str, str], token: str) -> Component:
    """A Ray head with token authentication; `--block` keeps it as a child that ends when any of its parts does."""
    command = [program("ray"), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--port={ports['ray_gcs']}", f"--dashboard-host={LOOPBACK}", f"--dashboard-port={ports['ray']}"]
    command += [
        f"--dashboard-agent-listen-port={ports['ray_agent']}",
        f"--ray-client-server-port={ports['ray_client']}",
    ]
    command += ["--min-worker-port=0", "--max-worker-port=0", f"--num-cpus={cpus()}"]
    command += [f"--object-store-memory={RAY_OBJECT_STORE_BYTES}", f"--temp-dir={home.scratch / 'ray'}"]
    endpoint = f"http://{LOOPBACK}:{ports['ray']}"
    return Component(
        name="ray",
        title="Ray head",
        command=command,
        env=env,
        ready=lambda: http_ready(endpoint + "/api/jobs/", bearer=token),
        endpoint=endpoint,
        rank=1,
        # It would drain for six seconds; nothing that counts is kept in a head.
        grace_s=2,
    )
