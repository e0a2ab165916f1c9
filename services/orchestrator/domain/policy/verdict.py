"""The two words in which the gate answers: what is to happen, and how bad the score is."""

from enum import StrEnum


class Verdict(StrEnum):
    """What is to happen at a boundary; UNSPECIFIED is a stored decision that cannot be read any more."""

    UNSPECIFIED = "UNSPECIFIED"
    CONTINUE = "CONTINUE"
    ADJUST = "ADJUST"
    ROLL_BACK = "ROLL_BACK"
    STOP = "STOP"
    ACCEPT = "ACCEPT"
    INTERPOLATE = "INTERPOLATE"


class Severity(StrEnum):
    """How bad a score is: below minor, from minor (watch), from action (act), from stop or not finite (go back).
    UNRESOLVED: within the noise floor of the gauge, so that there is no verdict on what was forgotten."""

    UNSPECIFIED = "UNSPECIFIED"
    OK = "OK"
    MINOR = "MINOR"
    ACTION = "ACTION"
    STOP = "STOP"
    UNRESOLVED = "UNRESOLVED"
