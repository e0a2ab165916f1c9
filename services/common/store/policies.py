"""What narrow keys open, in S3's language of policies: one for a run, one for the evaluator. The store enforces them.

What runs make for others to reuse is named by its content, and so is what people send. Whoever lists or reads it must
know a good part of the digest: nobody can look around in what others prepared.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.store.layout import DAMAGED

# Written by runs, for every run that comes to the same content.
SHARED = ("prepared", "tokenizers", "evalsets", "imports")
# Written by the evaluator alone.
MEASURED = ("evaluator", "evaluations", "floors", "history")
POINTS = "runs/*/step-*-point-*"  # interpolations, which the evaluator writes beside a stage's result
LONGEST_POLICY = 2048  # characters; AWS takes no longer one with AssumeRole
_KNOWN = "?" * 16 + "*"  # so many characters of a name have to be known
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MULTIPART = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
Policy = dict[str, Any]


def run_policy(bucket: str, run_id: str, *, reads: Iterable[str] = ()) -> Policy:
    """A run's own prefix whole; what is named by content can be read and added to, not deleted; `reads` are further
    keys or prefixes, such as its base and its data, which can be read. Where they are too many for a policy, their
    first folders are (`uploads`). Raises InvalidInput."""
    if not _RUN.fullmatch(run_id) or ".." in run_id:
        raise InvalidInput([Violation(field="run_id", description=mismatch(repr(run_id), "the name of a run"))])
    named = sorted({prefix.strip("/") for prefix in reads})
    for prefix in named:
        if not prefix or any(mark in prefix for mark in ("*", "?", "${", "..")):
            raise InvalidInput([Violation(field="reads", description=mismatch(repr(prefix), "plain prefixes"))])
    policy = _run_policy(bucket, run_id, named)
    if len(text_of(policy)) > LONGEST_POLICY:
        policy = _run_policy(bucket, run_id, sorted({prefix.partition("/")[0] for prefix in named}))
    return policy


def evaluator_policy(bucket: str) -> Policy:
    """Reads what it evaluates, writes its own results and the interpolations that it is asked for."""
    own = [f"{prefix}/*" for prefix in MEASURED]
    seen = ["runs/*", "uploads/*", *(f"{prefix}/*" for prefix in SHARED)]
    return _policy(
        bucket,
        whole=own,
        added=[POINTS],
        read=seen,
        listed=[*own, *seen],
    )


def text_of(policy: Policy) -> str:
    """The policy as it is sent."""
    return json.dumps(policy, separators=(",", ":"))


def _run_policy(bucket: str, run_id: str, reads: list[str]) -> Policy:
    shared = [f"{prefix}/{_KNOWN}" for prefix in SHARED]
    named = [place for prefix in reads for place in (prefix, f"{prefix}/*")]
    return _policy(
        bucket,
        whole=[f"runs/{run_id}/*", *(f"{prefix}/*/{DAMAGED}" for prefix in SHARED)],
        added=shared,
        read=[*shared, *named],
        listed=[f"runs/{run_id}/*", *shared, *named],
    )


def _policy(bucket: str, *, whole: list[str], added: list[str], read: list[str], listed: list[str]) -> Policy:
    objects = f"arn:aws:s3:::{bucket}"

    def allow(actions: list[str], places: list[str]) -> Policy:
        return {"Effect": "Allow", "Action": actions, "Resource": [f"{objects}/{place}" for place in places]}

    return {
        "Version": "2012-10-17",
        "Statement": [
            allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", *_MULTIPART], whole),
            allow(["s3:PutObject", *_MULTIPART], added),
            allow(["s3:GetObject"], read),
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [objects],
                "Condition": {"StringLike": {"s3:prefix": listed}},
            },
        ],
    }
