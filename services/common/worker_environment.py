"""What of a process's environment travels on to workers: one list, for the orchestrator that starts a group and for the
group that starts its processes.

It travels in a Ray job's `runtime_env`, which Ray's job API and dashboard show: settings of ours by name, and those
that users bring along from other tools, but nothing that is secret. Tokens of other services (HF_TOKEN, WANDB_API_KEY)
are in the environment of the Ray nodes themselves, from which workers inherit; keys of the store a group asks for.
"""

import re
from collections.abc import Mapping

# Of ours, what a worker reads. What only services read stays with them.
OURS = frozenset(
    {
        "RETAIN_ALLOW_PLAIN_TEXT",
        "RETAIN_APART_PATIENCE_S",
        "RETAIN_CACHE",
        "RETAIN_CACHE_BYTES",
        "RETAIN_DATA_ROOT",
        "RETAIN_HOME",
        "RETAIN_HUB_TRIES",
        "RETAIN_S3_BUCKET",
        "RETAIN_S3_ENDPOINT",
        "RETAIN_SERVER",
        "RETAIN_SHARED",
        "RETAIN_STORE_TIMEOUT_S",
        "AWS_CA_BUNDLE",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
    }
)
JOIN_CODE = "RETAIN_JOIN_CODE"  # of one job; its entry point takes it out of the environment
OF_TOOLS = ("GLOO_", "HF_", "MLFLOW_", "NCCL_", "OMP_", "WANDB_")
# A word of a name that says that the value is secret; HF_TOKEN_PATH and the like name a file, and stay behind as well.
_SECRET = re.compile(r"(^|_)(TOKENS?|KEYS?|SECRETS?|PASSWORDS?|PASSWD|CREDENTIALS?|AUTH|COOKIE)(_|$)")


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that workers find in theirs."""
    return {name: value for name, value in environ.items() if _is_passed_on(name)}


def _is_passed_on(name: str) -> bool:
    return name in OURS or (name.startswith(OF_TOOLS) and not _SECRET.search(name))
