"""The errors of the torch core.

    RetainModelError            (a ValueError; carries the field, what came, and what is allowed)
    ├── BadConfig               a model, tokenizer or training setting that cannot work
    ├── UnsupportedArchitecture a checkpoint of a family that this core does not compute
    ├── BadCheckpoint           a model folder that is broken, unsafe, or does not fit its own config
    ├── BadSource               training or evaluation text that cannot be used
    │   └── EmptyBatch          a batch without a single target token
    └── NonFinite               NaN or infinity where a number was due

Each error names the thing at fault in `field`, so that a service can map it onto the path of a request, and `reason` is
a constant in upper case, so that a program can tell errors apart without reading the text.
"""

from typing import ClassVar


class RetainModelError(ValueError):
    """Base of all errors of `model`.

    field: what is at fault (a field path, a file, a tensor, "file.jsonl:17"); came: what was found there;
    allowed: what would have been right, for people to read.
    """

    reason: ClassVar[str] = "MODEL_ERROR"

    def __init__(self, field: str, came: object, allowed: object) -> None:
        # All three go to `args`, so that the error survives pickling (Ray carries exceptions between processes).
        super().__init__(field, came, allowed)
        self.field = field
        self.came = came
        self.allowed = allowed

    def __str__(self) -> str:
        allowed = self.allowed if isinstance(self.allowed, str) else ", ".join(map(str, _as_items(self.allowed)))
        return f"{self.field}: got {self.came}; allowed: {allowed}"


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


class NonFinite(RetainModelError):
    """NaN or infinity in weights, losses or gradients. Nothing downstream may compare against it (nan > x is False)."""

    reason = "NON_FINITE"


def _as_items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple | set | frozenset | dict) else [value]
