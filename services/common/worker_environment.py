"""What of a process's environment travels on to workers: one list, for the orchestrator that starts a group and for the
group that starts its processes.

Our own settings and those that users bring along from other tools; none that are meant for the service itself.
"""

from collections.abc import Mapping

PASSED_ON = ("RETAIN_", "AWS_", "HF_", "OMP_", "MLFLOW_", "WANDB_", "GLOO_", "NCCL_")
# The last one is the mark of the local stack on the service: with it, workers would be ended as its children.
KEPT_BACK = (
    "RETAIN_DATABASE_URL",
    "RETAIN_BIND",
    "RETAIN_ORCHESTRATOR_BIND",
    "RETAIN_METRICS_BIND",
    "RETAIN_STACK_MEMBER",
)


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that workers find in theirs."""
    return {name: value for name, value in environ.items() if name.startswith(PASSED_ON) and name not in KEPT_BACK}
