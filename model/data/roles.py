"""From what a spec says about a stage's text to the source behind each of its roles.

A role is what a text is to a run: `general`, a domain (`code`, `math`, `science`), `chat`, or a further retention set
by its name. The worker that prepares a run and the check that looks at a person's files beforehand
(`model.cli.preflight`) both open sources by these two functions, so that what passes the one passes the other:

    source = as_role(said, role, open_source(uri, options=role_options(said, role, uri)))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.data.domains import DOMAINS, create_domain_dataset
from model.data.sources.base import Source
from model.errors import BadSource

# What a spec calls the options of a domain -> what the domain's data set calls them.
_DOMAIN_OPTIONS = {
    "code": ("languages", "languages"),
    "math": ("difficulty", "difficulty_range"),
    "science": ("fields", "fields"),
}
_TEXT_FIELDS = "text, or prompt and completion; with either, or alone, difficulty"
_CHAT_FIELDS = "messages, or prompt and completion; with either, or alone, difficulty"
# What a stage's text must be. Further retention sets may be either.
_KINDS = {"general": "text", "chat": "chat", **dict.fromkeys(DOMAINS, "text")}


@dataclass(frozen=True, kw_only=True)
class StageText:
    """What a spec says about the text of one stage, as plain data.

    learned         URIs of the text that the stage is to learn; `fields` holds for these only
    fields          the spec's `data.fields`: text, prompt, completion, messages, difficulty -> the source's own name
    domain          code, math or science in a mid-training stage, else None
    domain_options  the spec's options of the domain: languages, difficulty, fields; empty ones do not count
    """

    learned: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    domain: str | None = None
    domain_options: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def role_options(said: StageText, role: str, uri: str) -> dict[str, Any]:
    """Options to open the source of a role with. Raises BadSource for fields that do not fit the role."""
    return field_options(said.fields, role, uri) if uri in said.learned else {}


def as_role(said: StageText, role: str, source: Source) -> Source:
    """The source as the role takes it: of the right kind, and as the domain's data set in a mid-training.

    Raises BadSource for conversations where text is due and the other way round, and for options that the domain does
    not know.
    """
    wanted = _KINDS.get(role)
    if wanted == "text" and source.kind != "text":
        raise BadSource(
            field=source.uri,
            got="conversations",
            expected="text (conversations are for data.chat of a FINETUNE stage; data.fields can name columns of text)",
        )
    if wanted == "chat" and source.kind != "chat":
        raise BadSource(
            field=source.uri,
            got="text without turns",
            expected="conversations: rows with messages, conversations, prompt + completion, or instruction + output "
            "(data.fields can name other columns)",
        )
    if role != said.domain:
        return source
    return create_domain_dataset(role, source=source, **domain_options(said))


def field_options(fields: Mapping[str, str], role: str, uri: str) -> dict[str, Any]:
    """Options of a source of rows from the spec's map of field names. Samples have no columns to name.

    Raises BadSource.
    """
    if not fields or uri.startswith("sample://"):
        return {}
    names = dict(fields)
    stated = {"difficulty_field": names.pop("difficulty")} if "difficulty" in names else {}
    given = set(names)
    if not given:
        return stated
    if role == "chat" and given in ({"messages"}, {"prompt", "completion"}):
        return {"chat_fields": names, **stated}
    if role != "chat" and given == {"text"}:
        return {"fields": [names["text"]], **stated}
    if role != "chat" and given == {"prompt", "completion"}:
        for name in names.values():
            if set(name) & set("{}:!"):
                raise BadSource(field="data.fields", got=name, expected="names of columns without { } : !")
        return {"template": f"{{{names['prompt']}}}\n{{{names['completion']}}}", **stated}
    got = ", ".join(f"{form}: {column}" for form, column in fields.items())
    kind = "conversations" if role == "chat" else "text"
    raise BadSource(
        field="data.fields", got=f"{got} for {kind}", expected=_CHAT_FIELDS if role == "chat" else _TEXT_FIELDS
    )


def domain_options(said: StageText) -> dict[str, Any]:
    """What the spec asks of its domain, by the names of the domain's data set."""
    if said.domain not in _DOMAIN_OPTIONS:
        return {}
    name, own_name = _DOMAIN_OPTIONS[said.domain]
    value = said.domain_options.get(name)
    return {own_name: list(value)} if value else {}
