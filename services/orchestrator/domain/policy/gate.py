"""The forgetting gate: from the scores of one boundary to a judgement. A pure policy; verdicts.py carries it out.

Thresholds are inclusive and compare `forgetting = (ppl_now - ppl_baseline) / ppl_baseline`, signed and unclamped. What
is not finite, or missing where it must be, is a stop: `nan >= 0.2` is False, so a gate that only compares lets NaN
through. What the gauge cannot tell from 0 is no forgetting: within the noise floor of a score there is no verdict.

Before `settle` (a share of the stage) only NaN or three times `stop` acts: forgetting peaks while the learning rate is
high and falls as it decays (measured: 23.6 % at a tenth of a stage, 12.2 % at its end). Afterwards `action` compares
the score projected to the stage's end where there is a projection. `stop` compares the raw one, or, where the spec says
so, the one projected under the mix that is trained from here on: a peak that passes is no reason to throw away what
was trained. What has no projection yet is held to three times `stop`, as before settling. At a stage's end the raw
score decides, always.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.orchestrator.domain.gauges import is_gauge
from services.orchestrator.domain.run.decisions import Severity
from services.orchestrator.domain.spec.defaults import SUSPICIOUS_BELOW, UNSETTLED_STOP_FACTOR
from services.orchestrator.domain.spec.spec import ForgettingSpec, StopOn
from services.orchestrator.domain.values import ForgettingScore

LEAST_RATIO = -1.0  # a perplexity cannot fall by more than all of it
IMPOSSIBLE_SCORE = "IMPOSSIBLE_SCORE"


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
    suspicious_below: float = SUSPICIOUS_BELOW
    stop_projected: bool = False
    unsettled_stop_factor: float = UNSETTLED_STOP_FACTOR

    @classmethod
    def of(cls, rules: ForgettingSpec) -> "Limits":
        """From a filled spec; a missing value is a programming error and fails here."""
        factor = rules.unsettled_stop_factor
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
            # Specs that were stored before there was a floor have none.
            suspicious_below=SUSPICIOUS_BELOW if rules.suspicious_below is None else rules.suspicious_below,
            stop_projected=rules.stop_on is StopOn.PROJECTED,  # specs from before there was a choice meant the raw one
            unsettled_stop_factor=UNSETTLED_STOP_FACTOR if factor is None else factor,
        )

    @property
    def unsettled_stop(self) -> float:
        """What acts before settling: 3 x 0.2 is 0.6, not a hair above."""
        return round(self.unsettled_stop_factor * self.stop, 12)

    def doubtful(self, ratio: float) -> bool:
        """Whether a score is too good to be true: below the floor, or below -1, which is impossible."""
        return math.isfinite(ratio) and (ratio < self.suspicious_below or ratio < LEAST_RATIO)

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
    a score was watched already; `projected` are scores at the stage's end under the present mix, `onward` those under
    the mix from here on, which `stop` may compare; `may_climb` is False for a verdict on a checkpoint at or before an
    adjustment's step; `replayed` are the sets whose text is being trained on.
    """

    progress: float
    last: bool
    scores: tuple[ForgettingScore, ...] = ()
    report_scores: tuple[ForgettingScore, ...] = ()
    projected: Mapping[str, float] = field(default_factory=dict)
    onward: Mapping[str, float] = field(default_factory=dict)
    not_finite: str = ""
    watched: int = 0
    may_climb: bool = True
    replayed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a boundary calls for, with the evidence: the worst score, what was compared, the threshold. `act_on` names
    the set whose compared score is the highest: the one that more replay is for. `in_doubt`: a score whose interval
    spans a threshold was let pass this once. `hold_reason`: why a person is asked, where that is not for want of
    retries. `doubted`: the score that is too good to be true, if there is one. The message names each threshold that it
    speaks of with its value; `threshold` is the one that was compared with."""

    ruling: Ruling
    severity: Severity
    worst: ForgettingScore | None = None
    compared: float | None = None
    threshold: float = 0.0
    act_on: str = ""
    in_doubt: bool = False
    hold_reason: str = ""
    doubted: ForgettingScore | None = None
    message: str

    @property
    def impossible(self) -> bool:
        """Whether the doubt is no doubt: the measurement is wrong."""
        return self.doubted is not None and self.doubted.ratio < LEAST_RATIO


def worst_of(scores: Sequence[ForgettingScore]) -> ForgettingScore | None:
    """The score of a stage is the worst of its retention sets; one that is not finite is the worst of all, one that the
    gauge does not resolve counts as 0."""
    return max(scores, key=lambda s: s.resolved_ratio if math.isfinite(s.ratio) else math.inf, default=None)


def judge(at: Boundary, limits: Limits) -> Judgement:
    """The judgement on one boundary. What the gauge does not resolve counts as 0: nothing is done about it, and where
    it is the worst there is no verdict on what was forgotten."""
    judgement = _judge_resolved(_as_resolved(at), limits)
    given = (*at.scores, *at.report_scores)
    found = judgement.worst and next((score for score in given if _same_set(score, judgement.worst)), None)
    if found is None or found.resolved:
        return judgement
    if judgement.ruling not in (
        Ruling.GO_ON,
        Ruling.WATCH,
        Ruling.ACCEPT,
    ):  # for another reason, which its message says
        return replace(judgement, worst=found)
    said = f"{found.retention_set} {found.ratio:+.2g} is within the noise floor of the gauge (±{found.floor_ratio:.2g})"
    message = f"{said}: not resolved, nothing is done about it"
    if judgement.doubted is not None:
        message += judgement.message[judgement.message.index("; ") :]
    return replace(
        judgement, severity=Severity.UNRESOLVED, worst=found, compared=found.ratio, act_on="", message=message
    )


def _as_resolved(at: Boundary) -> Boundary:
    """What lies within its floor is 0, and nothing is projected from it."""
    unresolved = {score.retention_set for score in at.scores if not score.resolved}
    return replace(
        at,
        scores=tuple(replace(score, ratio=score.resolved_ratio) for score in at.scores),
        report_scores=tuple(replace(score, ratio=score.resolved_ratio) for score in at.report_scores),
        projected={name: ratio for name, ratio in at.projected.items() if name not in unresolved},
        onward={name: ratio for name, ratio in at.onward.items() if name not in unresolved},
    )


def _same_set(one: ForgettingScore, other: ForgettingScore) -> bool:
    return (one.retention_set, one.use) == (other.retention_set, other.use)


def _judge_resolved(at: Boundary, limits: Limits) -> Judgement:
    doubted = min((*at.scores, *at.report_scores), key=_lowest, default=None)
    if doubted is None or not limits.doubtful(doubted.ratio):
        return _judge(at, limits)
    if doubted.ratio < LEAST_RATIO and not at.not_finite and all(score.finite for score in at.scores):
        return _impossible(at, doubted, limits)
    judgement = _judge(at, limits)
    what = f"{doubted.retention_set} {doubted.ratio:+.2%} is suspicious (below {_percent(limits.suspicious_below)})"
    if doubted.retention_set in at.replayed:
        why = "that text is replayed, so that text is being learned"
    elif is_gauge(doubted.retention_set):
        why = "text of its kind is being learned, or the baseline or the set is in doubt"
    else:
        why = "the baseline or the set is in doubt"
    return replace(judgement, doubted=doubted, message=f"{judgement.message}; {what}: {why}")


def _lowest(score: ForgettingScore) -> float:
    return score.ratio if score.finite else math.inf


def _impossible(at: Boundary, doubted: ForgettingScore, limits: Limits) -> Judgement:
    """A fault of the measurement, whatever the model is: nothing is decided by it, a person is asked."""
    return Judgement(
        ruling=Ruling.HOLD,
        severity=Severity.STOP,
        worst=worst_of(at.scores),
        compared=doubted.ratio,
        threshold=LEAST_RATIO,
        act_on="",
        hold_reason=IMPOSSIBLE_SCORE,
        doubted=doubted,
        message=f"{doubted.retention_set} {doubted.ratio:+.4g} is impossible (below {_percent(LEAST_RATIO)}): no "
        "perplexity falls that far, so the baseline or the measurement is wrong",
    )


def _judge(at: Boundary, limits: Limits) -> Judgement:
    worst = worst_of(at.scores)
    if at.not_finite or (worst is not None and not worst.finite):
        what = at.not_finite or f"forgetting of {worst.retention_set if worst else ''}"
        return Judgement(
            ruling=Ruling.GO_BACK,
            severity=Severity.STOP,
            worst=worst,
            threshold=limits.stop,
            message=f"{what} is not a finite number: as at or over stop ({_percent(limits.stop)})",
        )
    if worst is None:
        ruling = Ruling.ACCEPT if at.last else Ruling.GO_ON
        return Judgement(ruling=ruling, severity=Severity.UNSPECIFIED, message="no retention set to compare with")
    if at.last:
        return _judge_last(at, worst, limits)
    if not limits.mitigate:
        return _measured_only(Ruling.GO_ON, worst, limits)
    return _judge_between(at, worst, limits)


def _measured_only(ruling: Ruling, worst: ForgettingScore, limits: Limits) -> Judgement:
    """Nothing is done about it: the band that the score lies in is told."""
    said, threshold = _band(worst.ratio, limits)
    return _judgement(ruling, worst, worst.ratio, threshold, limits, f"{said}; measured only: mitigate is off")


def _band(ratio: float, limits: Limits) -> tuple[str, float]:
    """Where a score lies, with the threshold that says so."""
    if ratio >= limits.stop:
        return f"at or over stop ({_percent(limits.stop)})", limits.stop
    if ratio >= limits.action:
        return f"at or over action ({_percent(limits.action)})", limits.action
    if ratio >= limits.minor:
        return f"below action ({_percent(limits.action)})", limits.action
    return f"below minor ({_percent(limits.minor)})", limits.minor


def _judge_last(at: Boundary, worst: ForgettingScore, limits: Limits) -> Judgement:
    """The end of a stage. The budget is a promise, also of a run that does not mitigate: then a person is asked."""
    if limits.mitigate and worst.ratio >= limits.action:
        said = f"the stage ends at or over action ({_percent(limits.action)})"
        return _judgement(Ruling.GO_BACK, worst, worst.ratio, limits.action, limits, said)
    report = worst_of(at.report_scores)
    if report is not None and not (report.finite and report.ratio < limits.budget):
        budget = _percent(limits.budget)
        said = f"the stage ends at or over its budget ({budget}) on the report set of {report.retention_set}"
        ruling = Ruling.GO_BACK if limits.mitigate else Ruling.HOLD
        judgement = _judgement(ruling, report, report.ratio, limits.budget, limits, said)
        return replace(judgement, hold_reason="" if limits.mitigate else "BUDGET_NOT_KEPT")
    if not limits.mitigate:
        return _measured_only(Ruling.ACCEPT, worst, limits)
    said = f"the stage ends below action ({_percent(limits.action)})"
    return _judgement(Ruling.ACCEPT, worst, worst.ratio, limits.action, limits, said)


def _judge_between(at: Boundary, worst: ForgettingScore, limits: Limits) -> Judgement:
    if at.progress < limits.settle:
        limit = limits.unsettled_stop
        named = f"{limits.unsettled_stop_factor:g} times stop ({_percent(limit)})"
        if worst.ratio >= limit:
            said = f"at or over {named} before settling"
            return _judgement(Ruling.GO_BACK, worst, worst.ratio, limit, limits, said)
        said = f"below {named}, settling until {_percent(limits.settle)} of the stage"
        return _judgement(Ruling.GO_ON, worst, worst.ratio, limit, limits, said)
    stopping = max((_stop_of(at, score, limits) for score in at.scores), key=lambda stop: stop.reach)
    doubt = stopping.reached and _unsure(at, stopping.score, stopping.limit, limits)
    if stopping.reached and not doubt:
        said = f"at or over {stopping.named}"
        return _judgement(Ruling.GO_BACK, worst, stopping.compared, stopping.limit, limits, said, act_on=stopping.score)
    action = f"action ({_percent(limits.action)})"
    leading = max(at.scores, key=lambda score: _compared(at, score))
    compared = _compared(at, leading)

    def ruled(ruling: Ruling, said: str, *, threshold: float = limits.action, in_doubt: bool = doubt) -> Judgement:
        judgement = _judgement(ruling, worst, compared, threshold, limits, said, act_on=leading)
        return replace(judgement, in_doubt=in_doubt)

    if compared >= limits.action or not math.isfinite(compared):
        if not at.may_climb:
            return ruled(Ruling.WATCH, f"at or over {action}; the last adjustment is not in this checkpoint yet")
        if _unsure(at, leading, limits.action, limits):
            said = f"the interval spans {action}: watched, {at.watched + 1} of {limits.confirm}"
            return ruled(Ruling.WATCH, said, in_doubt=True)
        return ruled(Ruling.MORE_REPLAY, f"at or over {action}")
    if worst.ratio >= limits.stop and limits.stop_projected:
        stop = f"stop ({_percent(limits.stop)})"
        return ruled(Ruling.GO_ON, f"at or over {stop} now, below {action} at the end")
    if worst.ratio >= limits.action:
        return ruled(Ruling.GO_ON, f"at or over {action} now, below it at the end")
    said, threshold = _band(worst.ratio, limits)
    return ruled(Ruling.GO_ON, said, threshold=threshold)


@dataclass(frozen=True, kw_only=True)
class _Stop:
    """What `stop` compares of one score, with which limit; `reach` orders several: from 1 on it acts."""

    score: ForgettingScore
    compared: float
    limit: float
    named: str

    @property
    def reached(self) -> bool:
        return not self.compared < self.limit  # what cannot be compared acts too

    @property
    def reach(self) -> float:
        return self.compared / self.limit if math.isfinite(self.compared) else math.inf


def _stop_of(at: Boundary, score: ForgettingScore, limits: Limits) -> _Stop:
    stop = f"stop ({_percent(limits.stop)})"
    if not limits.stop_projected:
        return _Stop(score=score, compared=score.ratio, limit=limits.stop, named=stop)
    at_end = at.onward.get(score.retention_set)
    if at_end is None:
        factor, limit = limits.unsettled_stop_factor, _percent(limits.unsettled_stop)
        named = f"{factor:g} times stop ({limit}) with nothing projected yet"
        return _Stop(score=score, compared=score.ratio, limit=limits.unsettled_stop, named=named)
    return _Stop(score=score, compared=at_end, limit=limits.stop, named=f"{stop} at the end")


def _percent(ratio: float) -> str:
    """A threshold as it was given: 5 %, not 5.0, and 4.88 % not 4.9."""
    return f"{100 * ratio:.6g}%"


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
        message=f"{where}: {said}",
    )
