"""Conversations as text: a chat template is rendered, and the assistant's own words in it are marked.

A chat template is a Jinja program that comes with a tokenizer and turns messages into the text that the model reads.
Fine-tuning puts the loss only on what the assistant says (the model shall learn to answer, not to ask), so each
character must be known as the assistant's or not. Two ways:

- the template marks it with `{% generation %} ... {% endgeneration %}` (the convention of `transformers`);
- it does not: then the conversation is rendered turn by turn, and what an assistant turn adds is the assistant's. That
  works whenever a template only appends; one that rewrites earlier turns is refused.

Templates are foreign programs: they run in Jinja's immutable sandbox. Contents are foreign too: a user who writes
`<|assistant|>` must not open a turn of the assistant. While rendering, the first character of every special token
inside a message is exchanged for a private one, so that a special token in the rendered text is the template's own.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import UndefinedError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from model.errors import BadConfig, BadSource

Message = Mapping[str, Any]

# Private-use characters; a message that holds one of ours is refused rather than misread.
_SPAN_START, _SPAN_END, _FIRST_GUARD = "\uf8d0", "\uf8d1", 0xF8D2
_PRIVATE = re.compile("[\uf8d0-\uf8ef]")


@dataclass(frozen=True)
class RenderedChat:
    """text: what the model reads, with guarded characters where `guards` maps them back; spans: half-open character
    ranges said by the assistant; guards: private character -> the character it stands for (empty: nothing guarded)."""

    text: str
    spans: tuple[tuple[int, int], ...]
    guards: Mapping[str, str]


class _GenerationMark(Extension):
    """`{% generation %}`: puts private marks around what it encloses."""

    tags = {"generation"}  # noqa: RUF012  (the base class declares a set)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark", [])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    @staticmethod
    def _mark(caller: Macro) -> str:
        return _SPAN_START + caller() + _SPAN_END


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


@lru_cache(maxsize=16)
def _compiled(template: str) -> Callable[..., str]:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationMark, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    try:
        return environment.from_string(template).render
    except TemplateError as error:
        raise BadConfig("chat_template", f"a Jinja template that does not compile ({error})", "valid Jinja") from error


def has_generation_marks(template: str) -> bool:
    """Whether the template marks the assistant's words itself."""
    return re.search(r"\{%-?\s*generation\s*-?%\}", template) is not None


def render_chat(
    template: str,
    messages: Sequence[Message],
    special_tokens: Mapping[str, str],
    *,
    all_special: Sequence[str],
    add_generation_prompt: bool = False,
    spans: bool = True,
) -> RenderedChat:
    """Render a conversation.

    special_tokens: what the template may name, such as bos_token; all_special: every special token of the tokenizer;
    spans: find out what the assistant said (False for a prompt). Raises BadSource for a conversation that the template
    refuses or that has no assistant turn although spans are asked for.
    """
    _check(messages, assistant_needed=spans)
    guards = {first: chr(_FIRST_GUARD + n) for n, first in enumerate(sorted({token[0] for token in all_special}))}
    safe = [_guard(message, all_special, guards) for message in messages]
    render = _compiled(template)

    def text_of(count: int, prompt: bool) -> str:
        try:
            return render(messages=safe[:count], add_generation_prompt=prompt, **special_tokens)
        except (TemplateError, UndefinedError, TypeError, KeyError) as error:
            raise BadSource("messages", str(error), "a conversation that the chat template accepts") from error

    used = {guard: first for first, guard in guards.items()} if safe != list(messages) else {}
    if not spans:
        return RenderedChat(_strip_marks(text_of(len(safe), add_generation_prompt))[0], (), used)
    if has_generation_marks(template):
        text, found = _strip_marks(text_of(len(safe), add_generation_prompt))
    else:
        text, found = _spans_by_turn(safe, text_of, all_special)
    return RenderedChat(text, found, used)


def _check(messages: Sequence[Message], *, assistant_needed: bool) -> None:
    if not messages:
        raise BadSource("messages", "an empty conversation", "at least one message")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise BadSource(f"messages[{number}].role", message, "a message with a role that is text")
        if not isinstance(message.get("content"), str):
            came = type(message.get("content")).__name__
            raise BadSource(f"messages[{number}].content", came, "text")
    if assistant_needed and not any(message["role"] == "assistant" for message in messages):
        roles = ", ".join(message["role"] for message in messages)
        raise BadSource("messages", f"only turns of {roles}", "a conversation with at least one assistant turn")


def _guard(value: Any, all_special: Sequence[str], guards: Mapping[str, str]) -> Any:
    """The same value with every special token in its texts broken by a guard; equal to it when there was none."""
    if isinstance(value, str):
        if _PRIVATE.search(value):
            raise BadSource("messages", "private-use characters U+F8D0 to U+F8EF", "text without them")
        while any(token in value for token in all_special):
            for token in all_special:
                value = value.replace(token, guards[token[0]] + token[1:])
        return value
    if isinstance(value, Mapping):
        return {key: _guard(item, all_special, guards) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_guard(item, all_special, guards) for item in value]
    return value


def _strip_marks(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Text without the marks, and the spans that they enclosed."""
    pieces: list[str] = []
    starts: list[int] = []
    spans: list[tuple[int, int]] = []
    length = 0
    for piece in re.split(f"([{_SPAN_START}{_SPAN_END}])", marked):
        if piece == _SPAN_START:
            starts.append(length)
        elif piece == _SPAN_END:
            start = starts.pop()
            if length > start:
                spans.append((start, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), tuple(spans)


def _spans_by_turn(
    messages: Sequence[Message], text_of: Callable[[int, bool], str], all_special: Sequence[str]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Spans of a template without marks: what each assistant turn adds behind its generation prompt, up to the last
    special token when only white space follows it (ChatML's newline after <|im_end|> is never generated)."""
    whole = text_of(len(messages), False)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = text_of(number, True), text_of(number + 1, False)
        if not (after.startswith(before) and whole.startswith(after)):
            raise BadConfig(
                "chat_template",
                "no {% generation %} marks, and earlier turns are rewritten by later ones",
                "a template with {% generation %} marks around the assistant's words, or one that only appends",
            )
        end = len(after)
        stripped = after.rstrip()
        if len(stripped) > len(before) and any(stripped.endswith(token) for token in all_special):
            end = len(stripped)
        spans.append((len(before), end))
    return whole, tuple(spans)
