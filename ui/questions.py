"""Three questions behind each guide, with choices and why each is right or wrong: `ui/learn/questions/{guide}.json`.

The panel and `retain learn GUIDE --quiz` take them from here; the site reads the same files (`deploy/site/hooks.py`),
since it is built where nothing of Retain is installed.

    [{"question": "...?", "choices": [{"text": "...", "why": "...", "right": true}, ...]}, ...]
"""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "learn" / "questions"
LETTERS = "abcd"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the answers to choose from, and why it is right or wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question with its choices."""

    text: str
    choices: tuple[Choice, ...]

    @property
    def answer(self) -> Choice:
        """The one that is right."""
        return next(choice for choice in self.choices if choice.right)

    def lettered(self) -> dict[str, Choice]:
        """The choices by letters: a, b, ..."""
        return dict(zip(LETTERS, self.choices, strict=False))


def questions(guide: str) -> tuple[Question, ...]:
    """Those behind a guide, by its name, and none where there are none; a record of the decisions has those of all."""
    path = FOLDER / f"{guide.partition('/')[0]}.json"
    if not path.is_file():
        return ()
    return tuple(
        Question(text=row["question"], choices=tuple(Choice(**choice) for choice in row["choices"]))
        for row in json.loads(path.read_text(encoding="utf-8"))
    )
