"""How forgetting is shown: the marks and colours of the four severities, in the command and in the panel alike."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A severity's sign, word and colour (a rich style; the panel's charts use `hex_colour`)."""

    sign: str
    word: str
    style: str
    hex_colour: str


MARKS = {
    "OK": Mark(sign="✓", word="OK", style="green", hex_colour="#2e9e5b"),
    "MINOR": Mark(sign="⚠", word="Minor", style="yellow", hex_colour="#d9a300"),
    "ACTION": Mark(sign="⚠", word="Action", style="dark_orange", hex_colour="#e8710a"),
    "STOP": Mark(sign="✗", word="Stop", style="red", hex_colour="#d23f31"),
    "": Mark(sign="-", word="no score", style="dim", hex_colour="#888888"),
}


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Inclusive bounds of the severities, as a ratio: from `minor` watch, from `action` act, from `stop` go back."""

    minor: float
    action: float
    stop: float

    @classmethod
    def of_spec(cls, spec: dict) -> "Thresholds":
        """Those of a run's spec; the server filled every default in."""
        forgetting = spec.get("forgetting", {})
        return cls(minor=float(forgetting["minor"]), action=float(forgetting["action"]), stop=float(forgetting["stop"]))

    def severity(self, ratio: float | None) -> str:
        """Severity of a score. What is not a number is STOP: it fails closed. Without a score the empty string."""
        if ratio is None:
            return ""
        if not math.isfinite(ratio) or ratio >= self.stop:
            return "STOP"
        if ratio >= self.action:
            return "ACTION"
        return "MINOR" if ratio >= self.minor else "OK"
