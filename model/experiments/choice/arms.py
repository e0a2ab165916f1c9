"""The arms of (m) and (n): a choice before the stage, and a choice after it. Both stand beside arms of (i)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from model.experiments.arms import NamedArm

LOOP_SHARES = (0.10, 0.25)  # fixed mixes of (n): both end over the budget at the rate of the loops


def share_choice_arms(defaults: Sequence[NamedArm]) -> list[NamedArm]:
    """(m) The fixed mixes of (i) and its anticipating loops; then the share chosen by a trial of mixes: with the loop
    after it, and left alone."""
    fixed = [named for named in defaults if named.group == "fixed"]
    loops = [named for named in defaults if named.group == "loop" and _anticipates(named)]
    arms = [*fixed, *loops]
    for named in loops:
        gate = replace(named.arm.gate, controller="OP_MIX")
        told = named.label.replace("ANTICIPATE", "OP_MIX")
        waits = 0.0 if named.arm.penalty else 0.5
        arms.append(NamedArm(group="loop", label=told, arm=replace(named.arm, gate=gate), waits=waits))
        if not named.arm.penalty:
            alone = replace(named.arm, gate=replace(gate, mitigate=False))
            arms.append(NamedArm(group="loop", label="OP_MIX, then left alone, none", arm=alone, waits=0.2))
    return arms


def point_kind_arms(defaults: Sequence[NamedArm]) -> list[NamedArm]:
    """(n) Fixed mixes of (i) that end over the budget, with points of every kind measured at their end."""
    rate = max(named.arm.learning_rate for named in defaults if named.group == "fixed")
    return [
        NamedArm(group="fixed", label=named.label, arm=replace(named.arm, point_kinds=True), waits=0.3)
        for named in defaults
        if named.group == "fixed" and named.arm.learning_rate == rate and named.arm.general_share in LOOP_SHARES
    ]


def _anticipates(named: NamedArm) -> bool:
    gate = named.arm.gate
    return gate.controller == "ANTICIPATE" and gate.stop_on == "PROJECTED"
