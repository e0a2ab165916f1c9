"""Answers before and after a fine-tuning: which checkpoints are asked, what counts as right, what people read."""

import io
import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.answers import Answer, Compared, Question, ask, compared, score, score_line, unseen_questions
from ui.client.client import RetainClient
from ui.client.errors import BadInput
from ui.client.views import CheckpointRef
from ui.render.tables import answers_table
from ui.spec import templates
from ui.spec.file import parse_yaml

SOURCE = "sample://exchanges?domain=math&documents=2000"


def reference(name: str) -> CheckpointRef:
    return CheckpointRef(uri=f"s3://retain/{name}", manifest_sha256="", weights_digest="", step=1, tokens=1)


PAIR = Compared(stage="finetune", before=reference("before"), after=reference("after"), chat=SOURCE, fields={})


class Adder:
    """A client whose second checkpoint can add, and whose first one cannot."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def sample(self, checkpoint: CheckpointRef, prompt: str, **options: object):
        assert (options["temperature"], options["chat"]) == (0.0, True)
        self.asked.append((checkpoint.uri, prompt))
        a, b = (int(word.strip("?.")) for word in prompt.split() if word.strip("?.").isdigit())
        yield from (f" {a} + {b}", f" = {a + b if checkpoint.uri.endswith('after') else 7}\n")


def test_right_is_what_equals_the_expected_answer() -> None:
    client = Adder()
    questions = [
        Question(prompt="What is 12 + 30?", expected="12 + 30 = 42"),
        Question(prompt="Add 20 and 11.", expected="20 + 11 = 32"),  # wrong, so that the second is not right either
        Question(prompt="What is 3 + 4?", expected="3 + 4 = 7"),
    ]
    steps: list[int] = []
    found = ask(client, PAIR, questions, on_answer=steps.append)
    assert [(a.before, a.after) for a in found] == [
        ("12 + 30 = 7", "12 + 30 = 42"),
        ("20 + 11 = 7", "20 + 11 = 31"),
        ("3 + 4 = 7", "3 + 4 = 7"),
    ]
    assert [(a.right_before, a.right_after) for a in found] == [(False, True), (False, False), (True, True)]
    assert score(found) == (1, 2, 3)
    assert score_line(found) == "right on 3 unseen questions: 1 before (33.3 %), 2 after (66.7 %)"
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [uri for uri, _ in client.asked] == ["s3://retain/before"] * 3 + ["s3://retain/after"] * 3, (
        "loaded once each"
    )


def test_a_question_of_ones_own_is_not_judged() -> None:
    (found,) = ask(Adder(), PAIR, [Question(prompt="What is 1 + 1?")])
    assert (found.right_before, found.right_after, score([found])) == (None, None, (0, 0, 0))


def test_three_answers_stand_side_by_side() -> None:
    noise = "of the module " * 30
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(
        answers_table(
            [Answer(prompt="What is 1 + 1?", expected="1 + 1 = 2", before=noise, after="1 + 1 = 2")], title="Answers"
        )
    )
    told = console.export_text()
    assert [word in told for word in ("Question", "Before", "After", "Expected")] == [True] * 4
    row = next(line for line in told.splitlines() if "What is 1 + 1?" in line)
    assert row.index("✗ of the module") < row.index("✓ 1 + 1 = 2") < row.rindex("1 + 1 = 2")
    assert "…" in told, "noise is cut"
    assert told.count("module") < 10


def test_the_checkpoints_of_a_run(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    run = client.get_run("r")
    pair = compared(run)
    assert (pair.stage, pair.before, pair.after) == ("finetune", run.stages[1].accepted, run.stages[2].accepted)
    scripted_runs.suspended(platform, "s")
    with pytest.raises(BadInput, match=r"midtrain/code SUSPENDED.*whose fine-tuning is complete"):
        compared(client.get_run("s"))


def test_the_command_asks_both_checkpoints(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    found = retain("answers", "r", "--data", SOURCE, "-n", "2", "--json")
    assert found.code == 0, found.err
    assert (found.json["questions"], found.json["right_before"], found.json["right_after"]) == (2, 0, 0)
    assert [(a["before"], a["after"]) for a in found.json["answers"]] == [("once upon a time",) * 2] * 2
    assert all(a["expected"].count("=") == 1 for a in found.json["answers"])
    told = retain("answers", "r", "--prompt", "Hello?").out
    assert "Hello?" in told
    assert "Expected" not in told
    assert "right on" not in told
    refused = retain("answers", "r", "--data", "s3://retain/uploads/x")
    assert refused.code == 2
    assert "a source that this machine can read" in refused.err
    refused = retain("answers", "r", "--data", "sample://exchanges?domain=poetry")
    assert refused.code == 2
    assert "code, math, science" in refused.err


def test_questions_of_a_file_by_its_own_columns(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps({"q": f"Question {n}?", "a": f"Answer {n}."}) + "\n" for n in range(300)))
    found = unseen_questions(str(path), fields={"prompt": "q", "completion": "a"}, limit=3)
    assert len(found) == 3
    for question in found:
        assert question.expected == question.prompt.replace("Question", "Answer").replace("?", ".")


def test_a_reader_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nMemoryError: no room")

    monkeypatch.setattr("ui.answers.subprocess.run", broken)
    with pytest.raises(Exception, match=r"ended with 1: MemoryError: no room"):
        unseen_questions(SOURCE)


@pytest.mark.parametrize("domain", ["code", "math", "science"])
def test_the_demos_ask_at_least_twenty_questions_and_name_their_policy(domain: str) -> None:
    spec = parse_yaml(templates.template(f"demo-{domain}").text, name="demo")
    assert spec["forgetting"]["controller"] == "LADDER"
    assert {"action", "stop", "budget", "settle", "max_retries"} <= set(spec["forgetting"])
    assert len(unseen_questions(spec["stages"][2]["data"]["chat"])) >= 20
