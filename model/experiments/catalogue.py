"""The experiments, each as the list of arms that it needs. Arms that two of them share are run once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from model.experiments.arms import REPLAYS, Arm, Constant, GateRules, NamedArm
from model.experiments.choice.arms import point_kind_arms, share_choice_arms

SHARES = (0.0, 0.05, 0.10, 0.25, 0.50)
FRONTIER_SHARES, FRONTIER_RATES = (0.10, 0.25, 0.50), (1e-3, 2e-3)
RATE = 1e-3
UNTUNED_SHARE = 0.10
WITH_AND_WITHOUT = (0.0, 0.10)
RATES = (2e-3, RATE, 5e-4)
L2_SP = (1e-3, 1e-2, 1e-1)
EWC = (1e-3, 1e-2, 1e-1)
DISTILL = (0.3, 1.0, 3.0)
LORA_RANK, LORA_RATES = 8, (1e-3, 3e-3, 1e-2)
PEAKS = (5e-4, 1e-3, 2e-3)
FORCED_RATE = 2e-2
CHAT_RATE = 5e-4
# GSM8K has about 350 tokens a document: so many are about one epoch of 200 steps of 16 rows of 256 tokens at 10 %.
CURRICULUM_DOCUMENTS = 2_100
LADDER, ANTICIPATING = GateRules(controller="LADDER"), GateRules(controller="ANTICIPATE")
# The early peak passes; with a late stop the loop is left to its projection.
PATIENT = GateRules(controller="ANTICIPATE", stop=0.60)
# Replay late, where the rate is low already, or early, while it is high: (share, later share, part of the stage).
UNEVEN = ((0.05, 0.50, 0.7), (0.50, 0.15, 0.3))
LOOP_RATE = FRONTIER_RATES[-1]  # the better one of the frontier
HIGHER_RATE = 4e-3  # not on the frontier: a loop there, and a fixed mix that shows what the rate alone does
WITH_TEACHER: Mapping[str, Any] = {"penalty": "distill", "strength": 1.0}
LOOPS: tuple[tuple[str, GateRules, float, Mapping[str, Any]], ...] = (
    ("anticipating, stop 60%, distillation", PATIENT, LOOP_RATE, WITH_TEACHER),
    ("anticipating, stop 60%", PATIENT, LOOP_RATE, {}),
    ("anticipating, stop 150%", replace(PATIENT, stop=1.50), HIGHER_RATE, {}),
    ("ladder", LADDER, LOOP_RATE, {}),
    ("anticipating", ANTICIPATING, LOOP_RATE, {}),
)

# The defaults are chosen on stages of half the length of the others, with the control sets of a pipeline's default, and
# with the retries that a pipeline has: what a loop that goes back too often leaves a user with is part of the answer.
DEFAULTS: Mapping[str, Any] = {"steps": 100, "control_tokens": 15_000, "measure_line": False}
RETRIES = 2
BEATEN = (
    0.25,
    1e-3,
)  # a fixed mix of (i) that others beat in both figures on every domain: further seeds of it come late

# (j): a twentieth of the tokens of a stage of (i), in whole documents by hash, so few of each domain. Smaller batches
# than elsewhere, so that a pass over so little is ten steps and not five.
SCARCE_TOKENS, SCARCE_ROWS, SCARCE_CONTEXT = 20_480, 8, 256
SCARCE_DOCUMENTS: Mapping[str, int] = MappingProxyType({"gsm8k": 61, "scitldr": 27, "code": 19})
SCARCE_EPOCHS = (4, 16)
SCARCE_SHARES = (0.0, 0.10, 0.25, 0.50)

# (k): each constant of the controllers at half and at double of its default, or as far as a spec allows it to go. The
# defaults are those of services/orchestrator/domain/spec/bounds.py; a test holds the two together.
SENSITIVITY_SEEDS = 1
HALF_AND_DOUBLE: Mapping[str, tuple[Constant, ...]] = MappingProxyType(
    {
        "ladder.rungs": ((0.1, 0.15, 0.25), (0.4, 0.6, 0.9)),
        "ladder.rate_factor": (0.25, 0.99),  # 1 would change nothing, and is refused
        "ladder.largest_replay": (0.45,),
        "anticipate.aim": (0.45, 1.0),
        "anticipate.share_offset": (0.025, 0.1),
        "anticipate.smallest_share": (0.01, 0.04),
        "anticipate.largest_share": (0.25, 0.9),
        "anticipate.share_step": (0.005, 0.02),
        "anticipate.least_raise": (0.01, 0.04),
        "anticipate.least_relief": (0.025, 0.1),
        "anticipate.relief_felt": (0.475, 1.0),
        "anticipate.boundaries_used": (1, 6),
        "anticipate.lag": (0.05, 0.2),
        "anticipate.early_forgetting": (0.118, 0.472),
        "anticipate.end_forgetting": (0.061, 0.244),
    }
)


# (l). ALONE and its strength are what a stage that replays its parent's own text does by default; chosen on one domain
# and seed (SELF_CHOICE), confirmed on the others.
SELF_SHARES, SELF_FRONTIER = (0.10, 0.25), 0.50
ALONE: Mapping[str, Any] = MappingProxyType({"replay": "self", "penalty": "distill", "strength": 4.0, "alone": True})
SELF_HOTTER: Mapping[str, Any] = MappingProxyType({"strength": 3.0, "temperature": 1.25})
SELF_CHOICE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "tokens too, strength 2": {"strength": 2.0, "alone": False},
        "tokens too, strength 4": {"alone": False},
        "tokens too, strength 8": {"strength": 8.0, "alone": False},
        "strength 2": {"strength": 2.0},
        "strength 3": {"strength": 3.0},
        "strength 5": {"strength": 5.0},
        "strength 30": {"strength": 30.0},
        "strength 4, temperature 0.8": {"temperature": 0.8},
        "strength 4, temperature 1.25": {"temperature": 1.25},
        "strength 3, temperature 1.5": {"strength": 3.0, "temperature": 1.5},
        "strength 3, temperature 2": {"strength": 3.0, "temperature": 2.0},
    }
)


def share_arms(domain: str, seed: int) -> list[NamedArm]:
    """(a) Replay shares at equal tokens; the control spends them all on general text."""
    arms = [
        NamedArm(group="share", label=f"{share:.0%}", arm=Arm(domain=domain, seed=seed, general_share=share))
        for share in SHARES
    ]
    control = Arm(domain=domain, seed=seed, general_share=1.0)
    return [*arms, NamedArm(group="control", label="general text only", arm=control)]


def loop_arms(domain: str, seed: int) -> list[NamedArm]:
    """(b) The frontier of fixed mixes, and the loops from the untuned mix on."""
    arms = [
        NamedArm(
            group="fixed",
            label=f"{share:.0%}, {rate:g}",
            arm=Arm(domain=domain, seed=seed, general_share=share, learning_rate=rate),
        )
        for rate in FRONTIER_RATES
        for share in FRONTIER_SHARES
    ]
    for name, gate, rate, held in LOOPS:
        loop = Arm(domain=domain, seed=seed, general_share=UNTUNED_SHARE, learning_rate=rate, gate=gate, **held)
        arms.append(NamedArm(group="loop", label=f"{name}, {rate:g}", arm=loop))
    higher = Arm(domain=domain, seed=seed, general_share=0.25, learning_rate=HIGHER_RATE)
    arms.append(NamedArm(group="higher rate", label=f"25%, {HIGHER_RATE:g}", arm=higher))
    for share in FRONTIER_SHARES[:2]:
        arm = Arm(domain=domain, seed=seed, general_share=share, learning_rate=LOOP_RATE, **WITH_TEACHER)
        arms.append(NamedArm(group="distillation", label=f"{share:.0%}, {LOOP_RATE:g}, distillation", arm=arm))
    for early, late, begin in UNEVEN:
        arm = Arm(
            domain=domain, seed=seed, general_share=early, late_share=late, late_from=begin, learning_rate=LOOP_RATE
        )
        label = f"{early:.0%}, from {begin:.0%} of the stage {late:.0%}, {LOOP_RATE:g}"
        arms.append(NamedArm(group="uneven share", label=label, arm=arm))
    return arms


def penalty_arms(domain: str, seed: int) -> list[NamedArm]:
    """(c) EWC, L2-SP, LoRA, and distillation where there is replay, each with a sweep; a lower rate is what they must
    beat. Interpolation needs no runs."""
    arms = []
    for share in WITH_AND_WITHOUT:
        plain = Arm(domain=domain, seed=seed, general_share=share)
        where = f"share {share:.0%}"
        for rate in RATES:
            arms.append(NamedArm(group=f"rate, {where}", label=f"{rate:g}", arm=replace(plain, learning_rate=rate)))
        for name, strengths in (("ewc", EWC), ("l2_sp", L2_SP), *((("distill", DISTILL),) if share else ())):
            for strength in strengths:
                arm = replace(plain, penalty=name, strength=strength, measure_line=False)
                arms.append(NamedArm(group=f"{name}, {where}", label=f"{strength:g}", arm=arm))
        for rate in LORA_RATES:
            arm = replace(plain, lora_rank=LORA_RANK, learning_rate=rate, measure_line=False)
            arms.append(NamedArm(group=f"lora, {where}", label=f"rank {LORA_RANK}, {rate:g}", arm=arm))
    return arms


def alarm_arms(domain: str, seed: int) -> list[NamedArm]:
    """(d) Text of the same kind must raise no alarm; a rate far too high without replay must."""
    near = Arm(domain="stories", seed=seed, measure_line=False)
    forced = Arm(domain=domain, seed=seed, learning_rate=FORCED_RATE, measure_line=False)
    return [
        NamedArm(group="near", label="stories, no replay", arm=replace(near, gate=LADDER)),
        NamedArm(group="forced", label=f"{domain}, rate {FORCED_RATE:g}, no replay", arm=forced),
        NamedArm(group="forced", label=f"{domain}, the same under the ladder", arm=replace(forced, gate=LADDER)),
    ]


def order_arms(domain: str, seed: int) -> list[NamedArm]:
    """(e) The same documents in three orders. Only arithmetic problems and code state a difficulty."""
    if domain not in ("gsm8k", "code"):
        return []
    documents = CURRICULUM_DOCUMENTS if domain == "gsm8k" else 0
    arm = Arm(domain=domain, seed=seed, general_share=UNTUNED_SHARE, documents=documents, measure_line=False)
    return [
        NamedArm(group="order", label=order.replace("_", " "), arm=replace(arm, order=order))
        for order in ("random", "easy_to_hard", "hard_to_easy")
    ]


def peak_arms(domain: str, seed: int) -> list[NamedArm]:
    """(f) Three peaks of the rate, on text of the same kind and on new text."""
    return [
        NamedArm(
            group="same text" if name == "stories" else "new text",
            label=f"{name}, peak {peak:g}",
            # Those on the domain are arms of (a) and (c) too, which need their line.
            arm=Arm(domain=name, seed=seed, learning_rate=peak, measure_line=name == domain),
        )
        for name in ("stories", domain)
        for peak in PEAKS
    ]


def chat_arms(domain: str, seed: int) -> list[NamedArm]:
    """(g) The domain, then chat: without replay, with general text, with general text and the domain."""
    first = Arm(domain=domain, seed=seed, general_share=0.25)
    arms = [NamedArm(group="first", label=f"{domain}, share 25%", arm=first)]
    for general, own in ((0.0, 0.0), (0.10, 0.0), (0.10, 0.10)):
        chat = Arm(
            domain="chat", seed=seed, general_share=general, domain_share=own, parent=first, learning_rate=CHAT_RATE,
            measure_line=False,
        )  # fmt: skip
        label = f"general {general:.0%}, {domain} {own:.0%}"
        arms.append(NamedArm(group="chat", label=label, arm=chat))
    return arms


def law_arms(domain: str, seed: int) -> list[NamedArm]:
    """(h) Shares at two lengths and two rates, for laws that are to predict shares which they have not seen."""
    return [
        NamedArm(
            group=f"{steps} steps, {rate:g}",
            label=f"{share:.0%}",
            arm=Arm(domain=domain, seed=seed, general_share=share, learning_rate=rate, steps=steps),
        )
        for steps, rate, shares in (
            (200, FRONTIER_RATES[0], SHARES),
            (200, FRONTIER_RATES[1], FRONTIER_SHARES),
            (100, FRONTIER_RATES[0], (0.05, 0.10, 0.25)),
        )
        for share in shares
    ]


def default_arms(domain: str, seed: int) -> list[NamedArm]:
    """(i) Every combination of controller, distillation and the score that stop is compared with, against the frontier
    of fixed mixes; with distillation at equal tokens and, where stop reads the projection (the raw score threw more
    away at equal tokens already), at equal compute, the parent's passes counted."""
    arms = [
        NamedArm(group="fixed", label=f"{share:.0%}, {rate:g}",
                 arm=Arm(domain=domain, seed=seed, general_share=share, learning_rate=rate, **DEFAULTS),
                 waits=2.0 if seed and (share, rate) == BEATEN else 0.0)
        for rate in reversed(FRONTIER_RATES)
        for share in FRONTIER_SHARES
    ]  # fmt: skip
    for stop_on in ("PROJECTED", "RAW"):
        for teacher in (True, False):
            for controller in ("ANTICIPATE", "LADDER"):
                gate = GateRules(controller=controller, stop_on=stop_on, max_retries=RETRIES)
                loop = Arm(
                    domain=domain, seed=seed, general_share=UNTUNED_SHARE, learning_rate=LOOP_RATE, gate=gate,
                    **DEFAULTS, **(WITH_TEACHER if teacher else {}),
                )  # fmt: skip
                label = f"{controller}, {'distillation' if teacher else 'none'}, stop on {stop_on}"
                waits = 0.0
                if stop_on == "RAW":
                    waits = 3.0  # many rollbacks: by far the longest runs
                elif controller == "LADDER" and seed:
                    waits = 2.0  # one seed has shown which controller is behind
                arms.append(NamedArm(group="loop", label=label, arm=loop, waits=waits))
    counted = [
        NamedArm(
            group="loop, equal compute",
            label=named.label,
            arm=replace(named.arm, count_teacher=True),
            waits=0.0 if named.arm.gate.controller == "ANTICIPATE" else 2.0,
        )
        for named in arms
        if named.arm.penalty == "distill" and named.arm.gate.stop_on == "PROJECTED"
    ]
    return [*arms, *counted]


def scarce_arms(domain: str, seed: int) -> list[NamedArm]:
    """(j) A twentieth of the target's tokens over several epochs. The epochs are held and replay comes on top, so that
    an arm with replay has more steps: what is asked is what replay does for the target itself."""
    arms = []
    for epochs in SCARCE_EPOCHS:
        for rate in FRONTIER_RATES:
            for share in SCARCE_SHARES:
                steps = round(SCARCE_TOKENS * epochs / ((1 - share) * SCARCE_ROWS * SCARCE_CONTEXT))
                arm = Arm(
                    domain=domain, seed=seed, general_share=share, learning_rate=rate, rows=SCARCE_ROWS,
                    context=SCARCE_CONTEXT, documents=SCARCE_DOCUMENTS[domain], **{**DEFAULTS, "steps": steps},
                )  # fmt: skip
                arms.append(
                    NamedArm(
                        group=f"{epochs} epochs, {rate:g}",
                        label=f"{share:.0%}",
                        arm=arm,
                        waits=0.5 if rate == LOOP_RATE else 2.2,
                    )
                )
    return arms


def sensitivity_arms(domain: str, seed: int) -> list[NamedArm]:
    """(k) The two controllers of (i) without distillation, then each with one constant changed."""
    arms = []
    for controller, messages in (("ANTICIPATE", ("anticipate", "ladder")), ("LADDER", ("ladder",))):
        gate = GateRules(controller=controller, stop_on="PROJECTED", max_retries=RETRIES)
        base = Arm(
            domain=domain, seed=seed, general_share=UNTUNED_SHARE, learning_rate=LOOP_RATE, gate=gate, **DEFAULTS
        )
        arms.append(NamedArm(group=controller, label="as it is", arm=base, waits=1.4 if seed else 0.0))
        for name, values in HALF_AND_DOUBLE.items():
            if name.partition(".")[0] not in messages or seed >= SENSITIVITY_SEEDS:
                continue
            for value in values:
                told = ", ".join(f"{one:g}" for one in (value if isinstance(value, tuple) else (value,)))
                changed = replace(base, gate=replace(gate, constants=((name, value),)))
                arms.append(
                    NamedArm(
                        group=controller,
                        label=f"{name}: {told}",
                        arm=changed,
                        waits=1.4 if controller == "ANTICIPATE" else 2.4,
                    )
                )
    return arms


def self_replay_arms(domain: str, seed: int) -> list[NamedArm]:
    """(l) No replay, real replay and the model's own text at the shares and the rate of (i), with and without the
    parent's word on the replayed rows, and own text with that word in place of its tokens."""
    base = Arm(domain=domain, seed=seed, learning_rate=RATE, **DEFAULTS)
    arms = [NamedArm(group="none", label="no replay", arm=base, waits=0.3)]
    for part, share in enumerate(SELF_SHARES):
        for held, name in (({}, ""), (WITH_TEACHER, ", distillation")):
            for replay in REPLAYS:
                arm = replace(base, general_share=share, replay=replay, **held)
                waits = 0.4 * part + (0.0 if replay == "self" else 0.2) + (0.1 if name else 0.0)
                arms.append(NamedArm(group=f"{replay}{name}", label=f"{share:.0%}", arm=arm, waits=waits))
        alone = replace(base, general_share=share, **ALONE)
        arms.append(NamedArm(group="self, parent alone", label=f"{share:.0%}", arm=alone))
    frontier = replace(base, general_share=SELF_FRONTIER)
    arms.append(NamedArm(group="real, for the frontier", label=f"{SELF_FRONTIER:.0%}", arm=frontier, waits=0.2))
    tried = {} if seed else {"strength 3, temperature 1.25": SELF_HOTTER}
    if (domain, seed) == ("gsm8k", 0):
        tried |= SELF_CHOICE
    for told, changes in tried.items():
        arm = replace(base, general_share=SELF_SHARES[-1], **{**ALONE, **changes})
        arms.append(NamedArm(group="choice of the strength", label=f"{SELF_SHARES[-1]:.0%}, {told}", arm=arm))
    return arms


EXPERIMENTS: Mapping[str, Callable[[str, int], list[NamedArm]]] = MappingProxyType(
    {
        "a": share_arms,
        "b": loop_arms,
        "c": penalty_arms,
        "d": alarm_arms,
        "e": order_arms,
        "f": peak_arms,
        "g": chat_arms,
        "h": law_arms,
        "i": default_arms,
        "j": scarce_arms,
        "k": sensitivity_arms,
        "l": self_replay_arms,
        "m": lambda domain, seed: share_choice_arms(default_arms(domain, seed)),
        "n": lambda domain, seed: point_kind_arms(default_arms(domain, seed)),
    }
)
TITLES: Mapping[str, str] = MappingProxyType(
    {
        "a": "Replay share",
        "b": "The loops against the frontier of fixed mixes",
        "c": "Penalties, adapters and interpolation",
        "d": "Alarms: none on text of the same kind, none missed",
        "e": "Order by difficulty",
        "f": "Re-warming",
        "g": "Two stages: the domain, then chat",
        "h": "Laws of the share, on shares that they have not seen",
        "i": "Defaults: controller, distillation, and the score that stop is compared with",
        "j": "Scarce target: a twentieth of the target's tokens over several epochs",
        "k": "Sensitivity: half and double of the controllers' constants",
        "l": "Replay without old data: the model's own text against real text of the same share",
        "m": "Choice of the share before the stage: OP_MIX beside ANTICIPATE and the fixed mixes",
        "n": "After the fact: points of the line, of FAPM and of the own path, as many of each",
    }
)
ORDER_OF_RUNS = ("a", "b", "i", "m", "n", "j", "k", "l", "d", "c", "g", "e", "f", "h")


def arms_of(experiment: str, domain: str, seeds: int) -> list[NamedArm]:
    """The arms of one experiment on one domain, seed after seed."""
    return [named for seed in range(seeds) for named in EXPERIMENTS[experiment](domain, seed)]
