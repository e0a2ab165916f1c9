"""Conversations: the four forms that people bring along, turned into one.

| form | looks like | known from |
|---|---|---|
| messages | `{"messages": [{"role": "user", "content": "..."}, ...]}` | OpenAI, TRL, Axolotl |
| prompt + completion | `{"prompt": "...", "completion": "..."}`, each a text or a list of messages | TRL |
| ShareGPT | `{"conversations": [{"from": "human", "value": "..."}, ...]}` | FastChat, LLaMA-Factory |
| Alpaca | `{"instruction": "...", "input": "...", "output": "..."}`, optionally `system`, `history` | Stanford Alpaca |

The result is a tuple of `{"role", "content"}` with the roles system, user, assistant and tool. Training puts it into
the tokenizer's chat template (`model.chat`) and counts loss on the assistant's tokens only, so a conversation in
which the assistant says nothing teaches nothing: it is refused here, where its row can still be named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.errors import BadSource

ROLES = ("system", "user", "assistant", "tool")
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
}
Messages = tuple[dict[str, str], ...]


def is_chat(row: Mapping[str, Any]) -> bool:
    """Whether the row has the fields of one of the four forms."""
    return (
        "messages" in row
        or "conversations" in row
        or ("prompt" in row and "completion" in row)
        or ("instruction" in row and "output" in row)
    )


def normalise(row: Mapping[str, Any], *, where: str) -> Messages:
    """The conversation of a row in any of the four forms. `where` names the row in errors (BadSource)."""
    if "messages" in row:
        messages = _turns(row["messages"], where=f"{where}: messages")
    elif "conversations" in row:
        messages = _sharegpt(row, where=where)
    elif "prompt" in row and "completion" in row:
        messages = _as_turns(row["prompt"], "user", where=f"{where}: prompt")
        messages += _as_turns(row["completion"], "assistant", where=f"{where}: completion")
    elif "instruction" in row and "output" in row:
        messages = _alpaca(row, where=where)
    else:
        raise BadSource(
            field=where,
            came=f"a row with the fields {sorted(map(str, row))}",
            allowed="messages, or prompt and completion, or conversations, or instruction and output",
        )
    if not any(turn["role"] == "assistant" and turn["content"].strip() for turn in messages):
        raise BadSource(
            field=where, came="a conversation without an assistant turn", allowed="at least one turn of the assistant"
        )
    return tuple(messages)


def _turns(value: Any, *, where: str) -> list[dict[str, str]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadSource(field=where, came=_short(value), allowed="a list of {role, content}, not empty")
    turns = []
    for index, turn in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(turn, Mapping) or "role" not in turn or "content" not in turn:
            raise BadSource(field=place, came=_short(turn), allowed="an object with role and content")
        if turn["role"] not in ROLES:
            raise BadSource(field=f"{place}.role", came=turn["role"], allowed=", ".join(ROLES))
        turns.append({"role": str(turn["role"]), "content": _content(turn["content"], where=f"{place}.content")})
    return turns


def _content(value: Any, *, where: str) -> str:
    if isinstance(value, str):
        return value
    if (
        isinstance(value, Sequence)
        and value
        and all(
            isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
            for part in value
        )
    ):
        return "".join(part["text"] for part in value)
    raise BadSource(field=where, came=_short(value), allowed="text, or a list of {type: text, text}")


def _as_turns(value: Any, role: str, *, where: str) -> list[dict[str, str]]:
    return [{"role": role, "content": value}] if isinstance(value, str) else _turns(value, where=where)


def _system(row: Mapping[str, Any]) -> list[dict[str, str]]:
    system = row.get("system")
    return [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []


def _sharegpt(row: Mapping[str, Any], *, where: str) -> list[dict[str, str]]:
    value = row["conversations"]
    place = f"{where}: conversations"
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadSource(field=place, came=_short(value), allowed="a list of {from, value}, not empty")
    turns = _system(row)
    for index, turn in enumerate(value):
        if isinstance(turn, Mapping) and "role" in turn and "content" in turn:
            turns += _turns([turn], where=f"{place}[{index}]")
            continue
        if not isinstance(turn, Mapping) or "from" not in turn or "value" not in turn:
            raise BadSource(field=f"{place}[{index}]", came=_short(turn), allowed="an object with from and value")
        if turn["from"] not in _SHAREGPT_ROLES:
            raise BadSource(field=f"{place}[{index}].from", came=turn["from"], allowed=", ".join(_SHAREGPT_ROLES))
        content = _content(turn["value"], where=f"{place}[{index}].value")
        turns.append({"role": _SHAREGPT_ROLES[turn["from"]], "content": content})
    return turns


def _alpaca(row: Mapping[str, Any], *, where: str) -> list[dict[str, str]]:
    for name in ("instruction", "output"):
        if not isinstance(row[name], str):
            raise BadSource(field=f"{where}: {name}", came=_short(row[name]), allowed="text")
    turns = _system(row)
    for index, pair in enumerate(row.get("history") or ()):
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise BadSource(field=f"{where}: history[{index}]", came=_short(pair), allowed="[question, answer]")
        turns += [{"role": "user", "content": str(pair[0])}, {"role": "assistant", "content": str(pair[1])}]
    given = row.get("input")
    question = f"{row['instruction']}\n\n{given}" if isinstance(given, str) and given.strip() else row["instruction"]
    return [*turns, {"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
