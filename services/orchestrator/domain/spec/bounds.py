"""What the gate and the controllers work with, from a spec to the plain numbers of domain/policy: `forgetting`, its
`ladder` and its `anticipate`, and the schedule of a stage.

    forgetting_nats = c / (share + share_offset)

The defaults were measured on one small model (anticipation.py and ladder.py in domain/policy have the figures); which
of them change what is chosen when halved or doubled is in experiment (k), ui/learn/experiments.md.
"""

import math
from dataclasses import fields
from typing import Any, TypeVar

from retain.values import AnticipateSpec, ForgettingSpec, LadderSpec, ScheduleKind, ScheduleSpec, StopOn
from retain.values.severity import SUSPICIOUS_BELOW
from services.orchestrator.domain.policy.anticipation import Anticipation
from services.orchestrator.domain.policy.ladder import Ladder
from services.orchestrator.domain.policy.learning_rate import RateShape
from services.orchestrator.domain.policy.limits import PROJECTED_CEILING_FACTOR, UNSETTLED_STOP_FACTOR, Limits
from services.orchestrator.domain.spec.probe import probe_budget

Bounds = TypeVar("Bounds", LadderSpec, AnticipateSpec)

# What `forgetting.anticipate` holds where it says nothing.
DEFAULT_ANTICIPATE = AnticipateSpec(
    aim=0.9,
    share_offset=0.05,
    smallest_share=0.02,
    largest_share=0.5,  # nothing was measured beyond it
    share_step=0.01,
    least_raise=0.02,  # smaller changes are noise of the estimate
    least_relief=0.05,
    relief_felt=0.95,  # late, what goes wrong cannot be undone
    boundaries_used=3,  # old ones are of another learning rate
    lag=0.1,
    early_forgetting=0.236,  # GSM8K, share .25: nats forgotten at a tenth of the stage
    end_forgetting=0.122,  # and at its end
    scarce_passes=4.0,  # experiment (j): there on replay helped two targets of three, at 16 all of them
)
# What `forgetting.ladder` holds where it says nothing.
DEFAULT_LADDER = LadderSpec(rungs=(0.2, 0.3, 0.5), rate_factor=0.5, largest_replay=0.9)


def _given_or(given: Bounds, default: Bounds) -> dict[str, Any]:
    """The fields of `given`; those that it does not say are those of `default`."""
    values = {f.name: getattr(given, f.name) for f in fields(given)}
    return {name: getattr(default, name) if value in (None, ()) else value for name, value in values.items()}


def limits_of(rules: ForgettingSpec) -> Limits:
    """The gate's thresholds from a filled spec; a missing value is a programming error and fails here. A budget that
    nobody set while mitigation is off is infinite: who only measures has promised nothing."""
    factor, ceiling = rules.unsettled_stop_factor, rules.projected_ceiling_factor
    values = (rules.minor, rules.action, rules.stop, rules.settle)
    assert all(value is not None for value in values), "the spec has not been filled"
    minor, action, stop, settle = (float(value) for value in values if value is not None)
    return Limits(
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
        projected_ceiling_factor=PROJECTED_CEILING_FACTOR if ceiling is None else ceiling,
        probe_budget=probe_budget(rules),
    )


def ladder_of(rules: ForgettingSpec) -> Ladder:
    """The ladder's bounds; what a spec does not say (one stored before it could say it) is the default."""
    return Ladder(**_given_or(rules.ladder, DEFAULT_LADDER))


def anticipation_of(rules: ForgettingSpec) -> Anticipation:
    """The law's constants; what a spec does not say (one stored before it could say it) is the default."""
    return Anticipation(**_given_or(rules.anticipate, DEFAULT_ANTICIPATE))


def rate_shape_of(schedule: ScheduleSpec) -> RateShape:
    """The shape of a stage's learning rate."""
    warmup, decay = schedule.warmup or 0.0, schedule.decay or 0.0
    starts = max(warmup, 1.0 - decay) if schedule.kind is ScheduleKind.WSD else warmup
    return RateShape(
        warmup=warmup,
        decay_start=1.0 if schedule.kind is ScheduleKind.CONSTANT else starts,
        floor=schedule.floor or 0.0,
        cosine=schedule.kind is ScheduleKind.COSINE,
    )
