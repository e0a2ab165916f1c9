"""Settings of the orchestrator, from the environment. The store's own are read by `MinioStore.from_env`."""

import os
import sys
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from retain.values.addresses import is_loopback
from services.common.limits import Rate
from services.orchestrator.application.identity import JOIN_CODE_S
from services.orchestrator.application.sources import DEFAULT
from services.orchestrator.domain.run.tries import MAX_RESTARTS

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # "max" where there is none


def _own_memory_bytes() -> int:
    """Memory of this machine, or of the container where that has a limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else ""
    return min(machine, int(limit)) if limit.isdecimal() else machine


class Settings(BaseSettings):
    """Each field is RETAIN_ and its name in upper case, e.g. RETAIN_DATABASE_URL. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="RETAIN_", frozen=True, extra="ignore")

    bind: str = "127.0.0.1:7070"
    internal_bind: str | None = None  # with TLS: a second port, for evaluator and workers, who show certificates
    metrics_bind: str = "127.0.0.1:7072"
    server: str = "127.0.0.1:7070"  # where workers reach this service
    evaluator: str = "127.0.0.1:7071"
    ray_address: str = "http://127.0.0.1:8265"
    home: Path = Path(".retain")
    database_url: str | None = None  # default: orchestrator.db in the home
    worker_slots: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    # What one worker slot and one GPU can hold; 0: not known. A plan says by it whether a stage can keep its parent.
    slot_memory_bytes: int = Field(default_factory=lambda: _own_memory_bytes() // (os.cpu_count() or 1), ge=0)
    gpu_memory_bytes: int = Field(default=0, ge=0)
    worker_gpus: int | None = Field(default=None, ge=0)  # all that workers can have; None: not known
    worker_python: str = sys.executable  # in a cluster: python, as the Ray image has it
    stall_timeout_s: float = Field(default=45.0, gt=0)
    start_timeout_s: float = Field(default=600.0, gt=0)
    job_poll_s: float = Field(default=2.0, gt=0)
    # A job that starts later than so long after its submission may not join: a busy Ray head takes half a minute.
    join_code_s: float = Field(default=JOIN_CODE_S, ge=60)
    max_job_restarts: int = Field(default=MAX_RESTARTS, ge=0)
    garbage_every_s: float = Field(default=86_400.0, ge=0)  # 0: only when it is asked for (retain gc)
    garbage_older_than_s: float = Field(default=86_400.0, gt=0)
    drain_s: float = Field(default=5.0, ge=0)
    sources: str = DEFAULT  # what runs may name: application/sources.py
    data_root: str | None = None  # folders of local files, between colons, as the workers have them
    calls_per_s: float = Field(default=Rate().calls_per_s, gt=0)  # of one caller
    calls_burst: int = Field(default=Rate().burst, ge=1)
    streams_per_caller: int = Field(default=Rate().streams, ge=1)

    @property
    def database(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.home / 'orchestrator.db'}"

    @property
    def rate(self) -> Rate:
        """What one caller may have of this server."""
        return Rate(calls_per_s=self.calls_per_s, burst=self.calls_burst, streams=self.streams_per_caller)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.bind)
