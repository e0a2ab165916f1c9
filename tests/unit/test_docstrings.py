"""The check of docstrings: the code passes it, and it finds what it is for."""

import pytest

from tests import docstrings


def test_public_functions_say_their_errors_and_shapes() -> None:
    assert list(docstrings.faults_of_code()) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('def f():\n    """TODO"""', "f: got the docstring 'TODO'"),
        ('def f():\n    """..."""', "f: got the docstring '...'"),
        ('def f():\n    """TODO: explain."""', "f: got the docstring 'TODO: explain.'"),
        ('def load_rows():\n    """Load rows."""', "load_rows: got the docstring 'Load rows.'"),
        ('def f():\n    """Does it."""\n    raise NotFound("x")', "f: raises NotFound"),
        ('def f():\n    raise errors.NotFound("x")', "f: raises NotFound"),
        ('class A:\n    def f(self):\n        """Does it."""\n        raise NotFound', "f: raises NotFound"),
        ('async def f():\n    """Does it."""\n    if x:\n        raise NotFound', "f: raises NotFound"),
        ('def f(x: Tensor) -> int:\n    """Counts."""', "f: takes or returns tensors (x)"),
        ('def f() -> dict[str, torch.Tensor]:\n    """Weights."""', "f: takes or returns tensors (return)"),
        ('def f(x_BT: Tensor):\n    """No legend of B and T."""', "f: takes or returns tensors (x_BT)"),
    ],
)
def test_what_is_owed_is_asked_for(source: str, said: str) -> None:
    (fault,) = docstrings.faults(source)
    assert fault[1].startswith(said)


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Does it. Raises NotFound."""\n    raise NotFound("x")',
        'def f():\n    """Does it; NotFound says that there is none."""\n    raise NotFound("x")',
        'class A:\n    """Raises NotFound."""\n    def f(self):\n        """Does it."""\n        raise NotFound',
        'class A(Port):\n    def f(self):\n        raise NotFound("x")',
        'def f():\n    """Does it."""\n    def inner():\n        raise NotFound\n    raise',
        'def _f():\n    raise NotFound("x")',
        'def f(x: Tensor):\n    """Of any shape."""',
        'def f(x: Tensor):\n    """x: [B, T]."""',
        '# Shapes: B rows, T tokens.\ndef f(x_BT: Tensor) -> Tensor:\n    """Adds."""',
        "def f(x: int) -> int:\n    return x",
    ],
)
def test_what_is_said_is_enough(source: str) -> None:
    assert docstrings.faults(source) == []
