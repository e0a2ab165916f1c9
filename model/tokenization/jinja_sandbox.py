"""Chat templates run: Jinja as `transformers` sets it up, in its immutable sandbox.

A chat template is a foreign program. It sees plain data only, and whatever it raises comes out as one error. The same
filters and functions are there as in transformers (`tojson`, `raise_exception`, `strftime_now`), so that the same
template gives the same text; `{% generation %}` blocks are enclosed by two private characters instead of being counted.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from model.errors import BadConfig


class TemplateFault(Exception):
    """What a template raised while it ran, as text."""


@lru_cache(maxsize=32)
def renderer(template: str, start: str, end: str) -> Callable[..., str]:
    """A function that renders the template; `start` and `end` are put around what `{% generation %}` encloses.

    Raises BadConfig for a template that does not compile; the function raises TemplateFault.
    """

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012  (the base class declares a set)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            call = self.call_method("_mark", [])
            return nodes.CallBlock(call, [], [], body).set_lineno(line)

        @staticmethod
        def _mark(caller: Macro) -> str:
            return start + caller() + end

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    try:
        compiled = environment.from_string(template)
    except (TemplateError, RecursionError) as error:
        raise BadConfig("chat_template", f"a Jinja template that does not compile ({error})", "valid Jinja") from error

    def render(**values: Any) -> str:
        try:
            return compiled.render(**values)
        except Exception as error:  # a foreign program may raise anything
            raise TemplateFault(str(error) or type(error).__name__) from error

    return render


@lru_cache(maxsize=32)
def names_in(template: str) -> frozenset[str]:
    """The names that a template takes from outside, such as `messages` and `eos_token`."""
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    without_marks = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    try:
        return frozenset(meta.find_undeclared_variables(environment.parse(without_marks)))
    except (TemplateError, RecursionError):
        return frozenset()  # `renderer` says why


def has_generation_marks(template: str) -> bool:
    """Whether the template marks the assistant's words itself."""
    return re.search(r"\{%-?\s*generation\s*-?%\}", template) is not None


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
