"""The forgetting policy as one scale, from "keep everything" to "learn everything", and what each position sets.

The middle is Retain's default (5 / 10 / 20 %, a budget of 10 %). One step towards keeping halves every threshold, one
step towards learning doubles it; at the end of learning nothing is done about forgetting, it is only measured.
"""

from collections.abc import Mapping
from typing import Any

from retain.values.thresholds import ACTION, MINOR, STOP
from ui.spec.form.edit import REMOVED, Path, value_at

KEEP_ALL, KEEP, BALANCED, LEARN, LEARN_ALL = (
    "Keep everything",
    "Rather keep",
    "Balanced",
    "Rather learn",
    "Learn everything",
)
CUSTOM = "As written"  # what the spec sets is none of the positions
_SCALES: Mapping[str, float] = {KEEP_ALL: 0.25, KEEP: 0.5, BALANCED: 1.0, LEARN: 2.0}
POSITIONS = (*_SCALES, LEARN_ALL)
SET_FIELDS = ("minor", "action", "stop", "budget", "mitigate")


def settings_of(position: str) -> dict[str, Any]:
    """What a position sets of the spec's `forgetting`; of the rest of it nothing."""
    if position == LEARN_ALL:
        return {"mitigate": False}
    scale = _SCALES[position]
    return {
        "minor": round(MINOR * scale, 6),
        "action": round(ACTION * scale, 6),
        "stop": round(STOP * scale, 6),
        "budget": round(ACTION * scale, 6),
    }


def position_of(tree: Any) -> str:
    """Where a spec stands on the scale, by what it says and by the defaults of what it leaves out."""
    given = value_at(tree, ("forgetting",))
    given = given if isinstance(given, dict) else {}
    if given.get("mitigate") is False:
        return LEARN_ALL if not any(given.get(name) is not None for name in SET_FIELDS[:4]) else CUSTOM
    action = given.get("action") if given.get("action") is not None else ACTION
    said = {"minor": MINOR, "action": ACTION, "stop": STOP, "budget": action}
    said |= {name: given[name] for name in said if given.get(name) is not None}
    return next((position for position in _SCALES if settings_of(position) == said), CUSTOM)


def changes_to(position: str) -> list[tuple[Path, Any]]:
    """What to change in a spec so that it stands at a position; the other fields of `forgetting` stay."""
    settings = settings_of(position)
    return [(("forgetting", name), settings.get(name, REMOVED)) for name in SET_FIELDS]


def told(position: str) -> str:
    """What a position means, in a sentence."""
    if position == LEARN_ALL:
        return "Sets `mitigate: false`: forgetting is measured and shown, and nothing is done about it."
    if position == CUSTOM:
        return "The thresholds are as the spec has them; a position of the scale replaces them."
    s = settings_of(position)
    return (
        f"Sets minor {s['minor']:.2%}, action {s['action']:.2%}, stop {s['stop']:.2%} and a budget of "
        f"{s['budget']:.2%}: from action on Retain replays more, then lowers the rate; from stop on it goes back."
    )
