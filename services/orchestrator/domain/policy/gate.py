"""The forgetting gate: from the scores of one boundary to what they call for; handlers/verdicts.py carries it out.

Thresholds are inclusive and compare `forgetting = (ppl_now - ppl_baseline) / ppl_baseline`, signed and unclamped. What
is not finite, or missing where it must be, is a stop: `nan >= 0.2` is False, so a gate that only compares lets NaN
through. What the gauge cannot tell from 0 is no forgetting: within the noise floor of a score there is no verdict.

Before `settle` (a share of the stage) only NaN or three times `stop` acts: forgetting peaks while the learning rate is
high and falls as it decays (measured: 23.6 % at a tenth of a stage, 12.2 % at its end). Afterwards `action` compares
the score projected to the stage's end where there is a projection. `stop` compares the raw one, or, where the spec says
so, the one projected under the mix that is trained from here on: a peak that passes is no reason to throw away what
was trained. What has no projection yet is held to three times `stop`, as before settling, and what has one to five
times `stop`, for a law that was fitted on less may be wrong there. At a stage's end the raw score decides, always.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from retain.values import ForgettingScore, ProbeReport, Severity, Verdict
from retain.values.severity import LEAST_RATIO, badness_of
from services.orchestrator.domain.policy.limits import Limits
from services.orchestrator.domain.policy.probe import PROBE_NOT_KEPT, read_probe

IMPOSSIBLE_SCORE = "IMPOSSIBLE_SCORE"


@dataclass(frozen=True, kw_only=True)
class GateInput:
    """What the gate looks at. `not_finite` names what is NaN, infinite or missing; `watched` counts boundaries on which
    a score was watched already; `projected` are scores at the stage's end under the present mix, `onward` those under
    the mix from here on, which `stop` may compare; `may_climb` is False for a verdict on a checkpoint at or before an
    adjustment's step; `replayed` are the sets whose text is being trained on, `gauges` those that no stage trains on.
    `probe` is what a fine-tuning's probe found, where it was asked.
    All ratios; `progress` is the share of the stage that is done, 0 to 1.
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
    gauges: frozenset[str] = frozenset()
    probe: ProbeReport | None = None


@dataclass(frozen=True, kw_only=True)
class GateOutcome:
    """What a boundary calls for, with the evidence: the worst score, what was compared, the threshold. Whether the
    `verdict` can be had (retries, rungs) is decided later; with `keeps_mix` nothing is changed, whatever is projected.

    `act_on` names the set whose compared score is the highest: the one that more replay is for. `in_doubt`: a score
    whose interval spans a threshold was let pass this once. `hold_reason`: why a person is asked, where that is not for
    want of retries. `doubted`: the score that is too good to be true, if there is one. The message names each threshold
    that it speaks of with its value; `threshold` is the one that was compared with."""

    verdict: Verdict
    severity: Severity
    worst: ForgettingScore | None = None
    compared: float | None = None
    threshold: float = 0.0
    act_on: str = ""
    keeps_mix: bool = False
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
    return max(scores, key=lambda s: badness_of(s.ratio, s.floor_ratio), default=None)


def apply_gate(at: GateInput, limits: Limits) -> GateOutcome:
    """What one boundary calls for: by its scores, and at the end of a fine-tuning by its probe too."""
    outcome = _outcome_on_scores(at, limits)
    return outcome if at.probe is None else _with_probe(outcome, at.probe, limits, last=at.last)


def _with_probe(outcome: GateOutcome, probe: ProbeReport, limits: Limits, *, last: bool) -> GateOutcome:
    """What the scores call for, with what the probe says; a result that they would accept goes back for a loss that is
    surely over the probe's budget, or to a person where nothing is to be done about it."""
    found = read_probe(probe, limits.probe_budget)
    outcome = replace(outcome, message=f"{outcome.message}; {found.said}")
    if found.over is None or not last or outcome.verdict is not Verdict.ACCEPT:
        return outcome
    verdict = Verdict.ROLL_BACK if limits.mitigate else Verdict.STOP
    severity = outcome.severity if outcome.severity is Severity.STOP else Severity.ACTION
    reason = "" if limits.mitigate else PROBE_NOT_KEPT
    return replace(outcome, verdict=verdict, severity=severity, act_on="", hold_reason=reason)


def _outcome_on_scores(at: GateInput, limits: Limits) -> GateOutcome:
    """What the scores call for. What the gauge does not resolve counts as 0: nothing is done about it, and where
    it is the worst there is no verdict on what was forgotten."""
    outcome = _outcome_resolved(_as_resolved(at), limits)
    given = (*at.scores, *at.report_scores)
    found = outcome.worst and next((score for score in given if _same_set(score, outcome.worst)), None)
    if found is None or found.resolved:
        return outcome
    if outcome.verdict not in (Verdict.CONTINUE, Verdict.ACCEPT):  # for another reason, which its message says
        return replace(outcome, worst=found)
    said = f"{found.retention_set} {found.ratio:+.2g} is within the noise floor of the gauge (±{found.floor_ratio:.2g})"
    message = f"{said}: not resolved, nothing is done about it"
    if outcome.doubted is not None:
        message += outcome.message[outcome.message.index("; ") :]
    return replace(outcome, severity=Severity.UNRESOLVED, worst=found, compared=found.ratio, act_on="", message=message)


def _as_resolved(at: GateInput) -> GateInput:
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


def _outcome_resolved(at: GateInput, limits: Limits) -> GateOutcome:
    doubted = min((*at.scores, *at.report_scores), key=_lowest, default=None)
    if doubted is None or not limits.doubtful(doubted.ratio):
        return _outcome(at, limits)
    if doubted.ratio < LEAST_RATIO and not at.not_finite and all(score.finite for score in at.scores):
        return _impossible(at, doubted, limits)
    outcome = _outcome(at, limits)
    what = f"{doubted.retention_set} {doubted.ratio:+.2%} is suspicious (below {_percent(limits.suspicious_below)})"
    if doubted.retention_set in at.replayed:
        why = "that text is replayed, so that text is being learned"
    elif doubted.retention_set in at.gauges:
        why = "text of its kind is being learned, or the baseline or the set is in doubt"
    else:
        why = "the baseline or the set is in doubt"
    return replace(outcome, doubted=doubted, message=f"{outcome.message}; {what}: {why}")


def _lowest(score: ForgettingScore) -> float:
    return score.ratio if score.finite else math.inf


def _impossible(at: GateInput, doubted: ForgettingScore, limits: Limits) -> GateOutcome:
    """A fault of the measurement, whatever the model is: nothing is decided by it, a person is asked."""
    return GateOutcome(
        verdict=Verdict.STOP,
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


def _outcome(at: GateInput, limits: Limits) -> GateOutcome:
    worst = worst_of(at.scores)
    if at.not_finite or (worst is not None and not worst.finite):
        what = at.not_finite or f"forgetting of {worst.retention_set if worst else ''}"
        return GateOutcome(
            verdict=Verdict.ROLL_BACK,
            severity=Severity.STOP,
            worst=worst,
            threshold=limits.stop,
            message=f"{what} is not a finite number: as at or over stop ({_percent(limits.stop)})",
        )
    if worst is None:
        verdict = Verdict.ACCEPT if at.last else Verdict.CONTINUE
        return GateOutcome(verdict=verdict, severity=Severity.UNSPECIFIED, message="no retention set to compare with")
    if at.last:
        return _outcome_last(at, worst, limits)
    if not limits.mitigate:
        return _measured_only(Verdict.CONTINUE, worst, limits)
    return _outcome_between(at, worst, limits)


def _measured_only(verdict: Verdict, worst: ForgettingScore, limits: Limits) -> GateOutcome:
    """Nothing is done about it: the band that the score lies in is told."""
    said, threshold = _band(worst.ratio, limits)
    return _made(verdict, worst, worst.ratio, threshold, limits, f"{said}; measured only: mitigate is off")


def _band(ratio: float, limits: Limits) -> tuple[str, float]:
    """Where a score lies, with the threshold that says so."""
    if ratio >= limits.stop:
        return f"at or over stop ({_percent(limits.stop)})", limits.stop
    if ratio >= limits.action:
        return f"at or over action ({_percent(limits.action)})", limits.action
    if ratio >= limits.minor:
        return f"below action ({_percent(limits.action)})", limits.action
    return f"below minor ({_percent(limits.minor)})", limits.minor


def _outcome_last(at: GateInput, worst: ForgettingScore, limits: Limits) -> GateOutcome:
    """The end of a stage. The budget is a promise, also of a run that does not mitigate: then a person is asked."""
    if limits.mitigate and worst.ratio >= limits.action:
        said = f"the stage ends at or over action ({_percent(limits.action)})"
        return _made(Verdict.ROLL_BACK, worst, worst.ratio, limits.action, limits, said)
    report = worst_of(at.report_scores)
    if report is not None and not (report.finite and report.ratio < limits.budget):
        budget = _percent(limits.budget)
        said = f"the stage ends at or over its budget ({budget}) on the report set of {report.retention_set}"
        verdict = Verdict.ROLL_BACK if limits.mitigate else Verdict.STOP
        outcome = _made(verdict, report, report.ratio, limits.budget, limits, said)
        return replace(outcome, hold_reason="" if limits.mitigate else "BUDGET_NOT_KEPT")
    if not limits.mitigate:
        return _measured_only(Verdict.ACCEPT, worst, limits)
    said = f"the stage ends below action ({_percent(limits.action)})"
    return _made(Verdict.ACCEPT, worst, worst.ratio, limits.action, limits, said)


def _outcome_between(at: GateInput, worst: ForgettingScore, limits: Limits) -> GateOutcome:
    if at.progress < limits.settle:
        limit = limits.unsettled_stop
        named = f"{limits.unsettled_stop_factor:g} times stop ({_percent(limit)})"
        if worst.ratio >= limit:
            said = f"at or over {named} before settling"
            return _made(Verdict.ROLL_BACK, worst, worst.ratio, limit, limits, said)
        said = f"below {named}, settling until {_percent(limits.settle)} of the stage"
        return _made(Verdict.CONTINUE, worst, worst.ratio, limit, limits, said)
    stopping = max((_stop_of(at, score, limits) for score in at.scores), key=lambda stop: stop.reach)
    doubt = stopping.reached and _unsure(at, stopping.score, stopping.limit, limits)
    if stopping.reached and not doubt:
        said = f"at or over {stopping.named}"
        return _made(Verdict.ROLL_BACK, worst, stopping.compared, stopping.limit, limits, said, act_on=stopping.score)
    action = f"action ({_percent(limits.action)})"
    leading = max(at.scores, key=lambda score: _compared(at, score))
    compared = _compared(at, leading)

    def called_for(verdict: Verdict, said: str, *, threshold: float = limits.action) -> GateOutcome:
        outcome = _made(verdict, worst, compared, threshold, limits, said, act_on=leading)
        return replace(outcome, in_doubt=doubt)

    def watched(said: str, *, in_doubt: bool) -> GateOutcome:
        return replace(called_for(Verdict.CONTINUE, said), in_doubt=in_doubt, keeps_mix=True)

    if compared >= limits.action or not math.isfinite(compared):
        if not at.may_climb:
            return watched(f"at or over {action}; the last adjustment is not in this checkpoint yet", in_doubt=doubt)
        if _unsure(at, leading, limits.action, limits):
            said = f"the interval spans {action}: watched, {at.watched + 1} of {limits.confirm}"
            return watched(said, in_doubt=True)
        return called_for(Verdict.ADJUST, f"at or over {action}")
    if worst.ratio >= limits.stop and limits.stop_projected:
        stop = f"stop ({_percent(limits.stop)})"
        return called_for(Verdict.CONTINUE, f"at or over {stop} now, below {action} at the end")
    if worst.ratio >= limits.action:
        return called_for(Verdict.CONTINUE, f"at or over {action} now, below it at the end")
    said, threshold = _band(worst.ratio, limits)
    return called_for(Verdict.CONTINUE, said, threshold=threshold)


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


def _stop_of(at: GateInput, score: ForgettingScore, limits: Limits) -> _Stop:
    stop = f"stop ({_percent(limits.stop)})"
    if not limits.stop_projected:
        return _Stop(score=score, compared=score.ratio, limit=limits.stop, named=stop)
    at_end = at.onward.get(score.retention_set)
    if at_end is None:
        factor, limit = limits.unsettled_stop_factor, _percent(limits.unsettled_stop)
        named = f"{factor:g} times stop ({limit}) with nothing projected yet"
        return _Stop(score=score, compared=score.ratio, limit=limits.unsettled_stop, named=named)
    if score.ratio >= limits.projected_ceiling:
        factor, limit = limits.projected_ceiling_factor, _percent(limits.projected_ceiling)
        named = f"{factor:g} times stop ({limit}), whatever is projected"
        return _Stop(score=score, compared=score.ratio, limit=limits.projected_ceiling, named=named)
    return _Stop(score=score, compared=at_end, limit=limits.stop, named=f"{stop} at the end")


def _percent(ratio: float) -> str:
    """A threshold as it was given: 5 %, not 5.0, and 4.88 % not 4.9."""
    return f"{100 * ratio:.6g}%"


def _compared(at: GateInput, score: ForgettingScore) -> float:
    return at.projected.get(score.retention_set, score.ratio)


def _unsure(at: GateInput, worst: ForgettingScore, threshold: float, limits: Limits) -> bool:
    """Whether to watch this score once more: its interval spans the threshold. Without one there is no doubt."""
    return worst.ratio_low is not None and worst.ratio_low < threshold and at.watched < limits.confirm


def _made(
    verdict: Verdict,
    worst: ForgettingScore,
    compared: float,
    threshold: float,
    limits: Limits,
    said: str,
    *,
    act_on: ForgettingScore | None = None,
) -> GateOutcome:
    subject = act_on or worst
    where = f"{subject.retention_set} {subject.ratio:+.2%}"
    if compared != subject.ratio:
        where += f" (projected to the end {compared:+.2%})"
    return GateOutcome(
        verdict=verdict,
        severity=limits.severity(worst.ratio),
        worst=worst,
        compared=compared,
        threshold=threshold,
        act_on=subject.retention_set,
        message=f"{where}: {said}",
    )
