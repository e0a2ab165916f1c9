"""The forgetting gate: from the scores of one boundary to a judgement. A pure policy; decide.py carries it out.

Thresholds are inclusive and compare `forgetting = (ppl_now - ppl_baseline) / ppl_baseline`, signed and unclamped. What
is not finite, or missing where it must be, is a stop: `nan >= 0.2` is False, so a gate that only compares lets NaN
through.

Before `settle` (a share of the stage) only NaN or three times `stop` acts: forgetting peaks while the learning rate is
high and falls as it decays (measured: 23.6 % at a tenth of a stage, 12.2 % at its end). Afterwards `action` compares
the score projected to the stage's end where there is a projection, `stop` the raw one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.orchestrator.domain.decision import Severity
from services.orchestrator.domain.spec import ForgettingSpec
from services.orchestrator.domain.values import ForgettingScore

UNSETTLED_STOP_FACTOR = 3.0


class Ruling(StrEnum):
    """What the score calls for. Whether it can be had (retries, rungs) is decided later. HOLD is a person's to decide
    at once; TAKE_POINT puts a point of the line to the parent in the result's place."""

    GO_ON = "GO_ON"
    WATCH = "WATCH"
    MORE_REPLAY = "MORE_REPLAY"
    GO_BACK = "GO_BACK"
    HOLD = "HOLD"
    TAKE_POINT = "TAKE_POINT"
    ACCEPT = "ACCEPT"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The thresholds of a filled spec, as plain numbers. `settle` is a share of the stage. A budget that nobody set
    while mitigation is off is infinite: who only measures has promised nothing."""

    minor: float
    action: float
    stop: float
    budget: float
    settle: float
    confirm: int
    mitigate: bool

    @classmethod
    def of(cls, rules: ForgettingSpec) -> "Limits":
        """From a filled spec; a missing value is a programming error and fails here."""
        values = (rules.minor, rules.action, rules.stop, rules.settle)
        assert all(value is not None for value in values), "the spec has not been filled"
        minor, action, stop, settle = (float(value) for value in values if value is not None)
        return cls(
            minor=minor,
            action=action,
            stop=stop,
            budget=math.inf if rules.budget is None else rules.budget,
            settle=settle,
            confirm=rules.confirm or 0,
            mitigate=rules.mitigate is not False,
        )

    def severity(self, ratio: float) -> Severity:
        """How bad a score is; not finite is STOP."""
        if not math.isfinite(ratio) or ratio >= self.stop:
            return Severity.STOP
        if ratio >= self.action:
            return Severity.ACTION
        return Severity.MINOR if ratio >= self.minor else Severity.OK


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """What the gate looks at. `not_finite` names what is NaN, infinite or missing; `watched` counts boundaries on which
    a score was watched already; `may_climb` is False for a verdict on a checkpoint at or before an adjustment's step.
    """

    progress: float
    last: bool
    scores: tuple[ForgettingScore, ...] = ()
    report_scores: tuple[ForgettingScore, ...] = ()
    projected: Mapping[str, float] = field(default_factory=dict)
    not_finite: str = ""
    watched: int = 0
    may_climb: bool = True


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a boundary calls for, with the evidence: the worst score, what was compared, the threshold. `act_on` names
    the set whose compared score is the highest: the one that more replay is for. `in_doubt`: a score whose interval
    spans a threshold was let pass this once. `hold_reason`: why a person is asked, where that is not for want of
    retries."""

    ruling: Ruling
    severity: Severity
    worst: ForgettingScore | None = None
    compared: float | None = None
    threshold: float = 0.0
    act_on: str = ""
    in_doubt: bool = False
    hold_reason: str = ""
    message: str


def worst_of(scores: Sequence[ForgettingScore]) -> ForgettingScore | None:
    """The score of a stage is the worst of its retention sets; one that is not finite is the worst of all."""
    return max(scores, key=lambda s: s.ratio if math.isfinite(s.ratio) else math.inf, default=None)


def judge(at: Boundary, limits: Limits) -> Judgement:
    """The judgement on one boundary."""
    worst = worst_of(at.scores)
    if at.not_finite or (worst is not None and not worst.finite):
        what = at.not_finite or f"forgetting of {worst.retention_set if worst else ''}"
        return Judgement(
            ruling=Ruling.GO_BACK,
            severity=Severity.STOP,
            worst=worst,
            threshold=limits.stop,
            message=f"{what} is not a finite number",
        )
    if worst is None:
        ruling = Ruling.ACCEPT if at.last else Ruling.GO_ON
        return Judgement(ruling=ruling, severity=Severity.UNSPECIFIED, message="no retention set to compare with")
    if at.last:
        return _judge_last(at, worst, limits)
    if not limits.mitigate:
        return _judgement(Ruling.GO_ON, worst, worst.ratio, limits.action, limits, "measured only: mitigate is off")
    return _judge_between(at, worst, limits)


def _judge_last(at: Boundary, worst: ForgettingScore, limits: Limits) -> Judgement:
    """The end of a stage. The budget is a promise, also of a run that does not mitigate: then a person is asked."""
    if limits.mitigate and worst.ratio >= limits.action:
        return _judgement(Ruling.GO_BACK, worst, worst.ratio, limits.action, limits, "the stage ends at or over action")
    report = worst_of(at.report_scores)
    if report is not None and not (report.finite and report.ratio < limits.budget):
        said = f"the stage ends at or over its budget on the report set of {report.retention_set}"
        ruling = Ruling.GO_BACK if limits.mitigate else Ruling.HOLD
        judgement = _judgement(ruling, report, report.ratio, limits.budget, limits, said)
        return replace(judgement, hold_reason="" if limits.mitigate else "BUDGET_NOT_KEPT")
    said = "within bounds at the stage's end" if limits.mitigate else "measured only: mitigate is off"
    return _judgement(Ruling.ACCEPT, worst, worst.ratio, limits.action, limits, said)


def _judge_between(at: Boundary, worst: ForgettingScore, limits: Limits) -> Judgement:
    if at.progress < limits.settle:
        limit = round(UNSETTLED_STOP_FACTOR * limits.stop, 12)  # 3 x 0.2 is 0.6, not a hair above
        if worst.ratio >= limit:
            said = f"at or over {UNSETTLED_STOP_FACTOR:g} times stop before settling"
            return _judgement(Ruling.GO_BACK, worst, worst.ratio, limit, limits, said)
        said = f"settling until {limits.settle:.0%} of the stage"
        return _judgement(Ruling.GO_ON, worst, worst.ratio, limit, limits, said)
    doubt = worst.ratio >= limits.stop and _unsure(at, worst, limits.stop, limits)
    if worst.ratio >= limits.stop and not doubt:
        return _judgement(Ruling.GO_BACK, worst, worst.ratio, limits.stop, limits, "at or over stop")
    leading = max(at.scores, key=lambda score: _compared(at, score))
    compared = _compared(at, leading)

    def ruled(ruling: Ruling, said: str, *, in_doubt: bool = doubt) -> Judgement:
        judgement = _judgement(ruling, worst, compared, limits.action, limits, said, act_on=leading)
        return replace(judgement, in_doubt=in_doubt)

    if compared >= limits.action or not math.isfinite(compared):
        if not at.may_climb:
            return ruled(Ruling.WATCH, "at or over action; the last adjustment is not in this checkpoint yet")
        if _unsure(at, leading, limits.action, limits):
            said = f"the interval spans action: watched, {at.watched + 1} of {limits.confirm}"
            return ruled(Ruling.WATCH, said, in_doubt=True)
        return ruled(Ruling.MORE_REPLAY, "at or over action")
    if worst.ratio >= limits.action:
        return ruled(Ruling.GO_ON, "at or over action now, below it at the end")
    return ruled(Ruling.GO_ON, "below action" if worst.ratio >= limits.minor else "below minor")


def _compared(at: Boundary, score: ForgettingScore) -> float:
    return at.projected.get(score.retention_set, score.ratio)


def _unsure(at: Boundary, worst: ForgettingScore, threshold: float, limits: Limits) -> bool:
    """Whether to watch this score once more: its interval spans the threshold. Without one there is no doubt."""
    return worst.ratio_low is not None and worst.ratio_low < threshold and at.watched < limits.confirm


def _judgement(
    ruling: Ruling,
    worst: ForgettingScore,
    compared: float,
    threshold: float,
    limits: Limits,
    said: str,
    *,
    act_on: ForgettingScore | None = None,
) -> Judgement:
    subject = act_on or worst
    where = f"{subject.retention_set} {subject.ratio:+.2%}"
    if compared != subject.ratio:
        where += f" (projected to the end {compared:+.2%})"
    return Judgement(
        ruling=ruling,
        severity=limits.severity(worst.ratio),
        worst=worst,
        compared=compared,
        threshold=threshold,
        act_on=subject.retention_set,
        message=f"{where}: {said} ({threshold:.1%})",
    )
