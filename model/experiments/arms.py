"""What one run is: plain data, named by a digest of everything that can change its outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from model.errors import BadConfig

ROWS_VERSION = 1  # part of every digest: raise it when a run would come out differently
BOUNDARIES = 10  # of every arm: the sets are measured at tenths of a stage
CONTROLLERS = ("", "LADDER", "ANTICIPATE", "OP_MIX")
PENALTIES = ("", "ewc", "l2_sp", "distill")
STOPS = ("RAW", "PROJECTED")
REPLAYS = ("real", "self")
ORDERS = ("random", "easy_to_hard", "hard_to_easy")
CONSTANTS_OF = ("ladder", "anticipate")  # messages of a spec's `forgetting` whose constants an arm may change
Constant = float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """Who decides at the boundaries (empty: nobody, the mix is fixed), by which thresholds on the ratio, and which
    score `stop` is compared with. `constants`: those of the controller that are not at their default, by their name
    below `forgetting` in a spec ("ladder.rungs", "anticipate.aim"). `mitigate` false: what is chosen before the stage
    stays, and nothing is done at its boundaries."""

    controller: str = ""
    budget: float = 0.10
    action: float = 0.10
    stop: float = 0.20
    settle: float = 0.2
    max_retries: int = 4
    stop_on: str = "RAW"
    constants: tuple[tuple[str, Constant], ...] = ()
    mitigate: bool = True

    def __post_init__(self) -> None:
        for name, _ in self.constants:
            if name.partition(".")[0] not in CONSTANTS_OF:
                raise BadConfig("constants", name, f"NAME.FIELD with NAME one of {', '.join(CONSTANTS_OF)}")
        if self.controller not in CONTROLLERS:
            raise BadConfig("controller", self.controller, CONTROLLERS)
        if self.stop_on not in STOPS:
            raise BadConfig("stop_on", self.stop_on, STOPS)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One run of one stage.

    domain      corpus that is learned; general text is replayed by `general_share`, a `parent`'s domain by
                `domain_share` (shares of target tokens)
    steps, rows, context   optimizer steps, rows of a batch, tokens of a row; tokens of a Fisher estimate and of
                intervals that were rolled back come off the steps, so that every arm spends the same
    warmup      share of the steps; the rate then falls in a straight line to 0
    penalty, strength   "ewc", "l2_sp" or "distill"
    lora_rank   0: all weights are trained
    late_share, late_from   share of general text from this part of the stage on (a fixed mix that changes once; 0: not)
    order       of the domain's documents by difficulty
    documents   the first so many documents of the domain by hash (0: all)
    parent      the stage before, None: the pre-trained model
    measure_line   whether points of the line from the parent to the result are measured at the end
    control_tokens   most tokens of the sets that are measured at every boundary
    replay      where general text comes from: "real" stories, or the pre-trained model itself ("self"), which writes
                `written_tokens` of it at a `temperature`
    count_teacher   whether the parent's passes over replayed rows come off the steps too: equal compute instead of
                equal tokens
    alone       whether the parent's word alone counts on replayed rows, and not the tokens that came
    point_kinds whether points of the other kinds (FAPM, the own path) are measured at the end beside the line
    """

    domain: str
    seed: int
    general_share: float = 0.0
    domain_share: float = 0.0
    learning_rate: float = 1e-3
    steps: int = 200
    rows: int = 16
    context: int = 256
    warmup: float = 0.05
    gate: GateRules = GateRules()
    penalty: str = ""
    strength: float = 0.0
    lora_rank: int = 0
    late_share: float = 0.0
    late_from: float = 0.0
    order: str = "random"
    documents: int = 0
    parent: Arm | None = None
    measure_line: bool = True
    control_tokens: int = 40_000
    count_teacher: bool = False
    replay: str = "real"
    temperature: float = 1.0
    written_tokens: int = 200_000
    point_kinds: bool = False
    alone: bool = False

    def __post_init__(self) -> None:
        if self.penalty not in PENALTIES:
            raise BadConfig("penalty", self.penalty, PENALTIES)
        if self.replay not in REPLAYS:
            raise BadConfig("replay", self.replay, REPLAYS)
        if self.order not in ORDERS:
            raise BadConfig("order", self.order, ORDERS)
        if self.gate.controller and self.lora_rank:
            raise BadConfig("lora_rank", f"{self.lora_rank} under a gate", "adapters with a fixed mix only")
        if self.gate.controller and self.late_share:
            raise BadConfig("late_share", f"{self.late_share} under a gate", "a share that changes by itself or a gate")
        if self.count_teacher and self.penalty != "distill":
            raise BadConfig("count_teacher", f"true with penalty {self.penalty!r}", "distill: others have no teacher")
        if self.domain_share and self.parent is None:
            raise BadConfig("domain_share", self.domain_share, "a parent whose domain can be replayed")

    @property
    def tokens(self) -> int:
        """Positions that the arm may spend."""
        return self.steps * self.rows * self.context

    @property
    def steps_per_boundary(self) -> int:
        """Steps between two boundaries, the last of which is the stage's end."""
        return -(-self.steps // BOUNDARIES)

    @property
    def retention_sets(self) -> tuple[str, ...]:
        """Corpora that must be kept: general text, and what the parent learned."""
        return ("general",) if self.parent is None else ("general", self.parent.domain)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each retention set."""
        values = {"general": self.general_share}
        if self.parent is not None:
            values[self.parent.domain] = self.domain_share
        return values

    @property
    def digest(self) -> str:
        """SHA-256 (16 hex digits) of the fields that differ from their defaults, so that a field which is added later
        gives no finished run another name."""
        content = json.dumps([ROWS_VERSION, _differing(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a row keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Arm:
        """The arm of `as_dict`."""
        given = dict(values)
        parent = given.pop("parent", None)
        rules = dict(given.pop("gate"))
        held = [(name, _as_tuple(value)) for name, value in rules.pop("constants", ())]
        gate = GateRules(**rules, constants=tuple(held))
        return cls(**given, gate=gate, parent=None if parent is None else cls.from_dict(parent))


@dataclass(frozen=True, kw_only=True)
class NamedArm:
    """An arm with the words that a table has for it. `waits`: how many further seeds of other arms run before it, where
    what it answers is asked last."""

    group: str
    label: str
    arm: Arm
    waits: float = 0.0


def _as_tuple(value: Any) -> Constant:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else cast(Constant, value)


def _differing(settings: Arm | GateRules) -> dict[str, Any]:
    """Fields that are not at their default, those of nested settings likewise."""
    found: dict[str, Any] = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        if value != one.default:
            found[one.name] = _differing(value) if isinstance(value, Arm | GateRules) else value
    return found
