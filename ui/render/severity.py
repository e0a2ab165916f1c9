"""How forgetting is shown: the marks and colours of the severities, in the command and in the panel alike.

Below a bound a score is too good to be true, and is marked as that in place of OK. Within the noise floor of the gauge
a score has neither verdict nor colour.
"""

from dataclasses import dataclass

from retain.values import PipelineSpec
from retain.values.faults import mismatch
from retain.values.severity import SUSPICIOUS_BELOW, doubt_of, severity_of, within_floor
from ui.client.errors import BadInput, Violation
from ui.client.views import Decision, ForgettingScore, Stage


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
    "SUSPICIOUS": Mark(sign="?", word="Suspect", style="magenta", hex_colour="#8e44ad"),
    "IMPOSSIBLE": Mark(sign="✗", word="Invalid", style="red", hex_colour="#d23f31"),
    "UNRESOLVED": Mark(sign="≈", word="Noise", style="dim", hex_colour="#888888"),
    "": Mark(sign="-", word="no score", style="dim", hex_colour="#888888"),
}


def mark_of(decision: Decision) -> Mark:
    """The mark of a decision; a score that is too good to be true is never shown as OK."""
    praised = decision.suspicious and decision.severity not in {"ACTION", "STOP"}
    return MARKS["SUSPICIOUS" if praised else decision.severity or ""]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Inclusive bounds of the severities, as a ratio: from `minor` watch, from `action` act, from `stop` go back;
    below `suspicious_below` baseline or set are in doubt."""

    minor: float
    action: float
    stop: float
    suspicious_below: float = SUSPICIOUS_BELOW

    @classmethod
    def of_spec(cls, spec: PipelineSpec) -> "Thresholds":
        """Those of a run's spec; the server filled every default in. Raises BadInput for a spec without them."""
        said = spec.forgetting
        if said.minor is None or said.action is None or said.stop is None:
            what = mismatch(f"{said.minor}, {said.action}, {said.stop}", "numbers for minor, action and stop")
            raise BadInput([Violation(field="forgetting", description=what)])
        below = said.suspicious_below or SUSPICIOUS_BELOW  # specs that were stored before they said it
        return cls(minor=said.minor, action=said.action, stop=said.stop, suspicious_below=below)

    def severity(self, ratio: float | None, floor_ratio: float | None = None) -> str:
        """Severity of a score; UNRESOLVED within the noise floor, where it is known. What is not a number is STOP: it
        fails closed. Too low it is SUSPICIOUS, below -1, where no perplexity can fall, IMPOSSIBLE. Without a score the
        empty string."""
        if ratio is None:
            return ""
        if within_floor(ratio, floor_ratio):
            return "UNRESOLVED"
        doubt = doubt_of(ratio, suspicious_below=self.suspicious_below)
        return severity_of(ratio, minor=self.minor, action=self.action, stop=self.stop) if doubt == "NONE" else doubt

    def of_score(self, score: ForgettingScore) -> str:
        """Severity of a score with its floor; none of one that decides nothing."""
        return "" if score.shown_only else self.severity(score.ratio, score.floor_ratio)

    def of_stage(self, stage: Stage) -> str:
        """Severity of a stage's worst score."""
        floors = [score.floor_ratio for score in stage.scores if score.retention_set == stage.worst_set]
        return self.severity(stage.forgetting, floors[0] if floors else None)

    def doubt(self, ratio: float | None) -> str:
        """What people are told about a score that is too good to be true; empty for every other."""
        match self.severity(ratio):
            case "IMPOSSIBLE":
                return f"{ratio:+.4g} is impossible: a perplexity falls by less than 100 %; measure the baseline again"
            case "SUSPICIOUS":
                floor = f"below {100 * self.suspicious_below:g} %"
                return (
                    f"{ratio:+.4g} is suspicious ({floor}): where that text is replayed it is being learned, "
                    "else the baseline or the set is in doubt"
                )
        return ""
