"""Policies of narrow keys: what widens them is refused, and they stay short enough to be taken."""

import fnmatch
from typing import Any

import pytest

from services.common.errors import InvalidInput
from services.common.store.policies import LONGEST_POLICY, evaluator_policy, run_policy, text_of

DIGEST = "0123456789abcdef" * 4
OBJECTS = "arn:aws:s3:::retain/"


def may(policy: dict[str, Any], action: str, key: str) -> bool:
    """Whether a statement allows it: wildcards as S3 has them."""
    return any(
        action in statement["Action"]
        and any(fnmatch.fnmatchcase(OBJECTS + key, place) for place in statement["Resource"])
        for statement in policy["Statement"]
    )


@pytest.mark.parametrize("run_id", ["", "../b", "a/b", "a*", "a b", "${aws:username}", "a..b"])
def test_a_name_that_would_widen_a_policy_is_refused(run_id: str) -> None:
    with pytest.raises(InvalidInput):
        run_policy("retain", run_id)


@pytest.mark.parametrize("prefix", ["", "/", "runs/*", "runs/b/../", "runs/?", "${x}"])
def test_a_prefix_that_would_widen_a_policy_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidInput):
        run_policy("retain", "a", reads=(prefix,))


def test_a_run_reads_what_it_is_made_from_and_writes_its_own() -> None:
    policy = run_policy("retain", "a", reads=("runs/b/pretrain/attempt-0/step-1", f"uploads/{DIGEST}/a.txt"))
    for key in ("runs/b/pretrain/attempt-0/step-1/manifest.json", f"uploads/{DIGEST}/a.txt", f"imports/{DIGEST}/m"):
        assert may(policy, "s3:GetObject", key)
        assert not may(policy, "s3:DeleteObject", key)
    assert may(policy, "s3:PutObject", "runs/a/x")
    assert may(policy, "s3:DeleteObject", f"prepared/{DIGEST}/.damaged")
    for key in (
        "runs/b/x",
        "runs/ab/x",
        "runs/b/pretrain/attempt-0/step-11/manifest.json",
        "uploads/u/x",
        "installation",
    ):
        assert not may(policy, "s3:GetObject", key)
        assert not may(policy, "s3:PutObject", key)


def test_many_inputs_make_a_policy_that_is_still_taken() -> None:
    many = [f"uploads/{number:064x}/part.jsonl" for number in range(100)]
    policy = run_policy("retain", "a" * 100, reads=[*many, "runs/b/pretrain/attempt-0/step-1"])
    assert len(text_of(policy)) <= LONGEST_POLICY
    assert may(policy, "s3:GetObject", many[50])
    assert not may(policy, "s3:PutObject", many[50])
    assert not may(policy, "s3:GetObject", "history/h.json")
    assert len(text_of(evaluator_policy("retain"))) <= LONGEST_POLICY


def test_the_evaluator_writes_points_and_no_other_file_of_a_run() -> None:
    policy = evaluator_policy("retain")
    step = "runs/a/midtrain/code/attempt-2/step-000000040"
    assert may(policy, "s3:PutObject", f"{step}-point-0.75/model/model.safetensors")
    assert may(policy, "s3:GetObject", f"{step}/manifest.json")
    assert not may(policy, "s3:PutObject", f"{step}/manifest.json")
    assert not may(policy, "s3:GetObject", "installation")
