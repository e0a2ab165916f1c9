"""`make cluster-demo` cuts the demo to a share of its tokens, and changes nothing else of it."""

import copy
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.cluster import ROOT, Tools
from deploy.cluster_demo import reduced
from deploy.cluster_disturbances import Disturbances
from ui.spec.file import apply_override


@pytest.mark.parametrize("domain", ["code", "math", "science"])
@pytest.mark.parametrize("share", [0.5, 1.0, 0.3])
def test_each_stage_keeps_its_share_of_the_tokens(domain: str, share: float) -> None:
    template = ROOT / f"ui/templates/demo-{domain}.yaml"
    whole = YAML(typ="safe").load(template.read_text())
    words = reduced(template, share)
    assert words[::2] == ["--set"] * len(whole["stages"])
    changed = copy.deepcopy(whole)
    for override in words[1::2]:
        apply_override(changed, override)
    for before, after in zip(whole["stages"], changed["stages"], strict=True):
        assert after["duration"]["tokens"] == pytest.approx(before["duration"]["tokens"] * share, abs=0.5)
        after["duration"]["tokens"] = before["duration"]["tokens"]
    assert changed == whole


def test_what_comes_after_the_end_of_the_run_disturbs_nothing_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [{"name": "pretrain", "attempt": 1, "step": 40}, {"name": "finetune", "attempt": 0, "step": 0}]
    training = {"state": "RUN_STATE_RUNNING", "phase": "STAGE_PHASE_TRAINING", "stages": stages}
    answers: list[dict[str, Any]] = [{**training, "phase": "STAGE_PHASE_WAITING"}, training]
    done: list[str] = []

    def run() -> dict[str, Any]:
        return {"status": answers.pop(0) if answers else {"state": "RUN_STATE_SUCCEEDED"}}

    made = Disturbances(Tools.__new__(Tools), {}, run)
    monkeypatch.setattr("deploy.cluster_disturbances.time.sleep", lambda seconds: None)
    monkeypatch.setattr(made, "_renew", lambda: done.append("renewed") or "certificates renewed")
    monkeypatch.setattr(made, "_replace", done.append)
    made.start().join(10)
    assert made.told == ["at pretrain, step 40: certificates renewed"]
    assert done == ["renewed"]
    assert made.failed == ["the run is RUN_STATE_SUCCEEDED: it ended before it was disturbed"] * 6
