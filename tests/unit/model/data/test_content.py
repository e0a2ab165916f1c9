"""What a document says, whatever it is written like."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.content import content_key, normal_text
from model.document import Document


def text(content: str, **changes) -> str:
    return content_key(Document(text=content, origin="o", **changes))


def chat(*turns: dict, **changes) -> str:
    return content_key(Document(messages=turns, origin="o", **changes))


USER, ASSISTANT = {"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Two.\n"}


@pytest.mark.parametrize(
    "other",
    [
        "One line.\r\nAnother line.\r\n\r\nA caf\u00e9.",
        "One line.\rAnother line.\r\rA caf\u00e9.",
        "One line.\nAnother line.\n\nA cafe\u0301.",
        "\ufeffOne line.\nAnother line.\n\nA caf\u00e9.\n",
        "\n One line.  \nAnother line.\t\n \t\nA caf\u00e9.\u00a0\n\n",
    ],
)
def test_ways_to_write_one_text(other):
    assert text(other, difficulty=2.0, meta={"row": "x:1"}) == text("One line.\nAnother line.\n\nA caf\u00e9.")


@pytest.mark.parametrize(
    "other", ["one line.\n  Indented.", "One line.\nIndented.", "One line.\n\n  Indented.", "One line\n  Indented."]
)
def test_what_makes_another_text(other):
    assert text(other) != text("One line.\n  Indented.")


def test_conversations_are_their_roles_and_contents():
    same = [{"content": " How many?\r\n", "role": "user", "name": "Ann"}, {"role": "assistant", "content": "Two."}]
    assert chat(USER, ASSISTANT) == chat(*same, group="g")
    assert chat(USER, ASSISTANT) != chat({"role": "system", "content": "How many?"}, ASSISTANT)
    assert chat(USER, ASSISTANT) != chat(USER, ASSISTANT, USER)
    assert chat(USER, ASSISTANT) != text("How many?\nTwo.")
    assert chat({"role": "user", "content": "a\nb"}, ASSISTANT) != chat({"role": "user", "content": "a"}, ASSISTANT)


def test_calls_count_and_their_ids_do_not():
    def call(number: str, town: str) -> dict:
        function = {"name": "weather", "arguments": {"town": town}}
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": number, "type": "function", "function": function}],
        }

    assert chat(USER, call("a1", "Bonn"), ASSISTANT) == chat(USER, call("b2", "Bonn"), ASSISTANT)
    assert chat(USER, call("a1", "Bonn"), ASSISTANT) != chat(USER, call("a1", "Cologne"), ASSISTANT)


@given(st.text())
def test_the_normal_form_is_its_own_normal_form(content):
    normal = normal_text(content)
    assert normal_text(normal) == normal == unicodedata.normalize("NFC", normal)
    assert normal_text(content.replace("\r", "").replace("\n", "\r\n")) == normal_text(content.replace("\r", ""))
