"""Tools in conversations: what the assistant may call, what it calls, and what was returned.

The forms that data sets have are read into the one that chat templates of `transformers` read:

    tools        [{"type": "function", "function": {"name": ..., "description": ..., "parameters": {JSON schema}}}, ...]
    tool_calls   [{"id": ..., "type": "function", "function": {"name": ..., "arguments": {...} or JSON as text}}, ...]
    a result     {"role": "tool", "content": ..., "tool_call_id": ..., "name": ...}

`tools` may be a text that holds JSON (most data sets store it so), `function_call` of a message is the older form of
one call, and ShareGPT's `function_call` turn holds calls as JSON. Keys of a message or a call that are null count as
absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from model.errors import BadSource

_TOOLS = "a list of tools, each an object (a JSON schema), or JSON text of one"
_CALL = "{type: function, function: {name, arguments}} with arguments that are an object or its JSON text"


def read_tools(value: Any, *, where: str) -> tuple[dict[str, Any], ...]:
    """The tools of a row; empty for null, an empty list or an empty text. Raises BadSource."""
    if isinstance(value, str) and value.strip():
        value = _json(value, where, _TOOLS)
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadSource(where, short(value), _TOOLS)
    tools: list[dict[str, Any]] = []
    for index, given in enumerate(value):
        tool = _json(given, f"{where}[{index}]", _TOOLS) if isinstance(given, str) else given
        if not isinstance(tool, Mapping) or not tool:
            raise BadSource(f"{where}[{index}]", short(given), _TOOLS)
        tools.append(dict(tool))
    return tuple(tools)


def read_calls(turn: Mapping[str, Any], *, where: str) -> list[dict[str, Any]]:
    """The tool calls of a message, empty without any. Raises BadSource."""
    calls, older = turn.get("tool_calls"), turn.get("function_call")
    if isinstance(calls, str) and calls.strip():
        calls = _json(calls, f"{where}.tool_calls", f"a list of {_CALL}")
    if calls and older:
        raise BadSource(f"{where}.function_call", "function_call beside tool_calls", "one of the two")
    if older:
        return [{"type": "function", "function": _function(older, f"{where}.function_call")}]
    if not calls:
        return []
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise BadSource(f"{where}.tool_calls", short(calls), f"a list of {_CALL}")
    made = []
    for index, call in enumerate(calls):
        place = f"{where}.tool_calls[{index}]"
        if not isinstance(call, Mapping):
            raise BadSource(place, short(call), _CALL)
        given = {key: item for key, item in call.items() if item is not None}
        if "function" in given:
            given["function"] = _function(given["function"], f"{place}.function")
            made.append(given)
        else:  # {name, arguments} as it is: some data sets and templates do without the envelope
            made.append(given | _function(given, place))
    return made


def read_sharegpt_call(value: Any, *, where: str) -> list[dict[str, Any]]:
    """The calls in a `function_call` turn: {name, arguments} or a list of them, as JSON text or as it is.

    Raises BadSource.
    """
    if isinstance(value, str):
        value = _json(value, where, "JSON of {name, arguments}, or of a list of them")
    calls = [value] if isinstance(value, Mapping) else value
    if not isinstance(calls, Sequence) or isinstance(calls, str) or not calls:
        raise BadSource(where, short(value), "JSON of {name, arguments}, or of a list of them")
    return [
        {"type": "function", "function": _function(call, where if len(calls) == 1 else f"{where}[{index}]")}
        for index, call in enumerate(calls)
    ]


def with_objects(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the arguments of their calls as objects where they are JSON text."""

    def opened(function: Mapping[str, Any]) -> dict[str, Any]:
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            return dict(function)
        return {**function, "arguments": json.loads(arguments) if arguments.strip() else {}}

    made = []
    for message in messages:
        calls = message.get("tool_calls") or ()
        given = [
            {**call, "function": opened(call["function"])} if "function" in call else opened(call) for call in calls
        ]
        made.append({**message, "tool_calls": given} if calls else dict(message))
    return made


def check_results(messages: Sequence[Mapping[str, Any]]) -> dict[int, set[str]]:
    """Which keys of which tool turns only repeat what their order says: results follow their calls one by one.

    The key `tool_call_id` of a result says which call it answers, `name` the name of the called function. Where the
    results stand in the order of the calls, a template that does not write them leaves nothing out.
    """
    repeats: dict[int, set[str]] = {}
    open_calls: list[Mapping[str, Any]] = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            open_calls = list(message.get("tool_calls") or ())
        if message["role"] != "tool":
            continue
        call = open_calls.pop(0) if open_calls else {}
        function = call.get("function", call)
        same = {"tool_call_id": call.get("id"), "name": function.get("name")}
        repeats[number] = {key for key, said in same.items() if call and said in (None, message.get(key))}
    return repeats


def short(value: Any) -> str:
    """A value as Python writes it, cut to 80 characters."""
    return cut(repr(value))


def cut(value: Any) -> str:
    """A value as text, cut to 80 characters."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _function(value: Any, where: str) -> dict[str, Any]:
    """{name, arguments} and what else is beside them. Arguments that are text must be JSON of an object."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"]:
        raise BadSource(where, short(value), _CALL)
    made = {key: item for key, item in value.items() if item is not None}
    given = read = made.get("arguments", {})
    if isinstance(given, str):
        read = _json(given, f"{where}.arguments", _CALL) if given.strip() else {}
    if not isinstance(read, Mapping):
        raise BadSource(f"{where}.arguments", short(given), _CALL)
    return made


def _json(text: str, where: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSource(where, f"{short(text)} ({error})", expected) from None
