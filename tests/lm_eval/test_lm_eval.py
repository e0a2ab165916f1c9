"""The real lm-evaluation-harness on local task files over local data, against our own figures on the same text."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.checkpointing.hf import load_pretrained
from model.cli.evaluate import run
from model.evaluation.probe import ask_probe
from model.probe import choices
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform

ROLLING = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {data}}}
test_split: train
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
metadata: {{version: 1.0}}
"""
CHOICE = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {data}}}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{beginning}}}}"
doc_to_choice: "{{{{endings}}}}"
doc_to_target: right
metric_list:
  - metric: acc
  - metric: acc_norm
metadata: {{version: 2.0}}
"""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "models" / "stories260K-hf"


def written(folder: Path, form: str, name: str, rows: list[dict[str, Any]]) -> Path:
    """A task file and its data."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / f"{name}.yaml").write_text(form.format(name=name, data=data))
    return data


def harness(model: Path, folder: Path, tasks: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "model.cli.lm_eval", str(model), "--tasks", tasks, "--include-path", str(folder)]
    done = subprocess.run([*command, "--only-included", *arguments], check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    return {
        task["task"]: {**task, **{metric["metric"]: metric for metric in task["metrics"]}} for task in document["tasks"]
    } | {"": document}


@pytest.mark.parametrize(("flag", "method"), [([], "rolling"), (["--no-add-bos-token"], "rolling bare")])
def test_rolling_likelihood_is_that_of_retain_eval(
    folder: Path, shared_data: Path, tmp_path: Path, flag: list[str], method: str
) -> None:
    """SciTLDR abstracts, and stories longer than the context: nats, words and bytes are those of `retain eval`."""
    lines = (shared_data / "science" / "scitldr-a.test.jsonl").read_text().splitlines()[:10]
    texts = [" ".join(json.loads(line)["source"]) for line in lines]
    stories = (shared_data / "general" / "tinystories.val.jsonl").read_text().splitlines()[:12]
    texts += [json.loads(line)["text"] for line in stories]
    data = written(tmp_path, ROLLING, "texts", [{"text": text} for text in texts])
    found = harness(folder, tmp_path, "texts", *flag)["texts"]
    (ours,) = run(folder, [str(data)], rolling=method)
    words = sum(len(re.split(r"\s+", text)) for text in texts)
    assert found["samples"] == len(texts)
    assert found["word_perplexity,none"]["figure"] == pytest.approx(math.exp(ours.nats / words), rel=1e-5)
    assert found["byte_perplexity,none"]["figure"] == pytest.approx(math.exp(ours.nats / ours.bytes), rel=1e-5)
    assert found["bits_per_byte,none"]["figure"] == pytest.approx(ours.bits_per_byte, rel=1e-5)


def test_the_probes_choices_are_acc_norm(folder: Path, tmp_path: Path) -> None:
    rows = [{"beginning": c.beginning, "endings": list(c.endings), "right": c.right} for c in choices()]
    written(tmp_path, CHOICE, "probe", rows)
    found = harness(folder, tmp_path, "probe")["probe"]
    ours = ask_probe(load_pretrained(folder), Tokenizer.load(folder), answer_tokens=1)
    assert found["acc_norm,none"]["figure"] == pytest.approx(sum(ours.values()) / len(rows))
    assert found["acc_norm,none"]["standard_error"] > 0
    assert (found["version"], found["samples"]) == ("2.0", 80)


def test_gsm8k_as_a_choice_with_a_limit_and_what_it_was_made_of(
    folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    lines = (shared_data / "math" / "gsm8k.test.jsonl").read_text().splitlines()[:8]
    rows = []
    for line in lines:
        row = json.loads(line)
        right = int(row["answer"].rpartition("####")[2].strip().replace(",", ""))
        rows.append({"beginning": f"{row['question']}\nAnswer:", "right": 0,
                     "endings": [str(right), str(right + 1), str(2 * right), str(right + 10)]})  # fmt: skip
    written(tmp_path, CHOICE, "gsm8k_choice", rows)
    first, again = (harness(folder, tmp_path, "gsm8k_choice", "--limit", "4") for _ in range(2))
    assert first == again
    assert first["gsm8k_choice"]["samples"] == 4
    assert set(first[""]["versions"]) == {"lm_eval", "transformers", "datasets", "torch"}
    assert (first[""]["settings"]["limit"], first[""]["settings"]["dtype"]) == ("4", "float32")
    rows[0]["beginning"] += " "
    written(tmp_path, CHOICE, "gsm8k_choice", rows)
    other = harness(folder, tmp_path, "gsm8k_choice", "--limit", "4")
    assert other["gsm8k_choice"]["digest"] != first["gsm8k_choice"]["digest"]


def test_the_command_keeps_what_it_finds_with_the_checkpoint(
    platform: FakePlatform, retain: Callable, folder: Path, tmp_path: Path
) -> None:
    prefix = "/runs/r/pretrain/attempt-1/step-000000001"
    made = res.Checkpoint(id=prefix.removeprefix("/runs/"), run_id="r", stage="pretrain")
    made.ref.uri, made.ref.manifest_sha256, made.ref.weights_digest = f"s3://retain{prefix}", "ab" * 32, "cd" * 32
    platform.checkpoints.append(made)
    for file in folder.iterdir():
        platform.store.objects[f"{prefix}/model/{file.name}"] = file.read_bytes()
    written(tmp_path, ROLLING, "texts", [{"text": "Once upon a time there was a fox."}])
    asked = ["--tasks", "texts", "--include-path", str(tmp_path)]
    outcome = retain("lm-eval", "ab" * 32, *asked, "--json")
    assert outcome.code == 0, outcome.err
    (kept,) = retain("lm-eval", "ab" * 32, "--show", "--json").json
    assert kept["checkpoint"]["manifest_sha256"] == "ab" * 32
    assert kept["tasks"][0]["task"] == "texts"
    assert "word_perplexity,none" in retain("lm-eval", "ab" * 32, "--show").out
    refused = retain("lm-eval", "ab" * 32, "--tasks", "no_such_task", "--include-path", str(tmp_path))
    assert refused.code == 2
