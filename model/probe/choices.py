"""Multiple choice: a beginning and four endings, one of which is right.

Each table is a sentence with a gap and pairs of what fills the gap and how the sentence ends. The wrong endings of an
item are right ones of its neighbours in the same table, so that no ending is likely or unlikely by itself: a model that
ignores the beginning is right in a quarter of the items.
"""

from dataclasses import dataclass
from functools import cache

ENDINGS = 4
_STEPS = (1, 3, 6)  # which neighbours lend their endings; tables have 10 rows or more, so that they differ


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One item. `endings` begin with no blank: one is put between, as lm-evaluation-harness does by default. `right` is
    an index into them."""

    id: str
    beginning: str
    endings: tuple[str, ...]
    right: int


_OPPOSITES = (
    "The opposite of {} is",
    "hot cold, big small, fast slow, light dark, full empty, early late, wet dry, old new, loud quiet, rich poor",
)
_YOUNG = (
    "A young {} is called a",
    "dog puppy, cat kitten, cow calf, sheep lamb, horse foal, hen chick, frog tadpole, goat kid, pig piglet, "
    "goose gosling",
)
_CAPITALS = (
    "The capital of {} is the city of",
    "France Paris, Japan Tokyo, Italy Rome, Egypt Cairo, Russia Moscow, Spain Madrid, Germany Berlin, Greece Athens, "
    "Cuba Havana, Kenya Nairobi",
)
_MONTHS = (
    "The month that comes right after {} is",
    "January February, February March, March April, April May, May June, June July, July August, August September, "
    "September October, October November",
)
_SUMS = (
    "In words, {} is",
    "two-plus-three five, one-plus-one two, four-plus-four eight, six-plus-three nine, five-plus-two seven, "
    "ten-plus-two twelve, three-plus-one four, five-plus-five ten, two-plus-one three, three-plus-three six",
)
_PLACES = (
    "Somebody who wants {} goes to the",
    "books library, bread bakery, medicine pharmacy, petrol garage, stamps post-office, a-haircut barber, money bank, "
    "a-train station, a-film cinema, fish harbour",
)
_USES = (
    "The thing that people use for {} is a",
    "cutting-paper pair-of-scissors, telling-the-time clock, writing-a-letter pen, opening-a-lock key, "
    "drying-wet-hands towel, sweeping-the-floor broom, driving-in-a-nail hammer, eating-soup spoon, "
    "looking-at-stars telescope, keeping-off-the-rain umbrella",
)
_COLOURS = (
    "The usual colour of {} is",
    "fresh-grass green, clean-snow white, coal black, a-ripe-lemon yellow, a-cloudless-sky blue, blood red, "
    "a-carrot orange, chocolate brown, an-elephant grey, a-flamingo pink",
)

_TABLES = {
    "opposite": _OPPOSITES,
    "young": _YOUNG,
    "capital": _CAPITALS,
    "month": _MONTHS,
    "sum": _SUMS,
    "place": _PLACES,
    "use": _USES,
    "colour": _COLOURS,
}  # fmt: skip


@cache
def choices() -> tuple[Choice, ...]:
    """Every item, the tables by turns: whatever part is asked is a mixture of all."""
    by_table = [_items(name, sentence, _rows(rows)) for name, (sentence, rows) in _TABLES.items()]
    return tuple(item for turn in zip(*by_table, strict=True) for item in turn)


def _rows(text: str) -> list[tuple[str, str]]:
    pairs = [row.strip().split(" ") for row in text.split(",")]
    return [(left.replace("-", " "), right.replace("-", " ")) for left, right in pairs]


def _items(name: str, sentence: str, rows: list[tuple[str, str]]) -> list[Choice]:
    items = []
    for number, (subject, right) in enumerate(rows):
        endings = [rows[(number + step) % len(rows)][1] for step in _STEPS]
        place = number % ENDINGS
        endings.insert(place, right)
        said = sentence.format(subject)
        items.append(Choice(id=f"choice/{name}-{number}", beginning=said, endings=tuple(endings), right=place))
    return items
