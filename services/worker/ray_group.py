"""A worker group on Ray Train: so many processes with a process group between them, restarted together when one dies.

Ray starts and places the processes and restarts the group within the same job; it is told nothing about checkpoints or
verdicts, which are the orchestrator's. A job whose group keeps dying ends, and the orchestrator decides what then.
"""

import logging
import os
import tempfile

import ray
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from services.common.worker_environment import passed_on
from services.worker.assignment_loop import WorkerConfig, work_loop
from services.worker.group_settings import GroupSettings
from services.worker.ray_backend import LeavingTorchConfig

# Restarts of the group within one job. Beyond that a new job, perhaps on another machine, is the better guess.
MAX_GROUP_FAILURES = 3
# Ranks wait in a collective while the first one waits for a verdict: that may take as long as it takes.
COLLECTIVE_TIMEOUT_S = 7 * 24 * 3600


def run_group(settings: GroupSettings, token: str) -> None:
    """Run the group to its end; `token` lets it speak to the orchestrator for its run. It travels with the arguments of
    the train function, which Ray shows nowhere. Raises what Ray Train raises when it gave up on the group."""
    if not ray.is_initialized():
        ray.init(log_to_driver=True, logging_level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="retain-ray-train-") as storage:
        TorchTrainer(
            work_loop,
            train_loop_config=WorkerConfig(
                run_id=settings.run_id, submission=settings.submission, threads=settings.threads, token=token
            ).as_dict(),
            torch_config=LeavingTorchConfig(
                backend="nccl" if settings.gpus_per_worker else "gloo", timeout_s=COLLECTIVE_TIMEOUT_S
            ),
            scaling_config=scaling(settings),
            run_config=RunConfig(
                name=f"{settings.run_id}-{settings.submission}",
                storage_path=storage,
                failure_config=FailureConfig(max_failures=MAX_GROUP_FAILURES),
                worker_runtime_env={"env_vars": worker_env(settings)},
            ),
        ).fit()


def scaling(settings: GroupSettings) -> ScalingConfig:
    """Fixed size, or elastic between `min_workers` and `workers`."""
    resources = {"CPU": settings.cpus_per_worker}
    if settings.gpus_per_worker:
        resources["GPU"] = settings.gpus_per_worker
    elastic = 0 < settings.min_workers < settings.workers
    return ScalingConfig(
        num_workers=(settings.min_workers, settings.workers) if elastic else settings.workers,
        use_gpu=settings.gpus_per_worker > 0,
        resources_per_worker=resources,
    )


def worker_env(settings: GroupSettings) -> dict[str, str]:
    """What workers need of this process's environment; Ray starts them from its own."""
    return {**passed_on(os.environ), "OMP_NUM_THREADS": str(settings.threads)}
