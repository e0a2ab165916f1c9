"""What decides at a boundary. A fixed mix decides nothing; a gate that adjusts, goes back and suspends is handed in.

The platform's gate lives in a service, and `model` imports no service. So an experiment asks for a `Gate` by its
protocol and gets it from a factory that the caller names: `module:function`, called with the arm. Each process loads it
for itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from model.errors import BadConfig
from model.experiments.arms import Arm
from model.training.job import Directive, Verdict


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where an attempt begins: a boundary whose snapshot was kept (0: the parent), and the mix from there on. `trial`:
    what is to be tried before that, and told with `Gate.tried`."""

    boundary: int
    shares: Mapping[str, float]
    lr_scale: float
    trial: Trial | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Mixes to try before a stage: steps of each of two short runs, their peak rate, the rank of the adapters, and the
    shares of old text to simulate."""

    steps: int
    learning_rate: float
    rank: int
    shares: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A mix that was simulated and measured on control sets: nats a token of the target, and by which each retention
    set is worse than before the stage."""

    share: float
    target_nats: float
    forgetting_nats: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One set at one boundary: mean nats of a token now and under the baseline, and, of a retention set with enough
    documents, the ends of the 95 % interval of the forgetting ratio. `unit_nats` and `unit_tokens` are those of each
    document, so that two models can be compared in pairs; empty where a loss was no number."""

    name: str
    target: bool
    report: bool
    tokens: int
    bytes: int
    units: int
    loss_nats: float
    baseline_nats: float
    ratio_low: float | None = None
    ratio_high: float | None = None
    unit_nats: tuple[float, ...] = ()
    unit_tokens: tuple[int, ...] = ()


class Gate(Protocol):
    """Decides over one stage. `begin` and `judge` alternate until `begin` gives None."""

    def begin(self) -> Start | None:
        """The next attempt, or None: the stage is over."""
        ...

    def tried(self, mixes: Sequence[Tried], tokens: int) -> Start:
        """The start again, with the mix that is chosen by a trial."""
        ...

    def judge(self, boundary: int, step: int, train_loss_nats: float, sets: Sequence[Measured]) -> Directive:
        """What is to happen after a boundary that was measured."""
        ...

    def broke(self, step: int, message: str) -> None:
        """Training itself came to a number that is not finite."""
        ...

    @property
    def outcome(self) -> str:
        """ACCEPTED, SUSPENDED or FAILED once the stage is over."""
        ...

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Every decision so far, as plain data."""
        ...


GateFactory = Callable[[Arm], Gate]


@dataclass
class FixedMix:
    """No gate: one attempt with the arm's own shares, whatever is measured. They change once if the arm says so."""

    arm: Arm
    outcome: str = ""
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def begin(self) -> Start | None:
        if self.outcome:
            return None
        self.outcome = "ACCEPTED"
        return Start(boundary=0, shares=self.arm.shares, lr_scale=1.0)

    def tried(self, mixes: Sequence[Tried], tokens: int) -> Start:
        """Raises BadConfig: it asks for no trial."""
        raise BadConfig("trial of mixes", "an arm whose mix is fixed", "a gate that asked for one")

    def judge(self, boundary: int, step: int, train_loss_nats: float, sets: Sequence[Measured]) -> Directive:
        if step >= self.arm.steps:
            return Directive(verdict=Verdict.ACCEPT)
        if self.arm.late_share and step >= self.arm.late_from * self.arm.steps:
            return Directive(verdict=Verdict.ADJUST, shares={**self.arm.shares, "general": self.arm.late_share})
        return Directive(verdict=Verdict.CONTINUE)

    def broke(self, step: int, message: str) -> None:
        self.outcome = "FAILED"


def load_factory(name: str) -> GateFactory:
    """The factory that `module:function` names. Raises BadConfig when there is none."""
    module, _, function = name.partition(":")
    try:
        return cast(GateFactory, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise BadConfig("--gate", f"{name} ({error})", "module:function of a factory that takes an arm") from error


def gate_of(arm: Arm, factory: GateFactory | None) -> Gate:
    """The gate of an arm: a fixed mix, or what the factory makes. Raises BadConfig for a gated arm without one."""
    if not arm.gate.controller:
        return FixedMix(arm)
    if factory is None:
        raise BadConfig("--gate", "none", f"a gate for arms under {arm.gate.controller}")
    return factory(arm)
