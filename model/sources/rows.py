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
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from model.conversations import Messages, is_chat, normalise
from model.difficulty import code_difficulty, gsm8k_calculations, math_level, readability_difficulty
from model.document import Document, content_origin
from model.errors import BadSource

ROW_OPTIONS: dict[str, Any] = {
    "fields": None,
    "template": None,
    "chat_fields": None,
    "difficulty_field": None,
    "origin_field": None,
    "difficulty": True,
}
_META_FIELDS = ("language", "lang", "field", "domain", "subject", "type", "category", "title", "paper_id", "task_id")


def row_document(row: Any, *, where: str, options: Mapping[str, Any]) -> Document:
    """The document of one row. `where` names it ("data.jsonl:17"). Raises BadSource that says what is there."""
    if not isinstance(row, Mapping):
        raise BadSource(field=where, came=f"a {type(row).__name__}", allowed="an object with named fields")
    origin = (
        f"field:{_needed(row, options['origin_field'], where)}"
        if options.get("origin_field")
        else content_origin(dict(row))
    )
    meta = {name: row[name] for name in _META_FIELDS if isinstance(row.get(name), str | int)} | {"row": where}
    wanted = bool(options.get("difficulty", True))
    explicit = options.get("fields") or options.get("template")
    named = options.get("chat_fields")
    if named or (explicit is None and is_chat(row)):
        messages = _named_chat(row, where, named) if named else normalise(row, where=where)
        return Document(messages=messages, origin=origin, difficulty=_stated(row, where, options), meta=meta)
    if explicit is not None:
        text, difficulty = _explicit(row, where, options), None
    else:
        text, difficulty = _recognised(row, where, wanted)
    if not text.strip():
        raise BadSource(field=where, came="an empty text", allowed="text")
    stated = _stated(row, where, options)
    return Document(text=text, origin=origin, difficulty=difficulty if stated is None else stated, meta=meta)


def _named_chat(row: Mapping[str, Any], where: str, names: Mapping[str, str]) -> Messages:
    """The conversation in the named columns. The others do not count, whatever they are called, but for `system`."""
    values = {form: _needed(row, column, where) for form, column in names.items()}
    turns = values.get("messages")
    if isinstance(turns, Sequence) and any(isinstance(turn, Mapping) and "from" in turn for turn in turns):
        values = {"conversations": turns, "system": row.get("system")}
    try:
        return normalise(values, where=where)
    except BadSource as error:  # name the column as the file does
        field = error.field
        for form, column in {**names, "conversations": names.get("messages", "")}.items():
            if field.startswith(f"{where}: {form}"):
                field = f"{where}: {column}{field.removeprefix(f'{where}: {form}')}"
                break
        raise BadSource(field=field, came=error.came, allowed=error.allowed) from None


def _explicit(row: Mapping[str, Any], where: str, options: Mapping[str, Any]) -> str:
    if options.get("template"):
        template = str(options["template"])
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        values = {name: _as_text(_needed(row, name, where), f"{where}: {name}") for name in names}
        # No str.format: a template must not reach into attributes of the values.
        pieces = []
        for literal, name, _, _ in string.Formatter().parse(template):
            pieces += [literal, values[name] if name is not None else ""]
        return "".join(pieces)
    names = [options["fields"]] if isinstance(options["fields"], str) else list(options["fields"])
    return "\n\n".join(_as_text(_needed(row, name, where), f"{where}: {name}") for name in names)


def _recognised(row: Mapping[str, Any], where: str, wanted: bool) -> tuple[str, float | None]:
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
        came=f"a row with the fields {sorted(map(str, row))}",
        allowed="text, messages or another known form; or columns named by data.fields (fields, template, chat_fields)",
    )


def _needed(row: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in row:
        raise BadSource(
            field=where, came=f"no field {name!r}; there are {sorted(map(str, row))}", allowed=f"a row with {name!r}"
        )
    return row[name]


def _as_text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadSource(field=where, came=f"a {type(value).__name__}", allowed="text or a list of texts")


def _stated(row: Mapping[str, Any], where: str, options: Mapping[str, Any]) -> float | None:
    if not options.get("difficulty", True):
        return None
    name = options.get("difficulty_field")
    if name is None:
        value = row.get("difficulty")
        return math_level(value, where=f"{where}: difficulty") if isinstance(value, int | float) else None
    return math_level(_needed(row, name, where), where=f"{where}: {name}")
