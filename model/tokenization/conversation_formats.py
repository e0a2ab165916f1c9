"""Conversations: the four forms that people bring along, turned into one.

| form | looks like | known from |
|---|---|---|
| messages | `{"messages": [{"role": "user", "content": "..."}, ...]}` | OpenAI, TRL, Axolotl |
| prompt + completion | `{"prompt": "...", "completion": "..."}`, each a text or a list of messages | TRL |
| ShareGPT | `{"conversations": [{"from": "human", "value": "..."}, ...]}` | FastChat, LLaMA-Factory |
| Alpaca | `{"instruction": "...", "input": "...", "output": "..."}`, optionally `system`, `history` | Stanford Alpaca |

The result is a tuple of messages with `role` (system, user, assistant, tool, developer), `content` and, where the row
has them, `name`, `tool_call_id`, `tool_calls` and the reasoning of an answer; a column `system` becomes the first turn,
and `tools_of` reads the column `tools` (see `model.tokenization.tool_calls`). Further keys of a message (ids, dates,
languages) are facts about it and no part of it. A field that is null counts as absent.

Training puts a conversation into the tokenizer's chat template (`model.chat`), which refuses what it cannot show, and
counts loss on the assistant's tokens only. What is no text (pictures, sound), and an answer that says nothing, whose
end would teach to say nothing, are refused here, where the row can be named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from model.errors import BadSource
from model.tokenization.tool_calls import cut, read_calls, read_sharegpt_call, read_tools, short

ROLES = ("system", "user", "assistant", "tool", "developer")
_SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function_call": "assistant",
}
# Text about an answer that is not its content; every chat template that reads one of them knows it by another name.
REASONING = ("reasoning_content", "reasoning", "thinking")
_KEPT_TEXTS = ("name", "tool_call_id", *REASONING)
_MEDIA = ("images", "image", "videos", "video", "audios", "audio")
_UNTRAINED = ("weight", "train", "training", "loss")  # how several trainers say that an answer is not trained on
_THOUGHT = re.compile(r"<think>.*?(</think>|$)|</think>", re.DOTALL)
# Columns that belong to a conversation beside those of its form.
BESIDE = ("system", "tools", "functions", "chat_template_kwargs", *_MEDIA)
Messages = tuple[dict[str, Any], ...]


def is_chat(row: Mapping[str, Any]) -> bool:
    """Whether the row has the fields of one of the four forms; a field that is null counts as absent."""
    return _form_of(row) is not None


def normalise(row: Mapping[str, Any], *, where: str) -> Messages:
    """The conversation of a row in any of the four forms. `where` names the row in errors (BadSource)."""
    form = _form_of(row)
    if form is None:
        raise BadSource(
            field=where,
            got=f"a row with the fields {sorted(map(str, row))}",
            expected="messages, or prompt and completion, or conversations, or instruction and output",
        )
    _refuse_what_is_no_text(row, where)
    if form == "messages":
        messages = _turns(row["messages"], where=f"{where}: messages")
    elif form == "conversations":
        messages = _sharegpt(row["conversations"], where=f"{where}: conversations")
    elif form == "prompt":
        messages = _as_turns(row["prompt"], "user", where=f"{where}: prompt")
        messages += _as_turns(row["completion"], "assistant", where=f"{where}: completion")
    else:
        messages = _alpaca(row, where=where)
    system = _system(row, where)
    if system and system[0] not in messages[:1]:
        messages = system + messages
    _check_answers(messages, where)
    return tuple(messages)


def tools_of(row: Mapping[str, Any], *, where: str) -> tuple[dict[str, Any], ...]:
    """The tools that a row offers the assistant, as JSON schemas: its column `tools`, or the older `functions`."""
    found = read_tools(row.get("tools"), where=f"{where}: tools")
    older = read_tools(row.get("functions"), where=f"{where}: functions")
    return found + tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in older)


def _form_of(row: Mapping[str, Any]) -> str | None:
    def has(*names: str) -> bool:
        return all(row.get(name) is not None for name in names)

    for name, others in (
        ("messages", ()),
        ("conversations", ()),
        ("prompt", ("completion",)),
        ("instruction", ("output",)),
    ):
        if has(name, *others):
            return name
    return None


def _refuse_what_is_no_text(row: Mapping[str, Any], where: str) -> None:
    for name in _MEDIA:
        if row.get(name):
            raise BadSource(f"{where}: {name}", short(row[name]), "conversations of text only: without this column")
    if row.get("chat_template_kwargs"):
        got = short(row["chat_template_kwargs"])
        raise BadSource(f"{where}: chat_template_kwargs", got, "rows without settings of the template of their own")


def _check_answers(messages: Sequence[Mapping[str, Any]], where: str) -> None:
    answers = [(number, turn) for number, turn in enumerate(messages) if turn["role"] == "assistant"]
    if not any(turn.get("tool_calls") or turn["content"].strip() for _, turn in answers):
        raise BadSource(
            field=where, got="a conversation without an assistant turn", expected="at least one turn of the assistant"
        )
    for number, turn in answers:
        if not turn.get("tool_calls") and not _THOUGHT.sub("", turn["content"]).strip():
            got = f"an answer that says nothing ({short(turn['content'])})"
            expected = "answers with text or tool calls: the end of an empty one would teach the model to say nothing"
            raise BadSource(f"{where}: turn {number + 1}", got, expected)


def _turns(value: Any, *, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadSource(field=where, got=short(value), expected="a list of {role, content}, not empty")
    turns = []
    for index, turn in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(turn, Mapping) or "role" not in turn:
            raise BadSource(field=place, got=short(turn), expected="an object with role and content")
        turns.append(_turn(turn, str(turn["role"]), turn.get("content"), where=place))
    return turns


def _turn(turn: Mapping[str, Any], role: str, content: Any, *, where: str, value: str = "content") -> dict[str, Any]:
    """One message with what it carries beside its role and content. `value`: what the row calls the content."""
    role = "tool" if role == "function" else role
    if role not in ROLES:
        raise BadSource(field=f"{where}.role", got=cut(turn.get("role")), expected=", ".join(ROLES))
    calls = read_calls(turn, where=where)
    if calls and role != "assistant":
        raise BadSource(f"{where}.tool_calls", f"tool calls of the role {role}", "tool calls of the assistant only")
    if content is None and not calls:
        got = short(turn) if value not in turn else "None"
        raise BadSource(f"{where}.{value}" if value in turn else where, got, f"an object with {value} that is text")
    made: dict[str, Any] = {"role": role, "content": "" if content is None else _content(content, f"{where}.{value}")}
    for key in _KEPT_TEXTS:
        if turn.get(key) is None or turn[key] == "":
            continue
        if not isinstance(turn[key], str):
            raise BadSource(f"{where}.{key}", short(turn[key]), "text")
        made[key] = turn[key]
    if calls:
        made["tool_calls"] = calls
    for key in _MEDIA:
        if turn.get(key):
            raise BadSource(f"{where}.{key}", short(turn[key]), "messages of text only")
    for key in _UNTRAINED:
        if role == "assistant" and isinstance(turn.get(key), bool | int | float) and turn[key] != 1:
            expected = "1 or nothing: every answer of a conversation is trained on"
            raise BadSource(f"{where}.{key}", short(turn[key]), expected)
    return made


def _content(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or not value:
        raise BadSource(field=where, got=short(value), expected="text, or a list of {type: text, text}")
    for index, part in enumerate(value):
        if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
            continue
        kind = part.get("type") if isinstance(part, Mapping) else None
        got = f"a part of type {short(kind)}" if kind is not None else short(part)
        raise BadSource(f"{where}[{index}]", got, "text, or a list of {type: text, text}")
    return "".join(part["text"] for part in value)


def _as_turns(value: Any, role: str, *, where: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": value}] if isinstance(value, str) else _turns(value, where=where)


def _system(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    system = row.get("system")
    if system is not None and not isinstance(system, str):
        raise BadSource(f"{where}: system", short(system), "text")
    return [{"role": "system", "content": system}] if system and system.strip() else []


def _sharegpt(value: Any, *, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadSource(field=where, got=short(value), expected="a list of {from, value}, not empty")
    turns: list[dict[str, Any]] = []
    for index, turn in enumerate(value):
        place = f"{where}[{index}]"
        if isinstance(turn, Mapping) and turn.get("from") is None and turn.get("role") is not None:
            turns.append(_turn(turn, str(turn["role"]), turn.get("content"), where=place))
            continue
        if not isinstance(turn, Mapping) or turn.get("from") is None or "value" not in turn:
            raise BadSource(field=place, got=short(turn), expected="an object with from and value")
        if turn["from"] not in _SHAREGPT_ROLES:
            raise BadSource(field=f"{place}.from", got=cut(turn["from"]), expected=", ".join(_SHAREGPT_ROLES))
        if turn["from"] == "function_call":
            calls = read_sharegpt_call(turn["value"], where=f"{place}.value")
            turns.append({"role": "assistant", "content": "", "tool_calls": calls})
            continue
        turns.append(_turn(turn, _SHAREGPT_ROLES[turn["from"]], turn["value"], where=place, value="value"))
    return turns


def _alpaca(row: Mapping[str, Any], *, where: str) -> list[dict[str, Any]]:
    for name in ("instruction", "output", "input"):
        if not isinstance(row.get(name), str) and (name != "input" or row.get(name) is not None):
            raise BadSource(field=f"{where}: {name}", got=short(row[name]), expected="text")
    turns: list[dict[str, Any]] = []
    for index, pair in enumerate(row.get("history") or ()):
        fits = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
        if not fits or not all(isinstance(side, str) for side in pair):
            raise BadSource(field=f"{where}: history[{index}]", got=short(pair), expected="[question, answer], texts")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    given = row.get("input")
    question = f"{row['instruction']}\n\n{given}" if given and given.strip() else row["instruction"]
    return [*turns, {"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}]
