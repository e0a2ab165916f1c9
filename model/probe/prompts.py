"""What is asked for in a chat: an answer of a certain form, or a JSON object with certain keys.

A prompt is a task and the form that is asked for, made of the lists below; `check` names what judges the answer
(checks.py). Forms take turns, so that whatever part is asked is a mixture of all.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One item: what the user says, and the check (with its arguments) that the answer has to pass."""

    id: str
    kind: str
    text: str
    check: str
    arguments: tuple[str, ...] = ()


_THINGS = ("an animal", "a fruit", "a metal", "a river", "a colour")
_COUNTS = (
    "legs does a spider have",
    "days does a week have",
    "minutes are in an hour",
    "wheels does a bicycle have",
    "sides does a triangle have",
)
_WORDS = ("water that is frozen", "the star that we orbit", "a baby cat", "the meal at noon", "a place to sleep")
_PLURALS = ("animals", "fruits", "colours", "countries", "tools")
_QUESTIONS = ("ice cold", "the sun a planet", "a whale a fish", "bread food", "seven an even number")
_TOPICS = ("rain", "a garden", "the sea", "a long journey", "music")

# (name, what is asked with {} for the subject, subjects, check, its arguments)
_FORMS = (
    ("word", "Name {}. Answer with a single word.", _THINGS, "words", ("1",)),
    ("number", "How many {}? Answer with a number in digits and nothing else.", _COUNTS, "digits", ()),
    ("capitals", "What do you call {}? Write your answer in capital letters only.", _WORDS, "capitals", ()),
    ("hyphens", "List three {}, each on a line of its own that begins with a hyphen. Write nothing else.", _PLURALS,
     "lines", ("3", "-")),
    ("commas", "Name three {} on one line, separated by commas. Write nothing else.", _PLURALS, "commas", ("3",)),
    ("yes-no", "Is {}? Answer with yes or no and nothing else.", _QUESTIONS, "one_of", ("yes", "no")),
    ("ending", "Write one short sentence about {} and put the word END after it.", _TOPICS, "ends", ("END",)),
    ("quoted", "Give a short title for a poem about {}. Put it in double quotes and write nothing else.", _TOPICS,
     "quoted", ()),
)  # fmt: skip

_OBJECTS = ("a person", "a book", "a town", "a meal", "a bird", "a car", "a song", "a tree", "a game", "a house")
_KEYS = (("name", "age"), ("title", "year"), ("kind", "colour"), ("id", "tags"))


@cache
def prompts() -> tuple[Prompt, ...]:
    """Every item: the forms, then the JSON objects."""
    forms = [
        Prompt(id=f"format/{name}-{turn}", kind="format", text=said.format(subjects[turn]), check=check, arguments=args)
        for turn in range(len(_THINGS))
        for name, said, subjects, check, args in _FORMS
    ]
    objects = [
        Prompt(
            id=f"json/{keys[0]}-{number}",
            kind="json",
            text=f'Describe {thing} as a JSON object with the keys "{keys[0]}" and "{keys[1]}". Answer with the JSON '
            "object and nothing else.",
            check="json_keys",
            arguments=keys,
        )
        for number, thing in enumerate(_OBJECTS)
        for keys in _KEYS
    ]
    return (*forms, *objects)
