"""A conversation with two models side by side: one question to both, each with its own answers. Plain data of the page
Try it, kept beside the sessions of whoever asked."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from ui.client import ClientError
from ui.client.views import SampledPiece

SIDES = ("A", "B")
KEPT = 8  # conversations of a person, each with one pair
NEARLY_FULL = 0.8  # of a context: from here on it is said
_KEPT_CONTROLS = frozenset("\n\t")


@dataclass(kw_only=True)
class Answer:
    """What one model said, as far as it has come."""

    text: str = ""
    prompt_tokens: int = 0
    context: int = 0
    is_whole: bool = False  # False: stopped, or not begun
    fault: ClientError | None = None

    def take(self, piece: SampledPiece) -> None:
        """The next piece of it."""
        self.text += piece.text
        if piece.context:
            self.prompt_tokens, self.context = piece.prompt_tokens, piece.context

    @property
    def remedy(self) -> str:
        """What somebody can do about its fault, where that is known."""
        said = self.fault.message if self.fault is not None else ""
        if "chat_template" in said:
            return "This model has no chat template. Ask it by Complete."
        return "Clear the conversation, or say it in fewer words." if "the model's context is" in said else ""

    @property
    def told(self) -> str:
        """How it stands beside its model's context, in words."""
        if not self.context:
            return "" if self.is_whole or self.fault else "Stopped before it began."
        said = f"The prompt takes {self.prompt_tokens:,} of the {self.context:,} tokens of its context"
        if self.prompt_tokens >= NEARLY_FULL * self.context:
            said += ", which is nearly full: clear the conversation soon"
        return f"{said}." if self.is_whole or self.fault else f"{said}. Stopped."


@dataclass(kw_only=True)
class Exchange:
    """One question, and what both models answered."""

    prompt: str
    answers: tuple[Answer, Answer] = field(default_factory=lambda: (Answer(), Answer()))


def turns(exchanges: Sequence[Exchange], side: int) -> list[tuple[str, str]]:
    """(role, text) of what one model was asked and said, oldest first. A question that it did not answer is left out:
    no template takes two turns of a user."""
    found: list[tuple[str, str]] = []
    for one in exchanges:
        said = sendable(one.answers[side].text)
        if said.strip():
            found += [("user", one.prompt), ("assistant", said)]
    return found


def sendable(text: str) -> str:
    """A model's words without the characters that no server takes back: a small model writes any byte."""
    return "".join(
        letter for letter in text if letter in _KEPT_CONTROLS or unicodedata.category(letter) not in ("Cc", "Cf", "Cs")
    )
