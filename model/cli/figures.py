"""Figures of the guides' live pieces, computed by what trains: one question in, one JSON document out.

    python -m model.cli.figures rates KIND [WARMUP FLOOR DECAY]     the learning rate over a stage, shares of its peak
    python -m model.cli.figures curriculum STRATEGY [LEVELS]        what of the data is open as a stage goes on
    python -m model.cli.figures mixture SHARE [ROW_TOKENS]          how a replay share is met row by row, beside lots
    python -m model.cli.figures interpolation POINT                 a stored pair at a point between parent and result

It imports no torch: the panel asks it for every figure that it draws.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model.dataloader.curriculum import CurriculumSpec, Strategy, stage_fractions
from model.dataloader.mixture import ShareMixer, complete_shares
from model.errors import BadConfig, RetainModelError
from model.training.lr_schedule import Schedule, ScheduleKind

STEPS, ROWS, BAD_INPUT = 100, 200, 2
TARGET_ROW_TOKENS = 256
SEED = 0
LINE = Path(__file__).parents[1] / "experiments" / "line.json"


def rates(kind: str, warmup: str = "0.05", floor: str = "0.0", decay: str = "0.2") -> dict[str, Any]:
    """`factors`: the rate of each of STEPS steps as a share of the peak; `mean` of them. Raises BadConfig."""
    shape = _one_of("kind", kind, ScheduleKind)
    numbers = {name: _number(name, said) for name, said in (("warmup", warmup), ("floor", floor), ("decay", decay))}
    schedule = Schedule(kind=shape, total_steps=STEPS, **numbers)
    factors = [schedule.factor(step) for step in range(STEPS)]
    return {"factors": factors, "mean": sum(factors) / STEPS}


def curriculum(strategy: str, levels: str = "3") -> dict[str, Any]:
    """`progress` in [0, 1), `level` (STAGED, from 1) and `open` (share of the data, the easiest first) there; `lengths`
    of the stages of STAGED. Raises BadConfig."""
    spec = CurriculumSpec(strategy=_one_of("strategy", strategy, Strategy), levels=_whole("levels", levels))
    progress = [step / STEPS for step in range(STEPS)]
    staged = spec.strategy is Strategy.STAGED
    return {
        "progress": progress,
        "level": [spec.stage_at(one) + 1 if staged else 0 for one in progress],
        "open": [spec.open_part(one) for one in progress],
        "lengths": list(stage_fractions(spec.levels)) if staged else [],
    }


def mixture(share: str, row_tokens: str = "256") -> dict[str, Any]:
    """The share that replay has of the target tokens after each of ROWS rows: met by error diffusion as in training
    (`diffused`), and by drawing lots by rows (`drawn`). A row of the target has TARGET_ROW_TOKENS target tokens, one of
    the replay `row_tokens`. Raises BadConfig."""
    wanted = complete_shares("target", {"replay": _number("share", share)}, {"target", "replay"})
    tokens = {"target": TARGET_ROW_TOKENS, "replay": _whole("row_tokens", row_tokens)}
    if tokens["replay"] < 1:
        raise BadConfig("row_tokens", tokens["replay"], "1 or more")
    mixer, rng = ShareMixer(wanted), random.Random(SEED)

    def diffuse() -> str:
        name = mixer.choose(tokens)
        mixer.record(name, tokens[name])
        return name

    def draw() -> str:
        return "replay" if rng.random() < wanted["replay"] else "target"

    return {"share": wanted["replay"], "diffused": _met(diffuse, tokens), "drawn": _met(draw, tokens)}


def interpolation(point: str) -> dict[str, Any]:
    """What `python -m model.experiments.line` stored: `weights` of each model, all `points`, and `at`, the one nearest
    to `point` (0: the parent, 1: the result). Nothing is made up between them. Raises BadConfig."""
    wanted = _number("point", point)
    if not 0 <= wanted <= 1:
        raise BadConfig("point", point, "0 (the parent) to 1 (the result)")
    stored = json.loads(LINE.read_text(encoding="utf-8"))
    points = stored["points"]
    return {
        "weights": stored["weights"],
        "points": points,
        "at": min(points, key=lambda one: abs(one["point"] - wanted)),
    }


def _met(choose: Callable[[], str], tokens: dict[str, int]) -> list[float]:
    seen, found = {"target": 0, "replay": 0}, []
    for _ in range(ROWS):
        name = choose()
        seen[name] += tokens[name]
        found.append(seen["replay"] / sum(seen.values()))
    return found


def _one_of(field: str, said: str, kinds: Any) -> Any:
    if said not in list(kinds):
        raise BadConfig(field, said, ", ".join(kinds))
    return kinds(said)


def _number(field: str, said: str) -> float:
    try:
        return float(said)
    except ValueError:
        raise BadConfig(field, said, "a number") from None


def _whole(field: str, said: str) -> int:
    if not said.isdecimal() or len(said) > 9:
        raise BadConfig(field, said, "a whole number")
    return int(said)


FIGURES: dict[str, Callable[..., dict[str, Any]]] = {
    "rates": rates,
    "curriculum": curriculum,
    "mixture": mixture,
    "interpolation": interpolation,
}


def main(arguments: Sequence[str]) -> int:
    """Exit code 2 for a question that is none, with what is wrong on standard error."""
    try:
        print(json.dumps(answer(*(arguments or ("",)))))
    except RetainModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def answer(name: str, *rest: str) -> dict[str, Any]:
    """The figure of that name for these arguments. Raises BadConfig."""
    if name not in FIGURES:
        raise BadConfig("figure", name, ", ".join(FIGURES))
    most = FIGURES[name].__code__.co_argcount
    if not 1 <= len(rest) <= most:
        raise BadConfig(name, f"{len(rest)} arguments", f"1 to {most}")
    return FIGURES[name](*rest)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
