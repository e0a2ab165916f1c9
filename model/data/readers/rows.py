"""Rows with named fields (jsonl, parquet, Hugging Face data sets) turned into documents.

The form of a row is recognised by its fields; the first line of this table that fits decides. `fields` (names to join
with a blank line) or `template` ("Q: {question}\\nA: {answer}") say it explicitly for any other text,
`chat_fields` for conversations in columns of other names: `{"messages": "turns"}`, or `{"prompt": "question",
"completion": "answer"}`.

| form | fields | document | difficulty |
|---|---|---|---|
| chat | messages / conversations / prompt + completion / instruction + output | the conversation | |
| GSM8K | question, answer | question, answer on the next line | number of `<<...>>` calculations, 5 and more is 5 |
| hendrycks/MATH | problem, solution (level, type) | problem, solution on the next line | level |
| MBPP | text, code | text, code on the next line | syntax tree of the code |
| SciTLDR | source, a list of sentences (target, title) | the sentences joined by spaces | readability |
| github-code | code (language) | the code | syntax tree, or text structure |
| RedPajama v2 | raw_content | the text | |
| any | text | the text | the field `difficulty`, if there is one |

A field of the row named by the option `difficulty_field` is taken as the difficulty (1..5) of any form.

A field that is null is not there: tables that hold texts and conversations side by side fill the others with nulls.
What is not text is not made text: NaN, infinity, true and false are refused by row and field, and so is half a
surrogate pair, which no tokenizer can take. Bytes that are UTF-8 are text (parquet files often do not say so).
"""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from model.data.content import content_key
from model.data.difficulty import code_difficulty, gsm8k_calculations, math_level, readability_difficulty
from model.data.readers.lines import cut_text
from model.document import Document, content_origin
from model.errors import BadSource, RetainModelError
from model.tokenization.conversation_formats import BESIDE, Messages, is_chat, normalise, tools_of

ROW_OPTIONS: dict[str, Any] = {
    "fields": None,
    "template": None,
    "chat_fields": None,
    "difficulty_field": None,
    "origin_field": None,
    "difficulty": True,
}
LONGEST_CHARACTERS = 1 << 20
MOST_CHAT_CHARACTERS = 4 << 20
_NUMBER = re.compile(r"\s*-?[0-9]+(\.[0-9]+)?\s*")
_META_FIELDS = ("language", "lang", "field", "domain", "subject", "type", "category", "title", "paper_id", "task_id")


def document_of(row: Any, where: str, options: Mapping[str, Any]) -> Document:
    """The same as `row_document`, where whatever else a row may raise is a fault of that row as well."""
    try:
        return row_document(row, where=where, options=options)
    except RetainModelError as error:
        if isinstance(error, BadSource):
            raise
        raise BadSource(f"{where}: {error.field}", error.got, error.expected) from error
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        got = f"a row that breaks the reader ({type(error).__name__}: {error})"
        raise BadSource(field=where, got=got, expected="a row of one of the known forms") from error


def bearable(document: Document, where: str, cut: dict[str, int]) -> Iterator[Document]:
    """The document, or one of more than LONGEST_CHARACTERS as several of one group, noted in `cut` by place."""
    if document.text is None or len(document.text) <= LONGEST_CHARACTERS:
        yield document
        return
    pieces = [piece for piece in cut_text(document.text, LONGEST_CHARACTERS) if piece.strip()]
    cut[where] = len(pieces)
    group = document.group or f"content:{content_key(document)}"
    for number, piece in enumerate(pieces):
        yield replace(document, text=piece, group=group, meta={**document.meta, "piece": number})


def notes_of_cuts(uri: str, cut: Mapping[str, int]) -> tuple[str, ...]:
    """One line for each of the first texts that were cut, and one that counts the others."""
    said = f"a text of more than {LONGEST_CHARACTERS:,} characters is read as"
    named = tuple(f"{place}: {said} {count:,} documents" for place, count in list(cut.items())[:3])
    return (*named, f"{uri}: {len(cut) - 3:,} more texts that long") if len(cut) > 3 else named


def row_document(row: Any, *, where: str, options: Mapping[str, Any]) -> Document:
    """The document of one row. `where` names it ("data.jsonl:17"). Raises BadSource that says what is there."""
    if not isinstance(row, Mapping):
        raise BadSource(field=where, got=f"a {type(row).__name__}", expected="an object with named fields")
    given, row = row, {name: _decoded(value) for name, value in row.items() if value is not None}
    if not row:
        raise BadSource(field=where, got=f"nulls only, in {_names(given)}", expected="a row with a text or messages")
    named_by = options.get("origin_field")
    group = f"field:{_needed(row, named_by, where, given)}" if named_by else None
    origin = group or content_origin(dict(row))
    meta = {name: row[name] for name in _META_FIELDS if isinstance(row.get(name), str | int)} | {"row": where}
    wanted = bool(options.get("difficulty", True))
    explicit = options.get("fields") or options.get("template")
    named = options.get("chat_fields")
    if named or (explicit is None and is_chat(row)):
        messages = _named_chat(row, where, named, given) if named else normalise(row, where=where)
        tools = tools_of(row, where=where)
        _check_turns(messages, tools, where)
        stated = _stated(row, where, options, given)
        return Document(messages=messages, tools=tools, origin=origin, group=group, difficulty=stated, meta=meta)
    if explicit is not None:
        text, difficulty = _explicit(row, where, options, given), None
    else:
        text, difficulty = _recognised(row, where, wanted, given)
    if not text.strip():
        raise BadSource(field=where, got="an empty text", expected="text")
    stated = _stated(row, where, options, given)
    return Document(
        text=text, origin=origin, group=group, difficulty=difficulty if stated is None else stated, meta=meta
    )


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value


def _names(row: Mapping[str, Any]) -> str:
    """The fields of a row for a message, however many there are; nulls apart."""
    there = sorted(str(name) for name, value in row.items() if value is not None)
    nulls = sorted(str(name) for name, value in row.items() if value is None)
    text = str(there) if len(there) <= 30 else f"{str(there[:30])[:-1]}, and {len(there) - 30:,} more]"
    return text + (f" (null: {', '.join(nulls[:10])}{', ...' if len(nulls) > 10 else ''})" if nulls else "")


def _check_turns(messages: Messages, tools: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raises BadSource for a turn that no tokenizer can take, or a conversation that no memory should hold."""
    size = 0
    parts = {f"turn {number}: {name}": value for number, turn in enumerate(messages) for name, value in turn.items()}
    parts |= {f"tools[{number}]": tool for number, tool in enumerate(tools)}
    for name, value in parts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        check_unicode(text, f"{where}: {name}")
        size += len(text)
    if size > MOST_CHAT_CHARACTERS:
        expected = f"up to {MOST_CHAT_CHARACTERS:,}: no context holds more"
        raise BadSource(field=where, got=f"a conversation of {size:,} characters", expected=expected)


def check_unicode(text: str, where: str) -> None:
    """Raises BadSource for half a surrogate pair, which JSON can write and UTF-8 cannot."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        got = f"half a surrogate pair, U+{ord(text[error.start]):04X}, at character {error.start}"
        raise BadSource(field=where, got=got, expected="valid Unicode") from None


def _named_chat(row: Mapping[str, Any], where: str, names: Mapping[str, str], given: Mapping[str, Any]) -> Messages:
    """The conversation in the named columns. The others do not count, whatever they are called, but for
    `system`, `tools` and what no text can show (images)."""
    beside = {name: column for name, column in row.items() if name in BESIDE}
    values = {form: _needed(row, column, where, given) for form, column in names.items()}
    turns = values.get("messages")
    if isinstance(turns, Sequence) and any(isinstance(turn, Mapping) and "from" in turn for turn in turns):
        values = {"conversations": turns}
    values = beside | values
    try:
        return normalise(values, where=where)
    except BadSource as error:  # name the column as the file does
        field = error.field
        for form, column in {**names, "conversations": names.get("messages", "")}.items():
            if field.startswith(f"{where}: {form}"):
                field = f"{where}: {column}{field.removeprefix(f'{where}: {form}')}"
                break
        raise BadSource(field=field, got=error.got, expected=error.expected) from None


def _explicit(row: Mapping[str, Any], where: str, options: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    if options.get("template"):
        template = str(options["template"])
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        values = {name: _as_text(_needed(row, name, where, given), f"{where}: {name}") for name in names}
        # No str.format: a template must not reach into attributes of the values.
        pieces = []
        for literal, name, _, _ in string.Formatter().parse(template):
            pieces += [literal, values[name] if name is not None else ""]
        return "".join(pieces)
    names = [options["fields"]] if isinstance(options["fields"], str) else list(options["fields"])
    return "\n\n".join(_as_text(_needed(row, name, where, given), f"{where}: {name}") for name in names)


def _recognised(row: Mapping[str, Any], where: str, wanted: bool, given: Mapping[str, Any]) -> tuple[str, float | None]:
    def text_of(name: str) -> str:
        return _as_text(row[name], f"{where}: {name}")

    if "question" in row and "answer" in row:
        question, answer = text_of("question"), text_of("answer")
        count = gsm8k_calculations(answer) if wanted else 0
        return f"{question}\n{answer}", float(min(5, count)) if count else None
    if "problem" in row and "solution" in row:
        level = math_level(row["level"], where=where) if wanted and "level" in row else None
        return f"{text_of('problem')}\n{text_of('solution')}", level
    if "code" in row:
        code = text_of("code").replace("\r\n", "\n")
        language = str(row.get("language", "python")).lower()
        text = f"{text_of('text')}\n{code}" if "text" in row else code
        return text, code_difficulty(code, language) if wanted else None
    if "source" in row and isinstance(row["source"], Sequence) and not isinstance(row["source"], str):
        text = text_of("source")
        return text, readability_difficulty(text) if wanted else None
    for name in ("raw_content", "text"):
        if name in row:
            return text_of(name), None
    raise BadSource(
        field=where,
        got=f"a row with the fields {_names(given)}",
        expected="text, messages or another known form; or columns named by data.fields "
        "(fields, template, chat_fields)",
    )


def _needed(row: Mapping[str, Any], name: str, where: str, given: Mapping[str, Any]) -> Any:
    if name not in row:
        got = "null" if name in given else f"no field {name!r}; there are {_names(given)}"
        raise BadSource(field=f"{where}: {name}" if name in given else where, got=got, expected=f"a row with {name!r}")
    return row[name]


def _as_text(value: Any, where: str) -> str:
    value = _decoded(value)
    if isinstance(value, str):
        check_unicode(value, where)
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes) and all(isinstance(item, str) for item in value):
        text = " ".join(value)
        check_unicode(text, where)
        return text
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    got = str(value) if isinstance(value, int | float) else _kind(value)
    raise BadSource(field=where, got=got, expected="text or a list of texts")


def _kind(value: Any) -> str:
    return "bytes that are not UTF-8" if isinstance(value, bytes) else f"a {type(value).__name__}"


def _stated(row: Mapping[str, Any], where: str, options: Mapping[str, Any], given: Mapping[str, Any]) -> float | None:
    if not options.get("difficulty", True):
        return None
    name = options.get("difficulty_field")
    if name is None:
        value = row.get("difficulty")
        # A csv file has no numbers, only texts that look like them; a word is a matter of the data set's own.
        stated = isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
        return math_level(value, where=f"{where}: difficulty") if stated else None
    return math_level(_needed(row, name, where, given), where=f"{where}: {name}")
