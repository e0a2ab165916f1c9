"""What one test leaves in the process is not there for the next (tests/conftest.py). In this order."""

import sys
from types import ModuleType


def test_one_puts_something_in_place_of_the_main_module() -> None:
    sys.modules["__main__"] = ModuleType("a_page")
    assert sys.modules["__main__"].__name__ == "a_page"


def test_the_next_finds_its_own_again() -> None:
    assert sys.modules["__main__"].__name__ != "a_page"
