"""`make cluster-demo` cuts the demo to a share of its tokens, and changes nothing else of it."""

import copy

import pytest
from ruamel.yaml import YAML

from deploy.cluster import ROOT
from deploy.cluster_demo import reduced
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
