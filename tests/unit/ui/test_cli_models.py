"""The command's verbs for models, for text and for the stack."""

import json
import subprocess
from pathlib import Path

from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.spec import templates


def test_checkpoints_export_import(retain, platform: FakePlatform, tmp_path: Path) -> None:
    scripted_runs.finished(platform, "r")
    rows = retain("checkpoints", "r", "--json").json
    assert len(rows) == 18
    assert {"checkpoint", "digest", "parent"} <= set(rows[0])
    row = next(row for row in rows if row["stage"] == "pretrain")
    platform.store.objects[f"/runs/{row['checkpoint']}/model/config.json"] = b"{}"
    made = retain("export", row["checkpoint"], str(tmp_path / "out"), "--json").json
    assert (made["digest"], made["files"]) == (row["digest"], ["model/config.json"])
    assert (tmp_path / "out" / "config.json").read_bytes() == b"{}"
    assert retain("import", str(tmp_path / "absent")).code == 2


def test_export_as_gguf_beside_its_card(retain, platform: FakePlatform, shared_data: Path, tmp_path: Path) -> None:
    """The real model of the tests, by the real child; nothing is left where it is refused."""
    run = scripted_runs.finished(platform, "r")
    row = retain("checkpoints", "r", "--json").json[0]["checkpoint"]
    for file in (shared_data / "models" / "stories260K-hf").iterdir():
        platform.store.objects[f"/runs/{row}/model/{file.name}"] = file.read_bytes()
    made = retain("export", row, str(tmp_path / "out"), "--format", "gguf", "--license", "mit", "--json").json
    assert made["files"] == ["model-f32.gguf", "README.md"]
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["README.md", "model-f32.gguf"]
    assert (tmp_path / "out" / "model-f32.gguf").read_bytes()[:4] == b"GGUF"
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'library_name: "gguf"' in card
    assert 'license: "mit"' in card
    assert run.spec.name in card
    assert retain("export", row, str(tmp_path / "out"), "--format", "gguf").code == 2
    assert retain("export", row, str(tmp_path / "other"), "--format", "gguf", "--training-state").code == 2
    assert retain("export", row, str(tmp_path / "other"), "--license", "a b").code == 2
    assert [entry.name for entry in tmp_path.iterdir() if entry.name not in ("home", "out")] == []


def test_import_looks_at_the_folder_first(retain, platform: FakePlatform, shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (shared_data / "models" / "stories260K-hf").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 7, "eos_token_id": ["a"]}))
    outcome = retain("import", str(folder), "--json")
    assert outcome.code == 2
    assert "config.json: eos_token_id[0]: got 'a'" in outcome.out + outcome.err
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 7}))
    assert "missing tensors" in retain("import", str(folder)).err
    assert not any(key.startswith("/uploads/") for key in platform.store.objects)
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": -1}))
    imported = retain("import", str(folder), "--json")
    assert imported.json["checkpoint"].startswith("imported/")
    assert "pad_token_id: got -1" in imported.err
    sent = {key.rpartition("/")[2] for key in platform.store.objects if key.startswith("/uploads/")}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"} <= sent


def test_eval_and_sample_run_the_model_as_a_child(retain, monkeypatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def child(command: list[str], **_: object) -> subprocess.CompletedProcess:
        calls.append(command)
        return subprocess.CompletedProcess(command, 2)

    monkeypatch.setattr("ui.commands.models.subprocess.run", child)
    outcome = retain(
        "eval", str(tmp_path), "--data", "a.jsonl", "b.jsonl", "--context", "128", "--limit", "5", "--json"
    )
    assert outcome.code == 2
    assert calls[0][2:] == [
        "-m",
        "model.cli.evaluate",
        str(tmp_path),
        "--data",
        "a.jsonl",
        "b.jsonl",
        "--context",
        "128",
        "--limit",
        "5",
        "--json",
    ]
    retain("sample", str(tmp_path), "--prompt", "-x", "--temperature", "0")
    assert calls[1][2:6] == ["-m", "model.cli.generate", str(tmp_path), "--prompt=-x"]


# --- texts


def test_init_prints_a_spec_and_never_overwrites(retain, tmp_path: Path) -> None:
    assert retain("init").out == templates.template("three-stage").text
    target = tmp_path / "my.yaml"
    assert retain("init", "minimal", "-o", str(target)).code == 0
    assert target.read_text() == templates.template("minimal").text
    assert retain("init", "demo-code", "-o", str(target)).code == 2
    assert target.read_text() == templates.template("minimal").text
    outcome = retain("init", "nothing")
    assert outcome.code == 2
    assert "demo-code" in outcome.err
    assert {"demo-code", "demo-math", "demo-science", "minimal", "three-stage"} == {
        row["name"] for row in retain("init", "--list", "--json").json
    }


def test_schema_env_and_learn(retain) -> None:
    assert retain("schema", "--json").json["$ref"] == "#/$defs/PipelineSpec"
    assert json.loads(retain("schema").out) == retain("schema", "--json").json
    assert retain("env", "--json").json["packages"]["torch"].startswith("2.13.0")
    assert {"pipeline", "midtraining", "forgetting"} <= {row["name"] for row in retain("learn", "--json").json}
    assert "Catastrophic forgetting" in retain("learn", "forgetting").out
    assert retain("learn", "nothing").code == 2
    assert "retain learn forgetting --quiz" in retain("learn", "forgetting").err
    printed = retain("learn", "forgetting", "--quiz")
    assert "   c) It acts" in printed.out
    assert "Thresholds are inclusive" not in printed.out
    assert "wrong: Thresholds are inclusive" in retain("learn", "forgetting", "--quiz", "--answers").out
    assert len(retain("learn", "adapt", "--quiz", "--json").json["questions"]) == 3
    assert retain("learn", "--quiz").code == retain("learn", "adapt", "--answers").code == 2


def test_decision_records_are_listed_after_the_guides_and_read_by_their_numbers(retain) -> None:
    names = [row["name"] for row in retain("learn", "--json").json]
    assert names[0] == "pipeline"
    records = sorted(name for name in names if name.startswith("decisions/"))
    assert names[-len(records) - 1 :] == ["decisions", *records]
    assert records[:2] == ["decisions/0001", "decisions/0002"]
    for name in records:
        text = retain("learn", name, "--json").json["markdown"]
        headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
        assert headings == ["Context", "Decision", "Consequences", "What else was weighed"], name
        assert f"(`retain learn {name}`)" in retain("learn", "decisions", "--json").json["markdown"]
    assert "expected pipeline" in retain("learn", "decisions/9999").err


def test_links_between_guides_read_as_commands_in_a_terminal(retain) -> None:
    shown = retain("learn", "architecture").out
    assert "retain learn decisions/0002" in " ".join(shown.split())
    assert ".md)" not in shown


def test_env_leaves_secrets_out(retain, monkeypatch) -> None:
    monkeypatch.setenv("RETAIN_TOKEN", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    outcome = retain("env", "--json")
    assert "hunter2" not in outcome.out
    assert outcome.json["environment"]["RETAIN_TOKEN"] == "(set)"


def test_a_checkpoint_is_set_aside_and_the_lineage_says_why(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    name = retain("checkpoints", "r", "--json").json[0]["checkpoint"]
    row = retain("void", name, "--reason", "a file is cut", "--json").json
    assert (row["checkpoint"], row["state"]) == (name, "CHECKPOINT_STATE_DAMAGED")
    assert row["message"] == "set aside by a person: a file is cut"
    said = retain("void", name, "--reason", "a file is cut").out
    assert said.strip() == f"{name} is damaged: set aside by a person: a file is cut"
    shown = " ".join(retain("checkpoints", "r").out.split())
    assert "damaged:" in shown
    assert retain("void", "no-such-checkpoint").code != 0


def test_what_a_run_waits_for_is_printed(retain, platform: FakePlatform) -> None:
    run = scripted_runs.suspended(platform, "r")
    run.status.waiting_for = "disk full at /var/retain"
    for verb in (("show", "r"), ("status", "r"), ("status",)):
        assert "waits for: disk full at /var/retain" in retain(*verb).out
    assert retain("status", "r", "--json").json["waiting"] == {"r": "disk full at /var/retain"}


def test_a_part_of_the_log_alone_is_asked_for(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    assert retain("logs", "r", "--tail", "1").out == "step 2 loss 8.1\n"
    assert retain("logs", "r", "--search", "8.1").out == "1:2: step 2 loss 8.1\n"
    assert retain("logs", "r", "--tail", "10001").code == 2
