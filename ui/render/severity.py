"""How forgetting is shown: the marks and colours of the severities, in the command and in the panel alike.

Below a bound a score is too good to be true, and is marked as that in place of OK. Within the noise floor of the gauge
a score has neither verdict nor colour.
"""

from dataclasses import dataclass

from retain.values import PipelineSpec, Severity, thresholds
from retain.values.faults import mismatch
from retain.values.severity import SUSPICIOUS_BELOW, Doubt
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
class Thresholds(thresholds.Thresholds):
    """The bounds of the severities, and the name of the mark that a score gets by them."""

    @classmethod
    def of_spec(cls, spec: PipelineSpec) -> "Thresholds":
        """Those of a run's spec; the server filled every default in. Raises BadInput for a spec without them."""
        said = spec.forgetting
        if said.minor is None or said.action is None or said.stop is None:
            what = mismatch(f"{said.minor}, {said.action}, {said.stop}", "numbers for minor, action and stop")
            raise BadInput([Violation(field="forgetting", description=what)])
        below = said.suspicious_below or SUSPICIOUS_BELOW  # specs that were stored before they said it
        return cls(minor=said.minor, action=said.action, stop=said.stop, suspicious_below=below)

    def mark(self, ratio: float | None, floor_ratio: float | None = None) -> str:
        """The severity of a score; SUSPICIOUS or IMPOSSIBLE in its place for one that is too low and resolved. Without
        a score the empty string."""
        if ratio is None:
            return ""
        severity, doubt = self.severity(ratio, floor_ratio), self.doubt(ratio)
        return severity if severity is Severity.UNRESOLVED or doubt is Doubt.NONE else doubt

    def of_score(self, score: ForgettingScore) -> str:
        """The mark of a score with its floor; none of one that decides nothing."""
        return "" if score.shown_only else self.mark(score.ratio, score.floor_ratio)

    def of_stage(self, stage: Stage) -> str:
        """The mark of a stage's worst score."""
        floors = [score.floor_ratio for score in stage.scores if score.retention_set == stage.worst_set]
        return self.mark(stage.forgetting, floors[0] if floors else None)

    def warning(self, ratio: float | None) -> str:
        """What people are told about a score that is too good to be true; empty for every other."""
        match self.mark(ratio):
            case Doubt.IMPOSSIBLE:
                return f"{ratio:+.4g} is impossible: a perplexity falls by less than 100 %; measure the baseline again"
            case Doubt.SUSPICIOUS:
                floor = f"below {100 * self.suspicious_below:g} %"
                return (
                    f"{ratio:+.4g} is suspicious ({floor}): where that text is replayed it is being learned, "
                    "else the baseline or the set is in doubt"
                )
        return ""
