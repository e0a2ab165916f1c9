"""What a spec may ask of the hub, and what it may not."""

import pytest

from services.orchestrator.domain.spec.validation.checks import Faults

FINE = [
    "hf://hendrycks/MATH",
    "hf://HuggingFaceFW/fineweb?name=sample-10BT",
    "hf://codeparrot/github-code-clean?name=Python-all&split=train",
    "hf://someone/parts?data_files=a/two.jsonl",
    'hf://someone/parts?data_files=["a/*.jsonl", "b/*.jsonl"]',
    'hf://someone/parts?data_files={"train": "a/x.parquet"}',
    "hf://someone/x?revision=refs/convert/parquet",
    "hf://someone/x?split=train[:10%]",
    "hf:///data/folder",
    "hf://./folder",
]
REFUSED = [
    ("hf://text?data_files=/proc/self/environ", "'text'"),
    ("hf://someone/x?data_files=/etc/passwd", "/etc/passwd"),
    ("hf://someone/x?data_files=a/../../etc/passwd", "a/../../etc/passwd"),
    ("hf://someone/x?data_files=http://169.254.169.254/", "http://169.254.169.254/"),
    ("hf://someone/x?data_files=~/secrets", "~/secrets"),
    ('hf://someone/x?data_files={"train": "https://example.org/x"}', "https://example.org/x"),
    ("hf://someone/x?data_files=zip://a::file:///etc/passwd", "zip://"),
    ("hf://someone/x?data_dir=/etc", "data_dir"),
    ("hf://someone/x?trust_remote_code=true", "trust_remote_code"),
    ("hf://someone/x?revision=../../y", "revision"),
    ("hf://a/b/c", "a/b/c"),
]


def said(uri: str) -> list[str]:
    faults = Faults()
    faults.source("stages[0].data.general", uri)
    assert all(violation.field == "stages[0].data.general" for violation in faults.found)
    return [violation.description for violation in faults.found]


@pytest.mark.parametrize("uri", FINE)
def test_names_branches_and_files_of_a_data_set_are_allowed(uri: str) -> None:
    assert said(uri) == []


@pytest.mark.parametrize(("uri", "named"), REFUSED)
def test_what_leads_out_of_the_data_set_is_refused_by_name(uri: str, named: str) -> None:
    assert any(named in description and "expected" in description for description in said(uri))
