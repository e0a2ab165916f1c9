"""`sample://math`: word problems and equations with worked answers, in five levels.

| level | needs |
|---|---|
| 1 | one addition or subtraction |
| 2 | two steps, multiplication or division |
| 3 | fractions and percentages, a linear equation |
| 4 | two linear equations, speeds and rates, three steps |
| 5 | quadratic equations, sums of series, counting |

Each calculation of an answer is marked as in GSM8K (`<<3*4=12>>`), and every answer ends with `#### result`. The
numbers are chosen so that all results are whole.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from model.data.sources.generated import GeneratedSource
from model.document import Document, content_origin
from model.errors import BadSource

_NAMES = ("Ada", "Ben", "Clara", "David", "Emma", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kofi", "Lena", "Maya")
_THINGS = ("apples", "books", "coins", "stamps", "marbles", "pencils", "cards", "shells", "stickers", "buttons")
_PLACES = ("shop", "market", "school", "library", "farm", "garden")
Problem = tuple[str, str, int]  # question, worked answer, result


def _gain(r: random.Random) -> Problem:
    name, thing, a, b = r.choice(_NAMES), r.choice(_THINGS), r.randint(2, 60), r.randint(2, 40)
    question = f"{name} has {a} {thing} and finds {b} more. How many {thing} does {name} have now?"
    return question, f"{name} has {a} + {b} = <<{a}+{b}={a + b}>>{a + b} {thing}.", a + b


def _loss(r: random.Random) -> Problem:
    name, thing, a = r.choice(_NAMES), r.choice(_THINGS), r.randint(20, 90)
    b = r.randint(2, a - 5)
    question = f"There were {a} {thing} in a box. {name} took {b} of them. How many {thing} are left?"
    return question, f"There are {a} - {b} = <<{a}-{b}={a - b}>>{a - b} {thing} left.", a - b


def _boxes(r: random.Random) -> Problem:
    name, thing = r.choice(_NAMES), r.choice(_THINGS)
    n, each, given = r.randint(3, 12), r.randint(4, 15), r.randint(2, 10)
    total, left = n * each, n * each - given
    question = (
        f"{name} buys {n} boxes with {each} {thing} each and gives {given} {thing} to a friend. "
        f"How many {thing} does {name} keep?"
    )
    answer = (
        f"The boxes hold {n} * {each} = <<{n}*{each}={total}>>{total} {thing}.\n"
        f"{name} keeps {total} - {given} = <<{total}-{given}={left}>>{left} {thing}."
    )
    return question, answer, left


def _shared(r: random.Random) -> Problem:
    people, each, more, thing = r.randint(3, 9), r.randint(3, 12), r.randint(2, 9), r.choice(_THINGS)
    total, result = people * each, each + more
    question = (
        f"{total} {thing} are shared equally among {people} children. Each child then gets {more} more. "
        f"How many {thing} does each child have?"
    )
    answer = (
        f"Each child gets {total} / {people} = <<{total}/{people}={each}>>{each} {thing} at first.\n"
        f"With {more} more it is {each} + {more} = <<{each}+{more}={result}>>{result} {thing}."
    )
    return question, answer, result


def _percent(r: random.Random) -> Problem:
    share, price = r.choice((10, 20, 25, 30, 40, 50)), 20 * r.randint(2, 30)
    off = price * share // 100
    question = (
        f"A coat in the {r.choice(_PLACES)} costs {price} euros. Its price falls by {share} %. What does it cost now?"
    )
    answer = (
        f"The price falls by {price} * {share} / 100 = <<{price}*{share}/100={off}>>{off} euros.\n"
        f"It now costs {price} - {off} = <<{price}-{off}={price - off}>>{price - off} euros."
    )
    return question, answer, price - off


def _linear(r: random.Random) -> Problem:
    a, x, b = r.randint(2, 12), r.randint(-9, 15), r.randint(1, 30)
    c = a * x + b
    question = f"Solve the equation {a}x + {b} = {c}."
    answer = (
        f"Subtract {b} from both sides: {a}x = {c} - {b} = <<{c}-{b}={c - b}>>{c - b}.\n"
        f"Divide by {a}: x = {c - b} / {a} = <<{c - b}/{a}={x}>>{x}."
    )
    return question, answer, x


def _system(r: random.Random) -> Problem:
    x, y = r.randint(1, 15), r.randint(1, 15)
    s, d = x + y, x - y
    question = f"Two numbers add up to {s}. The first minus the second is {d}. What is the first number?"
    answer = (
        f"Let the numbers be x and y, with x + y = {s} and x - y = {d}.\n"
        f"Adding both gives 2x = {s} + {d} = <<{s}+{d}={s + d}>>{s + d}.\n"
        f"So x = {s + d} / 2 = <<{s + d}/2={x}>>{x}.\n"
        f"Check: y = {s} - {x} = <<{s}-{x}={y}>>{y}, and x - y is indeed {d}."
    )
    return question, answer, x


def _journey(r: random.Random) -> Problem:
    v1, t1, v2, t2 = 10 * r.randint(3, 9), r.randint(1, 5), 10 * r.randint(3, 12), r.randint(1, 5)
    d1, d2 = v1 * t1, v2 * t2
    question = (
        f"A train runs at {v1} km/h for {t1} hours and then at {v2} km/h for {t2} hours. "
        "How many kilometres does it cover in all?"
    )
    answer = (
        f"The first part is {v1} * {t1} = <<{v1}*{t1}={d1}>>{d1} km.\n"
        f"The second part is {v2} * {t2} = <<{v2}*{t2}={d2}>>{d2} km.\n"
        f"Together {d1} + {d2} = <<{d1}+{d2}={d1 + d2}>>{d1 + d2} km."
    )
    return question, answer, d1 + d2


def _quadratic(r: random.Random) -> Problem:
    low, gap = r.randint(-9, 8), r.randint(1, 10)
    high = low + gap
    s, p = low + high, low * high
    discriminant = s * s - 4 * p
    question = f"Find the larger solution of x^2 - ({s})x + ({p}) = 0."
    answer = (
        f"The discriminant is ({s})^2 - 4 * ({p}) = <<({s})^2-4*({p})={discriminant}>>{discriminant}.\n"
        f"Its square root is <<sqrt({discriminant})={gap}>>{gap}.\n"
        f"The solutions are (({s}) + {gap}) / 2 = <<(({s})+{gap})/2={high}>>{high} "
        f"and (({s}) - {gap}) / 2 = <<(({s})-{gap})/2={low}>>{low}.\n"
        f"The larger one is {high}."
    )
    return question, answer, high


def _series(r: random.Random) -> Problem:
    first, step, n = r.randint(1, 12), r.randint(2, 9), 2 * r.randint(3, 10)
    last = first + (n - 1) * step
    total = n * (first + last) // 2
    question = f"A sequence starts with {first} and grows by {step} each time. What is the sum of its first {n} terms?"
    answer = (
        f"The last term is {first} + ({n} - 1) * {step} = <<{first}+({n}-1)*{step}={last}>>{last}.\n"
        f"First and last term add up to {first} + {last} = <<{first}+{last}={first + last}>>{first + last}.\n"
        f"There are {n} / 2 = <<{n}/2={n // 2}>>{n // 2} such pairs.\n"
        f"The sum is {n // 2} * {first + last} = <<{n // 2}*{first + last}={total}>>{total}."
    )
    return question, answer, total


def _committee(r: random.Random) -> Problem:
    n, k = r.randint(5, 11), r.randint(2, 3)
    top, bottom = math.perm(n, k), math.factorial(k)
    product = "*".join(str(n - i) for i in range(k))
    ways = top // bottom
    question = f"In how many ways can a committee of {k} be chosen from {n} people, if order does not matter?"
    answer = (
        f"With order there are {product} = <<{product}={top}>>{top} ways.\n"
        f"Each committee is counted {k}! = <<{k}!={bottom}>>{bottom} times.\n"
        f"So there are {top} / {bottom} = <<{top}/{bottom}={ways}>>{ways} ways."
    )
    return question, answer, ways


_LEVELS: Mapping[int, tuple[Callable[[random.Random], Problem], ...]] = {
    1: (_gain, _loss),
    2: (_boxes, _shared),
    3: (_percent, _linear),
    4: (_system, _journey),
    5: (_quadratic, _series, _committee),
}


class MathSource(GeneratedSource):
    """Problems of the levels `difficulty: [low, high]`, each level equally often."""

    kind = "text"

    def __init__(self, *, uri: str = "sample://math", options: Mapping[str, Any] | None = None) -> None:
        super().__init__(uri, options, {"difficulty": [1, 5]})
        bounds = self.options["difficulty"]
        fits = isinstance(bounds, list | tuple) and len(bounds) == 2
        if not fits or not all(isinstance(b, int | float) for b in bounds) or not 1 <= bounds[0] <= bounds[1] <= 5:
            raise BadSource(field=f"{uri}: difficulty", got=bounds, expected="[low, high] with 1 <= low <= high <= 5")
        self.levels = [level for level in _LEVELS if bounds[0] <= level <= bounds[1]]
        if not self.levels:
            raise BadSource(field=f"{uri}: difficulty", got=bounds, expected="a range that holds a whole number")

    def document(self, rng: random.Random) -> Document:
        """One problem with its worked answer."""
        level = rng.choice(self.levels)
        question, answer, result = rng.choice(_LEVELS[level])(rng)
        text = f"Question: {question}\nAnswer: {answer}\n#### {result}\n"
        return Document(text=text, origin=content_origin(text, "math"), difficulty=float(level), meta={"level": level})
