"""`retain validate` and `retain run` look at local data before anything is sent: real files, the real check."""

import json
from pathlib import Path

import pytest

from tests.fakes.orchestrator_service import FakePlatform
from ui.local.preflight import check_local
from ui.spec import templates

TALK = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]


def rows(path: Path, *found: object) -> str:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in found))
    return path.name


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(templates.template("three-stage").text)
    return str(path)


@pytest.fixture
def chat(tmp_path: Path) -> str:
    return rows(tmp_path / "chat.jsonl", *({"q": f"{n}?", "a": "yes"} for n in range(400)))


NAMED = ("--set", "stages.2.data.fields={prompt: q, completion: a}")


def test_one_line_a_local_source_and_none_without(retain, platform: FakePlatform, spec: str, chat: str) -> None:
    assert "chat" not in retain("validate", spec).out.partition("midtrain")[0]
    outcome = retain("validate", spec, "--set", f"stages.2.data.chat={chat}", *NAMED)
    assert outcome.code == 0, outcome.err
    first, _, rest = outcome.out.partition("\n")
    assert first == "stages[2].data.chat: chat.jsonl: chat, 400 conversations, 400 assistant turns, 3,090 bytes"
    assert "midtrain" in rest
    found = retain("validate", spec, "--set", f"stages.2.data.chat={chat}", *NAMED, "--json").json
    assert [stage["name"] for stage in found["stages"]] == ["pretrain", "midtrain", "finetune"]
    assert [(one["field"], one["documents"], one["complete"]) for one in found["sources"]] == [
        ("stages[2].data.chat", 400, True)
    ]


def test_a_masked_example_and_what_was_left_out_are_printed(
    retain, platform: FakePlatform, spec: str, tmp_path: Path
) -> None:
    folder = tmp_path / "talks"
    folder.mkdir()
    rows(folder / "train.jsonl", *({"messages": [{**TALK[0], "content": f"Hello {n}?"}, TALK[1]]} for n in range(400)))
    (folder / "README.md").write_text("about")
    outcome = retain("validate", spec, "--set", "stages.2.data.chat=talks/")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[1:5] == [
        "  talks: left out: about the data: 1 (README.md)",
        "  talks/train.jsonl:1 as the model reads it; `learns` marks the target tokens:",
        "    reads  | <|bos|><|user|>Hello 0?<|end|><|assistant|>",
        "    learns | Yes.<|end|>",
    ]
    found = retain("validate", spec, "--set", "stages.2.data.chat=talks/", "--json").json
    assert found["sources"][0]["example"]["pieces"][1] == {"text": "Yes.<|end|>", "is_target": True}


def test_faults_here_and_on_the_server_come_together(
    retain, platform: FakePlatform, spec: str, tmp_path: Path, chat: str
) -> None:
    platform.violations = [("stages[0].learning_rate", "got 7"), ("stages[2].data.fields[body]", "got body")]
    (tmp_path / "empty.txt").write_text("")
    changes = (
        *("--set", "stages.0.data.general=empty.txt", "--set", "stages.1.data.domain=absent/"),
        *("--set", f"stages.2.data.chat={chat}", "--set", "stages.2.data.fields={body: q}"),
    )
    outcome = retain("validate", spec, *changes, "--json")
    assert outcome.code == 2
    said = [(fault["field"], fault["description"]) for fault in outcome.json["violations"]]
    assert [field for field, _ in said] == [
        "stages[1].data.domain",
        "stages[0].data.general",
        "stages[2].data.fields",
        "stages[0].learning_rate",
    ]
    assert said[0][1].startswith("got 'absent/', which does not exist here")
    assert said[1][1] == "empty.txt: got an empty file; expected a file with at least one document"
    assert said[2][1].startswith("got body: q for conversations; expected messages, or prompt and completion")
    assert "  stages[0].data.general: empty.txt: got an empty file" in outcome.err


def test_run_submits_and_uploads_nothing_with_a_fault(
    retain, platform: FakePlatform, spec: str, tmp_path: Path, chat: str
) -> None:
    name = rows(tmp_path / "broken.jsonl", {"q": "a", "a": "b"}, '{"q": ', {"q": "a", "answer": "b"})
    outcome = retain("run", spec, "--set", f"stages.2.data.chat={name}", *NAMED, "--upload", "-d", "--json")
    assert outcome.code == 2
    assert [fault["field"] for fault in outcome.json["error"]["violations"]] == ["stages[2].data.chat"] * 2
    assert "broken.jsonl:2: got a broken line" in outcome.err
    assert "broken.jsonl:3: got no field 'a'; there are ['answer', 'q']" in outcome.err
    assert platform.runs == {}
    assert not {"CreateUpload", "CreatePipelineRun"} & set(platform.calls)
    assert retain("run", spec, "--set", f"stages.2.data.chat={chat}", *NAMED, "-d").code == 0


def test_without_a_server_faults_here_are_told_all_the_same(retain, spec: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RETAIN_SERVER", "127.0.0.1:1")
    (tmp_path / "empty.txt").write_text("")
    for command in (("validate",), ("run", "-d")):
        outcome = retain(*command, spec, "--set", "stages.0.data.general=empty.txt", "--json")
        assert outcome.code == 3
        assert outcome.json["error"]["reason"] == "UNAVAILABLE"
        assert [fault["field"] for fault in outcome.json["error"]["violations"]] == ["stages[0].data.general"]
        here, server = outcome.err.index("empty.txt: got an empty file"), outcome.err.index("does not answer")
        assert here < server
    assert retain("validate", spec).code == 3


def test_the_same_file_is_read_once_with_the_options_of_its_first_stage(tmp_path: Path) -> None:
    name = rows(tmp_path / "general.jsonl", *({"body": f"text {n}"} for n in range(400)))
    tree = {
        "stages": [
            {"kind": "PRETRAIN", "data": {"general": name, "fields": {"text": "body"}}},
            {"kind": "MIDTRAIN", "domain": "CODE", "data": {"general": name, "domain": "sample://code"}},
        ],
        "forgetting": {"retention": {"law": name}},
    }
    found = check_local(tree, str(tmp_path / "spec.yaml"), sent=False)
    general, law = found.sources
    assert (general["documents"], general["also"]) == (400, ["stages[1].data.general"])
    assert found.lines()[0].startswith("stages[0].data.general, stages[1].data.general: general.jsonl: text, 400 docu")
    # A retention set has no stage whose fields would hold for it.
    assert law["documents"] == 0
    assert {fault.field for fault in found.violations} == {"forgetting.retention.law"}
    assert "there are" not in found.violations[0].description
    assert found.violations[0].description.startswith("general.jsonl:1: got a row with the fields ['body']")


def test_a_cap_ends_the_reading_but_not_that_for_the_tokenizer(tmp_path: Path) -> None:
    lines = [{"text": f"{number:04} {'x' * 95}"} for number in range(400)]
    name = rows(tmp_path / "general.jsonl", *lines, '{"broken')
    stage = {"kind": "PRETRAIN", "data": {"general": name, "max_tokens": 1_000}}
    spec = str(tmp_path / "spec.yaml")
    capped = check_local({"model": {"checkpoint": "s3://b/c"}, "stages": [stage]}, spec, sent=False)
    assert (capped.sources[0]["documents"], capped.violations) == (40, ())
    assert "only the first 4,000 bytes of text were read" in capped.lines()[0]
    trained = check_local({"model": {"preset": "nano"}, "stages": [stage]}, spec, sent=False)
    assert trained.sources[0]["documents"] == 400
    assert [fault.field for fault in trained.violations] == ["stages[0].data.general"]
    later = {"kind": "MIDTRAIN", "data": {"general": name}}
    both = check_local({"model": {"checkpoint": "s3://b/c"}, "stages": [stage, later]}, spec, sent=False)
    assert (both.sources[0]["documents"], both.sources[0]["also"]) == (400, ["stages[1].data.general"])


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [],
        {"stages": 3},
        {"stages": [None, {"data": [1]}]},
        {"model": "x"},
        {"forgetting": {"retention": {"general": "sample://docs"}}},
        {"stages": [{"data": {"general": "sample://docs", "max_tokens": float("inf"), "fields": {"text": "a"}}}]},
    ],
)
def test_a_tree_of_another_form_is_left_to_the_server(tree: object) -> None:
    found = check_local(tree, "-", sent=False)
    assert (found.sources, found.violations) == ((), ())


def test_a_model_folder_is_looked_at(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "models" / "stories260K-hf"
    found = check_local({"model": {"huggingface": str(folder)}}, "-", sent=True)
    assert found.violations == ()
    assert "model, 260,032 parameters, vocabulary of 512" in found.lines()[0]
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    refused = check_local({"model": {"huggingface": str(tmp_path)}}, "-", sent=False)
    assert {fault.field for fault in refused.violations} == {"model.huggingface"}
    assert any("pytorch_model.bin: got a pickle file" in fault.description for fault in refused.violations)
