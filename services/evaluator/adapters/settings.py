"""Settings of the evaluator, from the environment. The store's own are read by `MinioStore.from_env`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is RETAIN_ and its name in upper case, e.g. RETAIN_EVALUATOR_THREADS."""

    model_config = SettingsConfigDict(env_prefix="RETAIN_", frozen=True)

    evaluator_bind: str = "127.0.0.1:7071"
    evaluator_internal_bind: str | None = None  # with TLS: a second port, for the orchestrator, who shows a certificate
    metrics_bind: str = "127.0.0.1:7073"
    server: str = "127.0.0.1:7070"  # the orchestrator, asked whether runs have ended
    home: Path = Path(".retain")
    evaluator_threads: int = Field(default=1, ge=1)  # fixed: the same request gives the same bits
    evaluator_device: str = "cpu"
    evaluator_cache: Path | None = None  # default: evaluator/ in the home
    evaluator_cache_bytes: int = Field(default=4_000_000_000, ge=1)
    # Measuring without a sign of life for so long is given up. Raise it where one batch of 4,096 tokens takes longer.
    evaluator_progress_limit_s: float = Field(default=600.0, gt=0)
    drain_s: float = Field(default=5.0, ge=0)

    @property
    def cache_folder(self) -> Path:
        """Where downloaded models and sets are kept; a folder that nobody else uses."""
        return self.evaluator_cache or self.home / "evaluator"
