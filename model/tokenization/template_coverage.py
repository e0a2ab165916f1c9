"""Whether a chat template shows a conversation whole: nothing that a person brings along is left out in silence.

Templates ignore what they do not know: a name, a tool call, the text beside a call, a turn of a role they never heard
of. So every part of a conversation gets a private mark, it is rendered once more, and a part whose mark does not come
out is looked at alone: when changing it changes nothing, the template leaves it out and the conversation is refused.

Three things may be left out, and are told as notes:
- the reasoning of earlier answers, where the template shows it as long as the answer is the last one;
- `id` and `type` of a call;
- `tool_call_id` and `name` of a result, where they only repeat what the order of calls and results says.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.errors import BadSource
from model.tokenization.jinja_sandbox import TemplateFault
from model.tokenization.tool_calls import check_results, short

Messages = list[dict[str, Any]]
Render = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], str]
_REASONING = ("reasoning_content", "reasoning", "thinking")
_THOUGHT_ENDS = "</think>"
_DEFINED = "a conversation that the model's chat template shows whole; or a template that shows it"


@dataclass(frozen=True)
class _Part:
    """One part of a conversation. put: writes the mark into it; turn: its message, -1 for a tool."""

    path: str
    got: str
    turn: int
    put: Callable[[Messages, Messages, str], None]
    kind: str = ""


def check_whole(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], render: Render, marks: Sequence[str]
) -> tuple[str, ...]:
    """Notes on what the template leaves out by its own rules. Raises BadSource for anything else that it leaves out, or
    shows as somebody else's. render: (messages, tools) -> text, or TemplateFault; marks: unused characters."""
    plain = render(messages, tools)
    _check_roles(messages, tools, render, plain)
    repeats = check_results(messages)
    notes: dict[str, None] = {}
    for part in _left_out(messages, tools, render, plain, marks):
        if part.kind == "reasoning" and _shown_as_last(part, messages, tools, render, marks[0]):
            notes["the chat template leaves out the reasoning of earlier answers"] = None
        elif part.kind == "call id" or part.kind in repeats.get(part.turn, ()):
            name = "id" if part.kind == "call id" else part.kind
            notes[f"the chat template does not write {name} of calls and results; their order says the same"] = None
        else:
            raise BadSource(part.path, f"{part.got}, which the chat template leaves out", _DEFINED)
    return tuple(notes)


def _left_out(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    render: Render,
    plain: str,
    marks: Sequence[str],
) -> Iterator[_Part]:
    parts = list(_parts(messages, tools))
    for low in range(0, len(parts), len(marks)):
        some = parts[low : low + len(marks)]
        marked = _marked(messages, tools, list(zip(some, marks, strict=False)), render)
        for part, mark in zip(some, marks, strict=False):
            if marked is not None and (mark in marked or json.dumps(mark)[1:-1] in marked):
                continue
            # A fault or another text shows that the template looks at it.
            if _marked(messages, tools, [(part, mark)], render) == plain:
                yield part


def _marked(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    parts: Sequence[tuple[_Part, str]],
    render: Render,
) -> str | None:
    changed, offered = copy.deepcopy(list(messages)), copy.deepcopy(list(tools))
    for part, mark in parts:
        part.put(changed, offered, mark)  # type: ignore[arg-type]
    try:
        return render(changed, offered)
    except TemplateFault:
        return None


def _shown_as_last(
    part: _Part,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    render: Render,
    mark: str,
) -> bool:
    if part.turn == len(messages) - 1:
        return False
    until = messages[: part.turn + 1]
    marked = _marked(until, tools, [(part, mark)], render)
    return marked is not None and mark in marked


def _check_roles(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], render: Render, plain: str
) -> None:
    """A template that knows only "user" and "else" would make a tool's result the assistant's own words."""
    for role, others in (("tool", ("assistant", "user")), ("system", ("assistant",)), ("developer", ("assistant",))):
        turns = [number for number, message in enumerate(messages) if message["role"] == role]
        for other in others if turns else ():
            as_other = [
                {**message, "role": other if message["role"] == role else message["role"]} for message in messages
            ]
            try:
                same = render(as_other, tools) == plain
            except TemplateFault:
                same = False
            if same:
                got = f"a turn of the role {role}, which the chat template writes as one of the {other}"
                raise BadSource(f"messages[{turns[0]}].role", got, "roles that the model's chat template knows")


def _parts(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Iterator[_Part]:
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        if message["content"].strip():
            beside = " beside tool calls" if message.get("tool_calls") else ""
            got = f"text{beside} ({short(message['content'])})"
            yield _Part(f"{path}.content", got, number, _append(number, "content"))
            if (
                message["role"] == "assistant"
                and message["content"].partition(_THOUGHT_ENDS)[0].strip()
                and (_THOUGHT_ENDS in message["content"])
            ):
                got = f"reasoning in <think> ({short(message['content'])})"
                yield _Part(f"{path}.content", got, number, _think(number), kind="reasoning")
        reasoning = [key for key in _REASONING if message.get(key)]
        if reasoning:
            got = short(message[reasoning[0]])
            put = _append_all(number, reasoning)
            yield _Part(f"{path}.{reasoning[0]}", got, number, put, kind="reasoning")
        for key in ("name", "tool_call_id"):
            if message.get(key):
                yield _Part(f"{path}.{key}", short(message[key]), number, _last(number, key), kind=key)
        for index, call in enumerate(message.get("tool_calls") or ()):
            yield from _call_parts(f"{path}.tool_calls[{index}]", number, index, call)
    for index, tool in enumerate(tools):
        yield from _tool_parts(f"tools[{index}]", index, tool)


def _call_parts(path: str, number: int, index: int, call: Mapping[str, Any]) -> Iterator[_Part]:
    def function(messages: Messages) -> dict[str, Any]:
        found = messages[number]["tool_calls"][index]
        result: dict[str, Any] = found.get("function", found)
        return result

    def name(messages: Messages, tools: Messages, mark: str) -> None:
        function(messages)["name"] += mark

    def arguments(messages: Messages, tools: Messages, mark: str) -> None:
        given = function(messages)["arguments"]
        function(messages)["arguments"] = {**given, mark: mark} if isinstance(given, dict) else given + mark

    def call_id(messages: Messages, tools: Messages, mark: str) -> None:
        found = messages[number]["tool_calls"][index]
        found["id"] = str(found["id"])[:-1] + mark

    inner = call.get("function", call)
    yield _Part(f"{path}.function.name", f"a call of {short(inner['name'])}", number, name)
    if inner.get("arguments"):
        got = f"arguments {short(inner['arguments'])}"
        yield _Part(f"{path}.function.arguments", got, number, arguments)
    if call.get("id"):
        yield _Part(f"{path}.id", short(call["id"]), number, call_id, kind="call id")


def _tool_parts(path: str, index: int, tool: Mapping[str, Any]) -> Iterator[_Part]:
    def inner(tools: Messages) -> dict[str, Any]:
        function = tools[index].get("function")
        return function if isinstance(function, dict) else tools[index]

    def text(key: str) -> Callable[[Messages, Messages, str], None]:
        def put(messages: Messages, tools: Messages, mark: str) -> None:
            inner(tools)[key] += mark

        return put

    def parameters(messages: Messages, tools: Messages, mark: str) -> None:
        inner(tools)["parameters"]["properties"][mark] = {"type": "string", "description": mark}

    own = tool["function"] if isinstance(tool.get("function"), Mapping) else tool
    texts = [key for key in ("name", "description") if isinstance(own.get(key), str) and own[key]]
    for key in texts:
        yield _Part(f"{path}.{key}", f"the {key} of a tool ({short(own[key])})", -1, text(key))
    schema = own.get("parameters")
    if isinstance(schema, Mapping) and isinstance(schema.get("properties"), Mapping) and schema["properties"]:
        yield _Part(f"{path}.parameters", f"parameters ({short(schema['properties'])})", -1, parameters)


def _append(number: int, key: str) -> Callable[[Messages, Messages, str], None]:
    return _append_all(number, [key])


def _append_all(number: int, keys: Sequence[str]) -> Callable[[Messages, Messages, str], None]:
    def put(messages: Messages, tools: Messages, mark: str) -> None:
        for key in keys:
            messages[number][key] += mark

    return put


def _last(number: int, key: str) -> Callable[[Messages, Messages, str], None]:
    """In place of the last character: some templates ask for ids of a certain length."""

    def put(messages: Messages, tools: Messages, mark: str) -> None:
        messages[number][key] = messages[number][key][:-1] + mark

    return put


def _think(number: int) -> Callable[[Messages, Messages, str], None]:
    def put(messages: Messages, tools: Messages, mark: str) -> None:
        content = messages[number]["content"]
        messages[number]["content"] = content.replace(_THOUGHT_ENDS, mark + _THOUGHT_ENDS, 1)

    return put
