"""Errors keep what they say when they travel between processes."""

import pickle

from services.common.errors import InvalidInput, InvalidTransition, RetainError, Stale, Violation


def test_an_invalid_input_travels_with_its_violations():
    error = InvalidInput(
        [Violation(field="name", description="got ''; expected 1 to 63 characters")], reason="BAD_NAME"
    )
    came = pickle.loads(pickle.dumps(error))
    assert (came.violations, came.reason, str(came)) == (error.violations, "BAD_NAME", str(error))


def test_other_errors_travel_with_reason_and_metadata():
    error = Stale("etag 3 is old", metadata={"etag": "5"})
    came = pickle.loads(pickle.dumps(error))
    assert (type(came), came.reason, came.metadata, came.message) == (Stale, "STALE", {"etag": "5"}, "etag 3 is old")


def test_a_transition_names_the_state_and_what_is_allowed():
    error = InvalidTransition("Approve", state="RUNNING", expected=["SUSPENDED"])
    assert isinstance(error, RetainError)
    assert "got a run that is RUNNING; expected SUSPENDED" in str(error)
