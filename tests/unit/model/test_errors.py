"""Errors of the torch core carry what a service needs, also from one process to another."""

import pickle

import pytest

from model.errors import BadConfig, BadSource, EmptyBatch, RetainModelError


def test_the_message_names_field_what_came_and_what_is_allowed() -> None:
    error = BadConfig("model.preset", "huge", ["nano", "7b"])
    assert str(error) == "model.preset: got huge; expected nano, 7b"
    assert (error.field, error.got, error.reason) == ("model.preset", "huge", "BAD_CONFIG")


def test_it_survives_pickling_between_processes() -> None:
    error = pickle.loads(pickle.dumps(EmptyBatch("targets", 0, "at least one")))
    assert isinstance(error, EmptyBatch)
    assert (error.field, error.got, error.expected) == ("targets", 0, "at least one")


def test_one_clause_catches_them_all() -> None:
    with pytest.raises(RetainModelError):
        raise EmptyBatch("targets", 0, "at least one")
    assert issubclass(EmptyBatch, BadSource)
    assert issubclass(RetainModelError, ValueError)
