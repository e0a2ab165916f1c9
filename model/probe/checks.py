"""Judges answers by code alone: whether a text has the form that was asked for. Blanks and line ends around it are no
fault; anything else is."""

import json
import re
from collections.abc import Callable, Mapping

from model.probe.prompts import Prompt

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL)


def passes(prompt: Prompt, answer: str) -> bool:
    """Whether an answer has the form that its prompt asked for. An empty answer has none."""
    said = answer.strip()
    return bool(said) and _CHECKS[prompt.check](said, prompt.arguments)


def _words(said: str, arguments: tuple[str, ...]) -> bool:
    return len(said.split()) == int(arguments[0]) and any(letter.isalpha() for letter in said)


def _digits(said: str, _: tuple[str, ...]) -> bool:
    return re.fullmatch(r"[0-9]+\.?", said) is not None


def _capitals(said: str, _: tuple[str, ...]) -> bool:
    return any(letter.isalpha() for letter in said) and said == said.upper()


def _lines(said: str, arguments: tuple[str, ...]) -> bool:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    begins = arguments[1]
    return len(lines) == int(arguments[0]) and all(
        line.startswith(begins) and line.removeprefix(begins).strip() for line in lines
    )


def _commas(said: str, arguments: tuple[str, ...]) -> bool:
    parts = said.rstrip(".").split(",")
    return "\n" not in said and len(parts) == int(arguments[0]) and all(part.strip() for part in parts)


def _one_of(said: str, arguments: tuple[str, ...]) -> bool:
    return said.rstrip(".").lower() in arguments


def _ends(said: str, arguments: tuple[str, ...]) -> bool:
    before = said.rstrip(".").removesuffix(arguments[0])
    return said.rstrip(".").endswith(arguments[0]) and bool(before.strip()) and before[-1:].isspace()


def _quoted(said: str, _: tuple[str, ...]) -> bool:
    return re.fullmatch(r'"[^"\n]+"|“[^“”\n]+”', said) is not None


def _json_keys(said: str, arguments: tuple[str, ...]) -> bool:
    fenced = _FENCE.fullmatch(said)
    try:
        found = json.loads(fenced.group(1) if fenced else said)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(arguments) <= found.keys()


_CHECKS: Mapping[str, Callable[[str, tuple[str, ...]], bool]] = {
    "words": _words,
    "digits": _digits,
    "capitals": _capitals,
    "lines": _lines,
    "commas": _commas,
    "one_of": _one_of,
    "ends": _ends,
    "quoted": _quoted,
    "json_keys": _json_keys,
}
