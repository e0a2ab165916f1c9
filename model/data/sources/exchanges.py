"""`sample://exchanges?domain=code|math|science`: short questions of one domain, each with its one right answer.

What a fine-tuning teaches should be seen, and counted: a model of a few hundred thousand weights cannot hold a
conversation, but it can learn to answer questions of one kind, in the words of its earlier stages, and whether an
answer is right is a comparison of two texts.

    code      Write a function get that adds size and width.
              def get(size, width):
                  return size + width
    math      What is 14 + 45?
              14 + 45 = 59
    science   What is the sign for gold, and what does the heart do?
              The sign for gold is Au, and the heart pumps blood through the body.

What is asked for is held out as a whole (`Document.group`): two names and what is done with them, two numbers, two
facts. No other wording of it, nor the two in the other order, stands on the other side of the split, so that a right
answer to a held-out question was put together and not remembered.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from model.data.sources.generated import GeneratedSource
from model.data.sources.science_texts import ELEMENTS, ORGANS, PLANETS, ROCKS
from model.document import Document, content_origin
from model.errors import BadSource

# Common words of technical English: one token each in the vocabulary that the demo trains on such text.
_NOUNS = (
    "value",
    "name",
    "file",
    "path",
    "data",
    "list",
    "key",
    "size",
    "type",
    "object",
    "string",
    "text",
    "time",
    "code",
    "line",
    "width",
    "end",
    "base",
)
_VERBS = ("get", "set", "add", "read", "open", "test", "make", "check", "call", "run", "find", "write")
_OPERATIONS = (  # what is asked for, what the function returns
    ("adds {a} and {b}", "{a} + {b}"),
    ("compares {a} with {b}", "{a} == {b}"),
    ("looks for {a} in {b}", "{a} in {b}"),
    ("calls {a} with {b}", "{a}({b})"),
    ("returns item {a} of {b}", "{b}[{a}]"),
)
_FACTS = (  # question, answer: both can stand at the beginning of a sentence and in its midst
    *((f"what is the sign for {name}", f"the sign for {name} is {sign}") for name, sign, *_ in ELEMENTS),
    *((f"what is {name} known for", f"{name} is known for {known}") for name, _, _, known in PLANETS),
    *((f"what does the {organ} do", f"the {organ} {plain}") for organ, plain, _ in ORGANS),
    *((f"how does {rock} form", f"{rock} forms when {plain}") for rock, _, plain, _ in ROCKS),
)
Exchange = tuple[str, str, str]  # question, answer, what is held out together


def _code(r: random.Random) -> Exchange:
    (a, b), name = r.sample(_NOUNS, 2), r.choice(_VERBS)
    asked, returned = r.choice(_OPERATIONS)
    form = r.choice(("Write a function {} that {}.", "Define {}: a function that {}."))
    question = form.format(name, asked.format(a=a, b=b))
    answer = f"def {name}({a}, {b}):\n    return {returned.format(a=a, b=b)}"
    return question, answer, f"{asked} {sorted((a, b))}"


def _math(r: random.Random) -> Exchange:
    """Sums of two numbers of two digits in which nothing is carried."""
    tens, ones = r.randint(2, 9), r.randint(0, 9)
    a_tens, a_ones = r.randint(1, tens - 1), r.randint(0, ones)
    a, b = 10 * a_tens + a_ones, 10 * (tens - a_tens) + ones - a_ones
    form = r.choice(("What is {} + {}?", "Add {} and {}."))
    return form.format(a, b), f"{a} + {b} = {a + b}", f"sum {sorted((a, b))}"


def _science(r: random.Random) -> Exchange:
    (first, said_first), (second, said_second) = r.sample(_FACTS, 2)
    question = f"{_capital(first)}, and {second}?"
    return question, f"{_capital(said_first)}, and {said_second}.", f"facts {sorted((first, second))}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


_DOMAINS: Mapping[str, Callable[[random.Random], Exchange]] = {"code": _code, "math": _math, "science": _science}


class ExchangesSource(GeneratedSource):
    """Conversations of one question and one answer each."""

    kind = "chat"

    def __init__(self, *, uri: str = "sample://exchanges", options: Mapping[str, Any] | None = None) -> None:
        super().__init__(uri, options, {"domain": "code"})
        domain = self.options["domain"]
        if domain not in _DOMAINS:
            raise BadSource(field=f"{uri}: domain", got=domain, expected=", ".join(_DOMAINS))
        self._make = _DOMAINS[domain]

    def document(self, rng: random.Random) -> Document:
        """One exchange."""
        question, answer, asked = self._make(rng)
        messages = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
        return Document(messages=messages, origin=content_origin(messages, "exchange"), group=f"exchange: {asked}")
