"""Conversations as text: a chat template is rendered, and the assistant's own words in it are marked.

A chat template is a Jinja program that comes with a tokenizer and turns messages into the text that the model reads.
Fine-tuning puts the loss only on what the assistant says (the model shall learn to answer, not to ask), so each
character must be known as the assistant's or not. Two ways:

- the template marks it with `{% generation %} ... {% endgeneration %}` (the convention of `transformers`);
- it does not: then the conversation is rendered turn by turn, and what an assistant turn adds is the assistant's. That
  works whenever a template only appends; one that rewrites earlier turns is refused.

Contents are foreign: a user who writes `<|assistant|>` must not open a turn of the assistant. While rendering, the
first character of every special token inside a message is exchanged for a private one, so that a special token in the
rendered text is the template's own. The private characters are taken from a range that the conversation does not use.

`render_example` is the one way from a document to what is trained on. The check before a run, the preparation and the
evaluation sets all go through it, so that what one of them refuses, the others refuse with the same words.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.errors import BadConfig, BadSource, RetainModelError
from model.tokenization.jinja_sandbox import TemplateFault, has_generation_marks, names_in, renderer
from model.tokenization.template_coverage import check_whole
from model.tokenization.tool_calls import with_objects

if TYPE_CHECKING:
    from model.document import Document

__all__ = ["ChatFormat", "Example", "RenderedChat", "has_generation_marks", "render_chat", "render_example"]

Message = Mapping[str, Any]


class RewritesTurns(BadConfig):
    """A template without marks whose text for one turn depends on later ones: of this conversation, not of each."""


Text = Callable[[Sequence[Message], bool], str]  # (messages, with a generation prompt) -> rendered text

# Windows of private-use characters, in the last plane; the first window that a conversation does not use is taken.
_WINDOWS = tuple(range(0x10C000, 0x0FFFFF, -0x2000))
_WINDOW = 0x2000
# Keys by which templates find their way; other ones are words of the people who wrote a call or a tool.
_STRUCTURE = frozenset(
    [
        "role",
        "content",
        "name",
        "tool_call_id",
        "tool_calls",
        "reasoning_content",
        "reasoning",
        "thinking",
        "id",
        "type",
    ]
) | frozenset(["function", "arguments", "description", "parameters", "properties", "required", "items", "enum"])
_GUARDS, _MARKS = 2, 0x400  # places in a window, behind the two marks of a span; `tokenizer` has another half


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """How a tokenizer's model reads conversations.

    template        its chat template, or None: then there are no conversations
    tool_template   another one for conversations with tools, where it has one
    special_tokens  what a template may name: bos_token, eos_token ... -> the token's text
    all_special     every special token of the tokenizer, longest first
    place           where the template is, for errors
    """

    template: str | None
    tool_template: str | None = None
    special_tokens: Mapping[str, str]
    all_special: Sequence[str]
    place: str = "chat_template"


@dataclass(frozen=True)
class RenderedChat:
    """text: what the model reads, with guarded characters where `guards` maps them back; spans: half-open character
    ranges said by the assistant; guards: private character -> the character it stands for (empty: nothing guarded);
    notes: what the template leaves out by its own rules, in words."""

    text: str
    spans: tuple[tuple[int, int], ...]
    guards: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Example:
    """One conversation as it is trained on. pieces: (text, whether its tokens are targets), which joined are the whole
    text; notes: what the template leaves out by its own rules."""

    chat: RenderedChat
    pieces: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """All that the model reads."""
        return "".join(text for text, _ in self.pieces)


def render_example(form: ChatFormat, document: "Document") -> Example:
    """A conversation in the model's own chat template, with the target tokens marked.

    Raises BadSource for a conversation that the template refuses or does not show whole, BadConfig for a template that
    cannot be trained with, each with the document's row.
    """
    messages, tools = document.messages or (), document.tools
    try:
        chat = render_training(form, messages, tools)
    except RetainModelError as error:
        where = document.meta.get("row")
        of_the_template = isinstance(error, BadConfig) and not isinstance(error, RewritesTurns)
        if where is None or of_the_template:
            raise
        raise type(error)(f"{where}: {error.field}", error.got, error.expected) from error
    pieces: list[tuple[str, bool]] = []
    place = 0
    back = str.maketrans(dict(chat.guards))
    for start, end in (*chat.spans, (len(chat.text), len(chat.text))):
        for low, high, said in ((place, start, False), (start, end, True)):
            if high > low:
                pieces.append((chat.text[low:high].translate(back), said))
        place = end
    return Example(chat=chat, pieces=tuple(pieces), notes=chat.notes)


def render_training(
    form: ChatFormat, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
) -> RenderedChat:
    """A conversation to train on: rendered whole, with spans, the last of which has an end. Raises as `render_example`,
    without the row."""
    template = form.tool_template if tools and form.tool_template is not None else form.template
    if template is None:
        expected = "a tokenizer with a chat template (chat_template.jinja), for conversations"
        raise BadConfig("tokenizer.chat_template", "none", expected)
    try:
        chat = render_chat(
            template, messages, form.special_tokens, all_special=form.all_special, tools=tools, whole=True
        )
    except BadConfig as error:
        raise type(error)(_placed(error.field, form.place), error.got, error.expected) from error
    if chat.spans:
        start, end = chat.spans[-1]
        said = chat.text[start:end].rstrip()
        if not any(said.endswith(token) for token in form.all_special):
            raise _without_end(form, template, said)
    return chat


def render_chat(
    template: str,
    messages: Sequence[Message],
    special_tokens: Mapping[str, str],
    *,
    all_special: Sequence[str],
    tools: Sequence[Mapping[str, Any]] = (),
    add_generation_prompt: bool = False,
    spans: bool = True,
    whole: bool = False,
) -> RenderedChat:
    """Render a conversation.

    special_tokens: what the template may name, such as bos_token; all_special: every special token of the tokenizer;
    spans: find out what the assistant said (False for a prompt); whole: refuse a conversation of which the template
    leaves something out. Raises BadSource for a conversation that the template refuses or that has no assistant turn
    although spans are asked for, BadConfig for a template that does not compile or rewrites earlier turns.
    """
    _check(messages, assistant_needed=spans)
    window = free_window([messages, list(tools)])
    start, end = chr(window), chr(window + 1)
    names = [token for token in all_special if has_a_name(token)]
    guards = {first: chr(window + _GUARDS + n) for n, first in enumerate(sorted({token[0] for token in names}))}
    safe = [_guard(message, names, guards) for message in messages]
    safe_tools = [_guard(tool, names, guards) for tool in tools]
    run = renderer(template, start, end)

    def rendered(given: Sequence[Message], offered: Sequence[Mapping[str, Any]], prompt: bool) -> str:
        seen = [_with_reasoning(message) for message in given]
        values = {"tools": list(offered) or None, "documents": None, "add_generation_prompt": prompt}
        text = run(messages=seen, **values, **special_tokens)
        for first, guard in guards.items():  # a template may escape what is not ASCII in JSON
            text = text.replace(json.dumps(guard)[1:-1], guard if first not in '"\\' else json.dumps(first)[1:-1])
        return text

    try:
        safe = _readable_arguments(safe, lambda given: rendered(given, safe_tools, add_generation_prompt))
        if not spans:
            used = _used(guards, safe, messages, safe_tools, tools)
            return RenderedChat(
                _strip_marks(rendered(safe, safe_tools, add_generation_prompt), start, end)[0], (), used
            )
        text = rendered(safe, safe_tools, add_generation_prompt)
        if has_generation_marks(template):
            text, found = _strip_marks(text, start, end)
        else:
            text, found = _spans_by_turn(
                safe, text, lambda given, prompt: rendered(given, safe_tools, prompt), all_special
            )
        notes: tuple[str, ...] = ()
        if whole:
            marks = [chr(window + _MARKS + n) for n in range(_MARKS)]
            notes = check_whole(safe, safe_tools, lambda given, offered: rendered(given, offered, False), marks)
    except TemplateFault as error:
        raise _refused(str(error)) from error
    return RenderedChat(text, found, _used(guards, safe, messages, safe_tools, tools), notes)


def free_window(values: Any) -> int:
    """The first window of private characters that no text in the values uses. Raises BadSource when there is none."""
    used = set(re.findall("[\U00100000-\U0010ffff]", json.dumps(values, ensure_ascii=False, default=str)))
    if not used:
        return _WINDOWS[0]
    taken = {ord(character) // _WINDOW * _WINDOW for character in used}
    for window in _WINDOWS:
        if window not in taken:
            return window
    got = "private-use characters of all ranges from U+100000 to U+10FFFF"
    raise BadSource("messages", got, "text that leaves one of the ranges free")


def has_a_name(token: str) -> bool:
    """Whether a special token is a word of its own: a single character, and the byte tokens that stand for what a
    vocabulary lacks, are parts that ordinary text is made of as well."""
    return len(token) > 1 and re.fullmatch(r"<0x[0-9A-F]{2}>", token) is None


def _check(messages: Sequence[Message], *, assistant_needed: bool) -> None:
    if not messages:
        raise BadSource("messages", "an empty conversation", "at least one message")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise BadSource(f"messages[{number}].role", message, "a message with a role that is text")
        if not isinstance(message.get("content"), str):
            got = type(message.get("content")).__name__
            raise BadSource(f"messages[{number}].content", got, "text")
    if assistant_needed and not any(message["role"] == "assistant" for message in messages):
        roles = ", ".join(message["role"] for message in messages)
        raise BadSource("messages", f"only turns of {roles}", "a conversation with at least one assistant turn")


def _guard(value: Any, all_special: Sequence[str], guards: Mapping[str, str]) -> Any:
    """The same value with every special token in its texts broken by a guard; equal to it when there was none."""
    if isinstance(value, str):
        while any(token in value for token in all_special):
            for token in all_special:
                value = value.replace(token, guards[token[0]] + token[1:])
        return value
    if isinstance(value, Mapping):
        return {
            key if key in _STRUCTURE else _guard(key, all_special, guards): _guard(item, all_special, guards)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_guard(item, all_special, guards) for item in value]
    return value


def _used(guards: Mapping[str, str], *pairs: Any) -> dict[str, str]:
    """Guards by what they stand for, or nothing when no guarded value differs from its own."""
    same = list(pairs[0]) == list(pairs[1]) and list(pairs[2]) == list(pairs[3])
    return {} if same else {guard: first for first, guard in guards.items()}


def _with_reasoning(message: Message) -> dict[str, Any]:
    """The reasoning of an answer under all names that templates read it by, as transformers gives it."""
    names = ("reasoning_content", "thinking", "reasoning")
    found = next((message[name] for name in names if message.get(name) is not None), None)
    return dict(message) if found is None else {"thinking": found, **message, "reasoning_content": found}


def _readable_arguments(messages: list[Any], text_of: Callable[[Sequence[Message]], str]) -> list[Any]:
    """The messages with arguments as the template reads them. Arguments that are JSON text stay it, unless the template
    fails on them or would write them as JSON once more; then they are given as objects."""
    calls = [call.get("function", call) for message in messages for call in message.get("tool_calls") or ()]
    texts = [call["arguments"] for call in calls if isinstance(call.get("arguments"), str)]
    if not texts:
        return messages
    try:
        text = text_of(messages)
    except TemplateFault:
        return with_objects(messages)
    twice = any(
        json.dumps(own, ensure_ascii=False) in text or json.dumps(own) in text for own in texts if own.strip() != ""
    )
    return with_objects(messages) if twice else messages


def _refused(said: str) -> RetainModelError:
    """What a template raised, as an error: a token that the tokenizer lacks is the template's fault, not the row's."""
    undefined = re.fullmatch(r"'(\w+_token)' is undefined", said)
    if undefined is None:
        return BadSource("messages", said, "a conversation that the chat template accepts")
    name = undefined[1]
    return BadConfig("chat_template", f"it names {name}, which the tokenizer does not have", _remedy(name))


def _remedy(name: str) -> str:
    return f"a template for its own tokens; or set {name} in tokenizer_config.json to a token of the vocabulary"


def _without_end(form: ChatFormat, template: str, said: str) -> BadConfig:
    got = f"it ends an answer with {said[-20:]!r}, no end token among the targets: a model would not learn to stop"
    if "eos_token" in names_in(template) and "eos_token" not in form.special_tokens:
        got += "; it names eos_token, which the tokenizer does not have"
        return BadConfig(_placed("chat_template", form.place), got, _remedy("eos_token"))
    expected = "a template that writes an end token (such as eos_token) behind every answer"
    if has_generation_marks(template):
        expected += ", inside of {% generation %}"
    return BadConfig(_placed("chat_template", form.place), got, expected)


def _placed(field: str, place: str) -> str:
    """The template's own place in front of a fault of it."""
    return field if place == "chat_template" or not field.startswith("chat_template") else f"chat_template: {place}"


def _strip_marks(marked: str, first: str, last: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Text without the marks, and the spans that they enclosed."""
    pieces: list[str] = []
    starts: list[int] = []
    spans: list[tuple[int, int]] = []
    length = 0
    for piece in re.split(f"([{first}{last}])", marked):
        if piece == first:
            starts.append(length)
        elif piece == last:
            start = starts.pop()
            if length > start:
                spans.append((start, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), tuple(spans)


def _spans_by_turn(
    messages: Sequence[Message], whole: str, text_of: Text, all_special: Sequence[str]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Spans of a template without marks: what each assistant turn adds behind its generation prompt, up to the last
    special token when only white space follows it (ChatML's newline after <|im_end|> is never generated)."""
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = text_of(messages[:number], True), text_of(messages[: number + 1], False)
        if not (after.startswith(before) and whole.startswith(after)):
            raise RewritesTurns(
                "chat_template",
                f"no {{% generation %}} marks, and what it writes for turn {number + 1} changes with later turns",
                "a template with {% generation %} marks around the assistant's words, or one that only appends; "
                "or conversations of one answer",
            )
        end = len(after)
        stripped = after.rstrip()
        if len(stripped) > len(before) and any(stripped.endswith(token) for token in all_special):
            end = len(stripped)
        spans.append((len(before), end))
    return whole, tuple(spans)
