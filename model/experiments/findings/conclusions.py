"""What the figures of an experiment say, in plain sentences computed from them; also what did not help."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

from model.experiments.catalogue import RATE, UNTUNED_SHARE, WITH_AND_WITHOUT
from model.experiments.findings.choices import chosen_shares, point_kinds
from model.experiments.findings.frontier import Matched, Point, match
from model.experiments.findings.pairs import paired
from model.experiments.findings.results import GENERAL, Finished, best_point, by_label, of_group, of_seed, seeds
from model.experiments.findings.scarce import scarce
from model.experiments.findings.self_replay import self_replay
from model.experiments.findings.sensitivity import sensitivity
from model.experiments.law import compare, seen_in
from model.experiments.measuring import CONTROL
from retain.values.means import mean_of

TARGET_RATIO, UNTUNED_RATIO = 0.8, 0.5  # what the loop is to reach against the frontier and the untuned mix
ACTION, STOP = 0.10, 0.20


def conclude(experiment: str, domain: str, runs: Sequence[Finished]) -> list[str]:
    """The sentences of one experiment on one domain; empty when nothing has run."""
    return _SENTENCES[experiment](domain, runs) if runs else []


def _share(domain: str, runs: Sequence[Finished]) -> list[str]:
    arms = by_label(of_group(runs, "share"))
    shares = [(label, _forgotten(of), _target(of)) for label, of in arms.items()]
    said = []
    if len(shares) > 1:
        said.append(f"What is forgotten {_falls([f for _, f, _ in shares])} with the share of replay.")
        said.append(f"The target's loss {_rises([t for _, _, t in shares])} with it.")
    if "0%" in arms and "5%" in arms:
        none, some = _forgotten(arms["0%"]), _forgotten(arms["5%"])
        cost = _target(arms["5%"]) - _target(arms["0%"])
        removed = f"{1 - some / none:.0%}" if none > 0 else "nothing to remove"
        said.append(
            f"5 % of replay removes {removed} of what is forgotten without any ({none:.4f} -> {some:.4f} nats) and "
            f"costs {cost:+.4f} nats of the target (published: 67-85 % removed on a weak shift, 53-79 % on a strong)."
        )
    control = of_group(runs, "control")
    if control:
        said.append(f"The same tokens of general text alone change it by {_forgotten(control):+.4f} nats.")
    return said


def _loops(domain: str, runs: Sequence[Finished]) -> list[str]:
    said = []
    for label, loops in by_label(of_group(runs, "loop")).items():
        plain: list[float] = []
        on_line: list[float] = []
        both: list[float] = []
        untuned_ratio: list[float] = []
        outside: list[str] = []
        for seed in seeds(loops):
            fixed = of_seed(of_group(runs, "fixed"), seed)
            untuned = next(
                (f for f in fixed if (f.arm.general_share, f.arm.learning_rate) == (UNTUNED_SHARE, RATE)), None
            )
            loop = of_seed(loops, seed)[0]
            if not loop.accepted or len(fixed) < 2:
                outside.append(f"seed {seed}: {loop.row['outcome']}" if fixed else "no fixed mixes")
                continue
            at = [f.at() for f in fixed]
            _keep(match(loop.at(), at), plain, outside)  # why there is no ratio is told once, of the result itself
            best = best_point(loop, lambda p, f=fixed: match(p, [one.at(CONTROL) for one in f]).ratio)
            _keep(match(loop.at(point=best), at), on_line, [])
            every = [f.at(point=point) for f in fixed for point in f.points]
            _keep(match(loop.at(point=best), every), both, [])
            if untuned is not None:
                untuned_ratio.append(loop.forgetting(point=best) / untuned.forgetting())
        said.append(
            f"{label}: at matched target loss it forgets {_times(plain, TARGET_RATIO)} of the frontier, "
            f"{_times(on_line, TARGET_RATIO)} with interpolation ({_times(both, None)} when the fixed mixes are "
            f"interpolated too), and {_times(untuned_ratio, UNTUNED_RATIO)} of the untuned mix."
            + (f" Left out: {'; '.join(outside)}." if outside else "")
        )
        said += [_budget(loop) for loop in loops]
    others = [run for group in ("higher rate", "distillation", "uneven share") for run in of_group(runs, group)]
    return said + [_without_loop(label, of, runs) for label, of in by_label(others).items()]


def _defaults(domain: str, runs: Sequence[Finished]) -> list[str]:
    """The loops at equal tokens and at equal compute against the same frontier, then what each setting changes."""
    said = []
    for group in ("loop", "loop, equal compute"):
        loops = [replace(run, group="loop") for run in of_group(runs, group)]
        sentences = _loops(domain, [*of_group(runs, "fixed"), *loops])
        said += [f"{'equal compute' if group != 'loop' else 'equal tokens'}: {sentence}" for sentence in sentences]
    return said + paired(of_group(runs, "loop"))


def _choices(domain: str, runs: Sequence[Finished]) -> list[str]:
    """The loops against the frontier of the fixed mixes, then the shares that the trials chose."""
    return _loops(domain, runs) + chosen_shares(runs)


def _without_loop(label: str, mixes: Sequence[Finished], runs: Sequence[Finished]) -> str:
    """A fixed mix that is no point of the frontier, held against it like a loop."""
    plain: list[float] = []
    on_line: list[float] = []
    why: list[str] = []
    for mix in mixes:
        fixed = of_seed(of_group(runs, "fixed"), mix.arm.seed)
        at = [one.at() for one in fixed]
        _keep(match(mix.at(), at), plain, why)
        best = best_point(mix, lambda p, f=fixed: match(p, [one.at(CONTROL) for one in f]).ratio)
        _keep(match(mix.at(point=best), at), on_line, [])
    return (
        f"{label}: without any loop it forgets {_times(plain, TARGET_RATIO)} of the frontier, "
        f"{_times(on_line, TARGET_RATIO)} with interpolation." + (f" Left out: {'; '.join(why)}." if why else "")
    )


def _keep(found: Matched, values: list[float], outside: list[str]) -> None:
    if found.ratio is not None:
        values.append(found.ratio)
    elif found.frontier_nats is not None:
        outside.append(f"the frontier forgets nothing there ({found.frontier_nats:+.4f} nats)")
    else:
        end = found.end
        at = f" (it ends at target {end.target_nats:.4f}, forgotten {end.forgetting_nats:.4f})" if end else ""
        outside.append(f"{found.reach}{at}")


def _budget(loop: Finished) -> str:
    rollbacks = sum(d["verdict"] == "ROLL_BACK" for d in loop.row["decisions"])
    how = f"{rollbacks} rollbacks in the last play of {loop.row['plays']}"
    if not loop.accepted:
        return f"{loop.label}, seed {loop.arm.seed}: {loop.row['outcome']}, no model is handed on ({how})."
    ratio, budget = math.expm1(loop.forgetting()), loop.arm.gate.budget
    holds = "holds" if ratio < budget else "does NOT hold"
    share = loop.row["history"][-1]["shares"][GENERAL]
    return (
        f"{loop.label}, seed {loop.arm.seed}: the budget of {budget:.0%} {holds} on the report set ({ratio:+.1%}), "
        f"target gain {loop.gain():.4f} nats, last share {share:.0%} ({how})."
    )


def _penalties(domain: str, runs: Sequence[Finished]) -> list[str]:
    said = []
    for share in WITH_AND_WITHOUT:
        where = f"share {share:.0%}"
        rates = of_group(runs, f"rate, {where}")
        if not rates:
            continue
        methods = {name: of_group(runs, f"{name}, {where}") for name in ("ewc", "l2_sp", "lora", "distill")}
        for name, arms in methods.items():
            points = [(run.arm.seed, run.at()) for run in arms]
            said.append(f"{name} at {where}: {_against_rates(points, rates)}")
        plain = [run for run in rates if run.arm.learning_rate == RATE]
        line = [(run.arm.seed, run.at(point=p)) for run in plain for p in run.points if p < 1.0]
        said.append(f"interpolation at {where}: {_against_rates(line, rates)}")
    return said


def _against_rates(points: Sequence[tuple[int, Point]], rates: Sequence[Finished]) -> str:
    """The best point of a method against the curve of learning rates of its own seed."""
    if not points:
        return "not run."
    ratios, reasons = [], []
    for seed, point in points:
        found = match(point, [run.at() for run in of_seed(rates, seed)])
        if found.ratio is None:
            reasons.append(str(found.reach).removeprefix("not reached: "))
        else:
            ratios.append((found.ratio, point))
    if not ratios:
        return f"not reached at any strength ({'; '.join(sorted(set(reasons)))})."
    ratio, best = min(ratios, key=lambda pair: pair[0])
    verdict = "helps" if ratio < 0.95 else "does not help" if ratio > 1.05 else "makes no difference"
    ends = f"x {ratio:.2f} of the forgetting of a lower rate at the same target loss"
    outside = f"; {len(reasons)} of {len(points)} points not reached" if reasons else ""
    return f"{verdict}: {ends} at best (target {best.target_nats:.4f}, forgotten {best.forgetting_nats:.4f}){outside}."


def _alarms(domain: str, runs: Sequence[Finished]) -> list[str]:
    said = []
    for run in runs:
        ratios = [ratio for _, ratio in run.history_ratios()]
        loud = sum(not ratio < ACTION for ratio in ratios)
        stops = sum(not ratio < STOP for ratio in ratios)
        worst = max(ratios, default=math.nan)
        right = loud == 0 if run.group == "near" else loud > 0
        what = (
            ("no false alarm" if right else "FALSE ALARM")
            if run.group == "near"
            else ("no missed alarm" if right else "MISSED ALARM")
        )
        end = "" if not run.accepted else f", ends at {math.expm1(run.forgetting()):+.1%}"
        said.append(
            f"{run.label}, seed {run.arm.seed}: {what}; {loud} of {len(ratios)} boundaries at or over {ACTION:.0%}, "
            f"{stops} at or over {STOP:.0%}, highest {worst:+.1%}; {run.row['outcome']}{end}."
        )
    return said


def _orders(domain: str, runs: Sequence[Finished]) -> list[str]:
    arms = by_label(runs)
    if "random" not in arms:
        return []
    said = []
    for label, of in arms.items():
        if label != "random":
            target, kept = _target(of) - _target(arms["random"]), _forgotten(of) - _forgotten(arms["random"])
            helps = "helps the target" if target < 0 else "does not help the target"
            said.append(f"{label} {helps}: {target:+.4f} nats of target loss, {kept:+.4f} forgotten, against random.")
    return said


def _peaks(domain: str, runs: Sequence[Finished]) -> list[str]:
    said = []
    for run in runs:
        early = run.history_ratios()[0] if run.row["history"] else (math.nan, math.nan)
        said.append(
            f"{run.label}, seed {run.arm.seed}: {early[1]:+.1%} at {early[0]:.0%} of the steps, "
            f"{math.expm1(run.forgetting()):+.1%} at the end."
        )
    return said


def _chat(domain: str, runs: Sequence[Finished]) -> list[str]:
    said = []
    for label, of in by_label(of_group(runs, "chat")).items():
        kept = mean_of([run.forgetting(name=domain) for run in of])
        said.append(
            f"{label}: forgets {_forgotten(of):+.4f} nats of general text (since pre-training) and {kept} of {domain} "
            f"(since the first stage); target loss {_target(of):.4f}."
        )
    return said


def _laws(domain: str, runs: Sequence[Finished]) -> list[str]:
    """The last line of the comparison says which predicts better; its table is printed by model.experiments.law."""
    seen = [one for run in runs if (one := seen_in(run.row)) is not None]
    return [compare(seen).splitlines()[-1]]


def _forgotten(runs: Sequence[Finished]) -> float:
    return math.fsum(run.forgetting() for run in runs) / len(runs)


def _target(runs: Sequence[Finished]) -> float:
    return math.fsum(run.target() for run in runs) / len(runs)


def _falls(values: Sequence[float]) -> str:
    return "falls at every step" if all(b <= a for a, b in pairwise(values)) else "does NOT fall"


def _rises(values: Sequence[float]) -> str:
    return "rises at every step" if all(b >= a for a, b in pairwise(values)) else "does NOT rise"


def _times(ratios: Sequence[float], goal: float | None) -> str:
    mean = mean_of(ratios)
    if mean is None:
        return "(not reached)"
    reached = "" if goal is None else f" (goal {goal:g}: {'reached' if mean.value <= goal else 'NOT reached'})"
    ends = "" if mean.low is None else f" [{mean.low:.2f}, {mean.high:.2f}]"
    return f"x {mean.value:.2f}{ends}{reached}"


_SENTENCES: Mapping[str, Callable[[str, Sequence[Finished]], list[str]]] = MappingProxyType(
    {
        "a": _share,
        "b": _loops,
        "c": _penalties,
        "d": _alarms,
        "e": _orders,
        "f": _peaks,
        "g": _chat,
        "h": _laws,
        "i": _defaults,
        "j": scarce,
        "k": sensitivity,
        "l": self_replay,
        "m": _choices,
        "n": point_kinds,
    }
)
