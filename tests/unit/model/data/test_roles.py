"""What a spec says about a text becomes the source of a role: named columns, the kind that is due, the domain."""

import json
from pathlib import Path

import pytest

from model.data.roles import StageText, as_role, field_options, role_options
from model.data.sources import open_source
from model.data.sources.base import Source
from model.document import Document
from model.errors import BadSource

TURNS = ({"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"})
TALK = [dict(turn) for turn in TURNS]
SHAREGPT = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def opened(uri: str, role: str, fields: dict[str, str], domain: str | None = None, **options: list) -> Source:
    said = StageText(learned=(uri,), fields=fields, domain=domain, domain_options=options)
    return as_role(said, role, open_source(uri, options=role_options(said, role, uri)))


def documents(*arguments, **options) -> list[Document]:
    return list(opened(*arguments, **options))


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ({"messages": TALK}, {}),
        ({"prompt": "2 + 2?", "completion": "4"}, {}),
        ({"conversations": SHAREGPT}, {}),
        ({"instruction": "2 + 2?", "output": "4"}, {}),
        ({"question": "2 + 2?", "answer": "4"}, {"prompt": "question", "completion": "answer"}),
        ({"question": TALK[:1], "answer": TALK[1:]}, {"prompt": "question", "completion": "answer"}),
        ({"turns": TALK}, {"messages": "turns"}),
        ({"turns": SHAREGPT}, {"messages": "turns"}),
        # A column of a known name that is not the one that was named does not count.
        ({"messages": "none", "q": "2 + 2?", "a": "4"}, {"prompt": "q", "completion": "a"}),
        ({"messages": TALK}, {"messages": "messages"}),
    ],
)
def test_every_form_of_conversation_with_its_own_or_with_named_columns(tmp_path, row, fields):
    (document,) = documents(write(tmp_path / "chat.jsonl", row), "chat", fields)
    assert document.messages == TURNS


def test_a_system_text_beside_named_sharegpt_turns_is_kept(tmp_path):
    uri = write(tmp_path / "chat.jsonl", {"turns": SHAREGPT, "system": "Be brief."})
    (document,) = documents(uri, "chat", {"messages": "turns"})
    assert document.messages == ({"role": "system", "content": "Be brief."}, *TURNS)


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (
            [{"q": "a", "a": "b"}, {"q": "a", "answer": "b"}],
            {"prompt": "q", "completion": "a"},
            r"chat.jsonl:2: got no field 'a'; there are \['answer', 'q'\]; expected a row with 'a'",
        ),
        ([{"turns": "hello"}], {"messages": "turns"}, r"chat.jsonl:1: turns: got 'hello'; expected a list"),
        ([{"q": 7, "a": "b"}], {"prompt": "q", "completion": "a"}, r"chat.jsonl:1: q: got 7"),
        ([{"turns": TALK[:1]}], {"messages": "turns"}, "chat.jsonl:1: got a conversation without an assistant turn"),
        (
            [{"turns": [{"from": "martian", "value": "x"}]}],
            {"messages": "turns"},
            r"chat.jsonl:1: turns\[0\].from: got martian",
        ),
    ],
)
def test_what_people_get_wrong_in_naming_columns(tmp_path, rows, fields, message):
    uri = write(tmp_path / "chat.jsonl", *rows)
    with pytest.raises(BadSource, match=message):
        documents(uri, "chat", fields)


def test_fields_that_do_not_fit_the_role():
    assert field_options({"text": "body"}, "general", "data.jsonl") == {"fields": ["body"]}
    assert field_options({"prompt": "q", "completion": "a"}, "math", "x.jsonl") == {"template": "{q}\n{a}"}
    assert field_options({"text": "body"}, "general", "sample://docs") == {}
    for fields, role, message in (
        ({"body": "x"}, "general", "got body: x for text; expected text, or prompt and completion"),
        ({"messages": "turns"}, "general", "got messages: turns for text"),
        ({"prompt": "q"}, "chat", "got prompt: q for conversations; expected messages, or prompt and completion"),
        ({"text": "body"}, "chat", "got text: body for conversations"),
        ({"prompt": "a:b", "completion": "a"}, "math", "got a:b"),
    ):
        with pytest.raises(BadSource, match=f"data.fields: {message}"):
            field_options(fields, role, "x.jsonl")


def test_fields_hold_for_what_is_learned_only():
    said = StageText(learned=("a.jsonl",), fields={"text": "body"})
    assert role_options(said, "general", "b.jsonl") == {}


def test_a_named_difficulty_narrows_a_domain_and_is_checked(tmp_path):
    rows = [{"q": f"{n} + 1?", "a": str(n + 1), "grade": n} for n in (1, 2, 3)]
    uri = write(tmp_path / "sums.jsonl", *rows)
    fields = {"prompt": "q", "completion": "a", "difficulty": "grade"}
    found = documents(uri, "math", fields, "math", difficulty=[2, 3])
    assert [(d.text, d.difficulty) for d in found] == [("2 + 1?\n3", 2.0), ("3 + 1?\n4", 3.0)]
    alone = write(tmp_path / "alone.jsonl", {"text": "1 + 1 = 2", "grade": "Level 4"})
    assert [d.difficulty for d in documents(alone, "math", {"difficulty": "grade"}, "math")] == [4.0]
    assert [d.difficulty for d in documents(alone, "general", {"text": "text", "difficulty": "grade"})] == [4.0]
    with pytest.raises(BadSource, match=r"sums.jsonl:2: grade: level: got 9; expected 1 to 5"):
        documents(write(tmp_path / "sums.jsonl", rows[0], {**rows[1], "grade": 9}), "math", fields, "math")


def test_text_where_conversations_are_due_and_the_other_way_round(tmp_path):
    text, chat = write(tmp_path / "t.jsonl", {"text": "x"}), write(tmp_path / "c.jsonl", {"messages": TALK})
    with pytest.raises(BadSource, match=r"t.jsonl: got text without turns; expected conversations"):
        opened(text, "chat", {})
    for role, domain in (("general", None), ("math", "math"), ("code", None)):
        with pytest.raises(BadSource, match=r"c.jsonl: got conversations; expected text"):
            opened(chat, role, {}, domain)
    assert opened(chat, "manners", {}).kind == "chat"  # a further retention set may be either
    assert opened(text, "law", {}).kind == "text"


def test_options_of_a_domain_reach_its_data_set(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.go").write_text("package main\n")
    assert [d.text for d in documents(str(tmp_path), "code", {}, "code", languages=["go"])] == ["package main\n"]
    assert len(documents(str(tmp_path), "code", {})) == 2  # replayed in another stage than a mid-training of code
    with pytest.raises(BadSource, match=r"languages: got \['pyton'\]; expected python, "):
        opened(str(tmp_path), "code", {}, "code", languages=["pyton"])
