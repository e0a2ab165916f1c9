"""`sample://chat`: conversations whose answers are right by construction.

Small tasks with one correct answer (arithmetic, conversions, sorting, spelling, opposites), one to three turns each,
some with a system message. They teach a small model the shape of a conversation: a question comes, an answer follows
and ends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from model.data.sources.generated import GeneratedSource
from model.document import Document, content_origin

_WORDS = ("river", "window", "garden", "silver", "market", "planet", "butter", "candle", "forest", "letter", "mirror")
_OPPOSITES = (
    ("hot", "cold"),
    ("early", "late"),
    ("heavy", "light"),
    ("open", "closed"),
    ("empty", "full"),
    ("loud", "quiet"),
    ("narrow", "wide"),
    ("ancient", "modern"),
)
_UNITS = (
    ("kilometres", "metres", 1_000),
    ("hours", "minutes", 60),
    ("metres", "centimetres", 100),
    ("days", "hours", 24),
)
_SYSTEM = ("You are a helpful assistant.", "Answer briefly.", "You are a patient teacher.")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
Turn = tuple[str, str]


def _add(r: random.Random) -> Turn:
    a, b = r.randint(2, 99), r.randint(2, 99)
    ask = r.choice(("What is {} plus {}?", "Please add {} and {}.", "How much is {} + {}?"))
    return ask.format(a, b), f"{a} plus {b} is {a + b}."


def _times(r: random.Random) -> Turn:
    a, b = r.randint(2, 12), r.randint(2, 12)
    return f"What is {a} times {b}?", f"{a} times {b} is {a * b}."


def _convert(r: random.Random) -> Turn:
    (large, small, factor), count = r.choice(_UNITS), r.randint(2, 40)
    ask = r.choice((f"Convert {count} {large} to {small}.", f"How many {small} are {count} {large}?"))
    return ask, f"{count} {large} are {count * factor:,} {small}."


def _opposite(r: random.Random) -> Turn:
    pair = r.choice(_OPPOSITES)
    first, second = pair if r.random() < 0.5 else pair[::-1]
    return f'What is the opposite of "{first}"?', f'The opposite of "{first}" is "{second}".'


def _sort(r: random.Random) -> Turn:
    words = r.sample(_WORDS, r.randint(3, 5))
    return f"Sort these words by the alphabet: {', '.join(words)}.", f"{', '.join(sorted(words))}."


def _spell(r: random.Random) -> Turn:
    word = r.choice(_WORDS)
    if r.random() < 0.5:
        return f'How do you spell "{word}"?', f"{'-'.join(word.upper())}."
    return f'How many letters does "{word}" have?', f'The word "{word}" has {len(word)} letters.'


def _day(r: random.Random) -> Turn:
    start, ahead = r.randrange(7), r.randint(1, 6)
    after = _DAYS[(start + ahead) % 7]
    unit = "day" if ahead == 1 else "days"
    return f"Today is {_DAYS[start]}. Which day is it in {ahead} {unit}?", f"In {ahead} {unit} it is {after}."


_TASKS: tuple[Callable[[random.Random], Turn], ...] = (_add, _times, _convert, _opposite, _sort, _spell, _day)


class ChatSource(GeneratedSource):
    """Conversations of one to `max_turns` questions and answers."""

    kind = "chat"

    def __init__(self, *, uri: str = "sample://chat", options: Mapping[str, Any] | None = None) -> None:
        super().__init__(uri, options, {"max_turns": 3})

    def document(self, rng: random.Random) -> Document:
        """One conversation."""
        messages: list[dict[str, str]] = []
        if rng.random() < 0.3:
            messages.append({"role": "system", "content": rng.choice(_SYSTEM)})
        for _ in range(rng.randint(1, self.options["max_turns"])):
            question, answer = rng.choice(_TASKS)(rng)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return Document(messages=tuple(messages), origin=content_origin(messages, "chat"), difficulty=None)
