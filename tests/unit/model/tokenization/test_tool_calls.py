"""Conversations with tools are rendered whole, as transformers does it, or refused by their row."""

import copy
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from model.data.readers.rows import row_document
from model.data.sources.files import FileSource
from model.document import Document
from model.errors import BadSource
from model.tokenization.chat_template import render_example
from model.tokenization.conversation_formats import normalise, tools_of
from model.tokenization.tokenizer import Tokenizer, default_chat_format
from tests.unit.model.chat_templates import CALLS_ONLY, CHATML, TOOLS, TOOLS_BY_TURN, folder_with, tokenizer_with

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"id": "abc123xyz", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TALK = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "sunny, 12 degrees", "name": "get_weather", "tool_call_id": "abc123xyz"},
    {"role": "assistant", "content": "It is sunny."},
]
ROW = {"messages": TALK, "tools": [WEATHER]}


def document(row: dict, where: str = "chat.jsonl:151") -> Document:
    return row_document(row, where=where, options={})


def changed(number: int, **changes: object) -> dict:
    row = copy.deepcopy(ROW)
    row["messages"][number] |= changes
    return row


@pytest.mark.parametrize("template", [TOOLS, TOOLS_BY_TURN], ids=["marks", "by turn"])
@pytest.mark.parametrize("beside", ["", "Let me see. "])
def test_text_ids_and_mask_equal_transformers(template: str, beside: str, tmp_path: Path) -> None:
    row = changed(1, content=beside)
    folder = folder_with(tmp_path, template)
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    oracle = theirs.apply_chat_template(
        row["messages"], tools=[WEATHER], return_dict=True, return_assistant_tokens_mask=template is TOOLS
    )
    ids, mask = ours.encode_document(document(row))
    assert ids == oracle["input_ids"]
    example = render_example(ours.chat_format, document(row))
    assert example.text == theirs.apply_chat_template(row["messages"], tools=[WEATHER], tokenize=False)
    if template is TOOLS:
        assert mask == oracle["assistant_masks"]
        assert "[abc123xyz] sunny" in example.text
    said = "".join(text for text, is_target in example.pieces if is_target)
    assert said.startswith(f"{beside}<call>")
    assert '"city": "Paris"' in said
    assert said.endswith("It is sunny.<|im_end|>")
    assert "sunny, 12" not in said


def test_all_forms_of_tool_calls_give_the_same_ids() -> None:
    tokenizer = tokenizer_with(TOOLS_BY_TURN)
    turns = [dict(turn) for turn in TALK]
    bare = {**CALL, "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    older = {"role": "assistant", "content": None, "function_call": bare["function"]}
    system = {"from": "system", "value": "Be brief."}
    forms = {
        "objects": ROW,
        "arguments as text": {**ROW, "messages": [turns[0], {**turns[1], "tool_calls": [bare]}, *turns[2:]]},
        "null content": {**ROW, "messages": [turns[0], {**turns[1], "content": None}, *turns[2:]]},
        "nulls of a column": {
            **ROW,
            "messages": [{"name": None, "tool_calls": None, "tool_call_id": None, **turn} for turn in turns],
        },
        "tools as text": {**ROW, "tools": json.dumps([WEATHER])},
        "older names": {
            "messages": [turns[0], older, {**turns[2], "role": "function"}, turns[3]],
            "functions": [WEATHER["function"]],
        },
        "prompt and completion": {"prompt": turns[:1], "completion": turns[1:], "tools": [WEATHER]},
        "sharegpt": {
            "conversations": [
                {"from": "human", "value": turns[0]["content"]},
                {"from": "function_call", "value": json.dumps(CALL["function"])},
                {"from": "observation", "value": turns[2]["content"]},
                {"from": "gpt", "value": turns[3]["content"]},
            ],
            "tools": json.dumps([WEATHER]),
        },
    }
    encoded = {name: tokenizer.encode_document(document(row)) for name, row in forms.items()}
    for name, found in encoded.items():
        assert found == encoded["objects"], name
    with_system = {**forms["sharegpt"], "conversations": [system, *forms["sharegpt"]["conversations"]]}
    as_column = {**forms["objects"], "system": "Be brief."}
    assert tokenizer.encode_document(document(with_system)) == tokenizer.encode_document(document(as_column))


def test_a_column_of_objects_reads_as_json_lines_do(tmp_path: Path) -> None:
    other = copy.deepcopy(WEATHER)
    other["function"] |= {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    adds = {"id": "x", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    rows = [
        {**ROW, "tools": [WEATHER, other]},
        {
            "messages": [TALK[0], {"role": "assistant", "content": "Let me see.", "tool_calls": [adds, CALL]}],
            "tools": [],
        },
        {"messages": [TALK[0], TALK[3]], "tools": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "chat.parquet")
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines, column = (list(FileSource(tmp_path / f"chat.{end}")) for end in ("jsonl", "parquet"))
    tokenizer = tokenizer_with(TOOLS)
    for one, same in zip(lines, column, strict=True):
        assert tokenizer.encode_document(one) == tokenizer.encode_document(same)
        assert (one.messages, one.tools) == (same.messages, same.tools)


def test_arguments_that_are_text_are_not_written_as_text_of_text(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, TOOLS)  # tojson, whatever the arguments are
    text = changed(1, tool_calls=[{**CALL, "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}])
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.encode_document(document(text)) == tokenizer.encode_document(document(ROW))


LEFT_OUT = {
    "tool turn": (
        None,
        {"messages": [TALK[0], {"role": "assistant", "content": "Wait."}, TALK[2], TALK[3]]},
        "messages",
        "unknown role tool",
    ),
    "tool calls": (CHATML, ROW, r"messages\[1\]\.tool_calls\[0\]\.function\.name", "get_weather"),
    "tools": (CHATML, {"messages": [TALK[0], TALK[3]], "tools": [WEATHER]}, r"tools\[0\]\.name", "get_weather"),
    "name of a user": (CHATML, {"messages": [{**TALK[0], "name": "Ann"}, TALK[3]]}, r"messages\[0\]\.name", "Ann"),
    "text beside a call": (
        CALLS_ONLY,
        {"messages": [TALK[0], {**TALK[1], "content": "Let me see."}, *TALK[2:]]},
        r"messages\[1\]\.content",
        "text beside tool calls",
    ),
    "results in another order": (
        TOOLS_BY_TURN,
        {
            "messages": [
                TALK[0],
                {**TALK[1], "tool_calls": [CALL, {**CALL, "id": "second999"}]},
                {**TALK[2], "tool_call_id": "second999"},
                TALK[2],
                TALK[3],
            ]
        },
        r"messages\[2\]\.tool_call_id",
        "second999",
    ),
    "roles mixed up": (
        "{% for m in messages %}{{ ('U: ' if m.role == 'user' else 'A: ') + m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}A: {% endif %}",
        {"messages": [TALK[0], {"role": "assistant", "content": "Wait."}, {**TALK[2], "name": None}, TALK[3]]},
        r"messages\[2\]\.role",
        "tool.*assistant",
    ),
    "reasoning": (
        CHATML,
        {"messages": [TALK[0], {**TALK[3], "reasoning_content": "12 degrees"}]},
        r"messages\[1\]\.reasoning_content",
        "12 degrees",
    ),
}


@pytest.mark.parametrize(("template", "row", "field", "came"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_a_template_cannot_show_is_refused_by_row(template: str | None, row: dict, field: str, came: str) -> None:
    form = tokenizer_with(template).chat_format if template else default_chat_format()
    with pytest.raises(BadSource, match=came) as caught:
        render_example(form, document(row))
    assert caught.match(rf"^chat\.jsonl:151: {field}: ")


def test_ids_and_names_that_only_repeat_the_order_are_a_note() -> None:
    example = render_example(tokenizer_with(TOOLS_BY_TURN).chat_format, document(ROW))
    assert len(example.notes) == 3
    assert all("their order says the same" in note for note in example.notes)
    assert render_example(tokenizer_with(TOOLS).chat_format, document({"messages": [TALK[0], TALK[3]]})).notes == ()


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (changed(1, tool_calls="[{"), "messages[1].tool_calls"),
        (changed(1, tool_calls=[{"type": "function"}]), "messages[1].tool_calls[0]"),
        (
            changed(1, tool_calls=[{"function": {"name": "f", "arguments": "Paris"}}]),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (changed(1, tool_calls=[{"function": {"name": "f", "arguments": [1]}}]), "messages[1].tool_calls[0].function"),
        (changed(0, tool_calls=[CALL]), "messages[0].tool_calls"),
        (changed(2, name=["x"]), "messages[2].name"),
        ({**ROW, "tools": "{"}, "tools"),
        ({**ROW, "tools": [3]}, "tools[0]"),
        ({**ROW, "tools": 3}, "tools"),
        ({"conversations": [{"from": "function_call", "value": "f(x)"}]}, "conversations[0].value"),
        ({"messages": TALK[:1] + TALK[3:], "images": ["a.png"]}, "images"),
        ({"messages": [{**TALK[0], "images": ["a.png"]}, TALK[3]]}, "messages[0].images"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
                    TALK[3],
                ]
            },
            "messages[0].content[1]",
        ),
        ({"messages": [TALK[0], {**TALK[3], "weight": 0}]}, "messages[1].weight"),
        ({"messages": [TALK[0], TALK[3]], "chat_template_kwargs": {"thinking": True}}, "chat_template_kwargs"),
        ({"messages": [TALK[0], TALK[3]], "system": ["x"]}, "system"),
        ({"instruction": "a", "output": "b", "history": [["a", None]]}, "history[0]"),
    ],
)
def test_what_is_no_call_and_no_text_is_refused_by_row(row: dict, field: str) -> None:
    with pytest.raises(BadSource) as caught:
        document(row)
    assert caught.value.field.startswith(f"chat.jsonl:151: {field}")


@pytest.mark.parametrize("row", [{"images": None}, {"images": []}, {"tools": None}, {"tools": []}, {"tools": ""}])
def test_empty_columns_are_nothing(row: dict) -> None:
    plain = {"messages": [TALK[0], TALK[3]]}
    assert document({**plain, **row}).messages == document(plain).messages
    assert tools_of({**plain, **row}, where="r") == ()


@pytest.mark.parametrize("empty", ["", "  \n", "</think>", "<think>hm</think>\n", "<think>never ends"])
def test_an_empty_answer_is_refused_by_row_and_turn(empty: str) -> None:
    turns = [TALK[0], TALK[3], TALK[0], {"role": "assistant", "content": empty}, TALK[0], TALK[3]]
    with pytest.raises(BadSource, match="says nothing") as caught:
        normalise({"messages": turns}, where="chat.jsonl:9")
    assert caught.value.field == "chat.jsonl:9: turn 4"
    full = {"messages": [*turns[:3], {**turns[3], "content": f"{empty}</think> yes"}]}
    assert len(normalise(full, where="r")) == 4
