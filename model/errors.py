"""The errors of the torch core.

    RetainModelError            (a ValueError; carries the field, what was got, and what was expected)
    ├── BadConfig               a model, tokenizer or training setting that cannot work
    ├── UnsupportedArchitecture a checkpoint of a family that this core does not compute
    ├── BadCheckpoint           a model folder that is broken, unsafe, or does not fit its own config
    ├── BadSource               training or evaluation text that cannot be used
    │   ├── EmptyBatch          a batch without a single target token
    │   └── NothingToPack       documents without a single token
    └── NonFinite               NaN or infinity where a number was due

Each error names the thing at fault in `field`, so that a service can map it onto the path of a request, and `reason` is
a constant in upper case, so that a program can tell errors apart without reading the text.
"""

from typing import Any, ClassVar

from retain.values.faults import mismatch

LONGEST_TEXT = 1_000  # characters of any part of an error; what was got may be a file of gigabytes


class RetainModelError(ValueError):
    """Base of all errors of `model`.

    field: what is at fault (a field path, a file, a tensor, "file.jsonl:17"); got: what was found there;
    expected: what would have been right, for people to read.
    """

    reason: ClassVar[str] = "MODEL_ERROR"

    def __init__(self, field: str, got: object, expected: object) -> None:
        # All three go to `args`, so that the error survives pickling (Ray carries exceptions between processes).
        field, got, expected = printable(field), printable(got), printable(expected)
        super().__init__(field, got, expected)
        self.field = field
        self.got = got
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"

    @property
    def description(self) -> str:
        """What is wrong with the field: "got ...; expected ..."."""
        expected = self.expected if isinstance(self.expected, str) else ", ".join(map(str, _as_items(self.expected)))
        return mismatch(self.got, expected)


class BadConfig(RetainModelError):
    """A setting of a model, a tokenizer or a training run that cannot work."""

    reason = "BAD_CONFIG"


class UnsupportedArchitecture(RetainModelError):
    """The checkpoint belongs to a model family, or uses a variant of one, that this core does not compute."""

    reason = "UNSUPPORTED_ARCHITECTURE"


class BadCheckpoint(RetainModelError):
    """A model folder that is broken or unsafe: pickles, `auto_map`, missing or misshapen tensors, a bad header."""

    reason = "BAD_CHECKPOINT"


class BadSource(RetainModelError):
    """Text that cannot be used: an unknown URI, a broken line, a missing field, an empty data set."""

    reason = "BAD_SOURCE"


class EmptyBatch(BadSource):
    """A batch without target tokens: its mean loss would be 0/0, and a mask of all zeros is a bug somewhere else."""

    reason = "EMPTY_BATCH"


class NothingToPack(BadSource):
    """Documents in which there is no token at all: an empty source, or one of which nothing may be trained on."""


class NonFinite(RetainModelError):
    """NaN or infinity in weights, losses or gradients. Nothing downstream may compare against it (nan > x is False)."""

    reason = "NON_FINITE"


class Cancelled(Exception):
    """The caller asked for work to end before it was done. No fault, so it is no RetainModelError."""


def printable(value: Any) -> Any:
    """A text that any terminal, log and message can carry; what is not text is returned as it is.

    Half surrogates (in broken JSON, or in the name of a file whose bytes are not UTF-8) become escapes, control
    characters too, and what is longer than LONGEST_TEXT is cut with a count of the rest.
    """
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_TEXT:
        value = f"{value[:LONGEST_TEXT]}... ({len(value) - LONGEST_TEXT:,} more characters)"
    value = value.encode("utf-8", "backslashreplace").decode()
    return value if value.isprintable() else "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in value)


def _escaped(character: str) -> str:
    return ascii(character)[1:-1] if character != "\t" else " "


def _as_items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple | set | frozenset | dict) else [value]
