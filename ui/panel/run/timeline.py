"""What was decided about a run, newest first: what, on what evidence, and what follows, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from ui.client.views import Checkpoint, Decision, ForgettingScore
from ui.render import formatting
from ui.render.severity import MARKS, Mark, mark_of


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One decision. `checkpoint`: the id of the one that it was made about; empty where that is not known any more."""

    number: int
    where: str
    verdict: str
    mark: Mark
    time: str
    actor: str
    why: str
    evidence: tuple[str, ...]
    follows: str
    checkpoint: str


def timeline(decisions: Sequence[Decision], checkpoints: Sequence[Checkpoint]) -> list[Entry]:
    """Every decision with its evidence, newest first."""
    known = {(row.stage, row.attempt, row.ref.step): row.id for row in checkpoints}
    return [
        Entry(
            number=made.number,
            where=f"{made.stage}, attempt {made.attempt}, step {made.step:,}",
            verdict=(made.verdict or "decided").replace("_", " ").lower(),
            mark=mark_of(made),
            time=formatting.moment(made.time),
            actor="the gate" if made.actor in {"", "gate"} else made.actor,
            why=made.message,
            evidence=evidence(made),
            follows=follows(made, previous),
            checkpoint=known.get((made.stage, made.attempt, made.step), ""),
        )
        for made, previous in zip(reversed(decisions), [*reversed(decisions[:-1]), None], strict=True)
    ]


def evidence(made: Decision) -> tuple[str, ...]:
    """What was measured and what it was compared with, a sentence each; nothing where there was no score."""
    if made.forgetting is None:
        return ()
    worst = next((score for score in made.scores if score.retention_set == made.worst_set), None)
    measured = f"Forgetting of {made.worst_set or 'what must be kept'}: {formatting.percent(made.forgetting)}"
    if worst is not None and worst.ratio_low is not None and worst.ratio_high is not None:
        low, high = formatting.percent(worst.ratio_low), formatting.percent(worst.ratio_high)
        measured += f" (95 % interval {low} to {high})"
    if worst is not None and worst.baseline_perplexity:
        before, now = formatting.ppl(worst.baseline_perplexity), formatting.ppl(worst.perplexity)
        measured += f", perplexity {before} before and {now} now"
    said = [measured]
    if made.threshold:
        compared = formatting.percent(made.threshold, signed=False)
        what = (
            "That"
            if made.projected is None
            else f"Projected to the end it is {formatting.percent(made.projected)}; that"
        )
        said.append(f"{what} was compared with {compared}")
    if made.severity == "UNRESOLVED":
        said.append("That is within what the gauge can resolve: no verdict on what was forgotten")
    if made.suspicious:
        said.append("It is lower than a healthy baseline allows: the baseline or the set is in doubt")
    said += [_other(score) for score in made.scores if score.retention_set != made.worst_set]
    return tuple(said)


def _other(score: ForgettingScore) -> str:
    shown = " (shown only)" if score.shown_only else ""
    return f"{score.retention_set}: {formatting.percent(score.ratio)}{shown}"


def follows(made: Decision, before: Decision | None) -> str:
    """What changed from there on, against the decision before; empty where nothing did."""
    changes = []
    same_stage = before is not None and before.stage == made.stage
    if made.target is not None:
        changes.append(f"back to step {made.target.step:,}")
    elif made.verdict == "ROLL_BACK":
        changes.append("back to the stage's start")
    if made.shares and not (same_stage and before is not None and before.shares == made.shares):
        changes.append(f"replay {formatting.shares(made.shares)}")
    if made.lr_scale and made.lr_scale != (before.lr_scale if same_stage and before is not None else 1.0):
        changes.append(f"learning rate x {made.lr_scale:g}")
    if made.points:
        changes.append(f"{len(made.points)} points beside the result were measured")
    if made.mixes:
        changes.append(f"{len(made.mixes)} mixes were tried beforehand")
    return ", ".join(changes)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a stage: how far it came, and how it ended."""

    stage: str
    attempt: int
    first_step: int
    last_step: int
    checkpoints: int
    usable: int
    outcome: str


def attempts(decisions: Sequence[Decision], checkpoints: Sequence[Checkpoint]) -> list[Attempt]:
    """The attempts that came to a checkpoint or a decision, newest first. One that was cut short has no outcome."""
    decided = [(one.stage, one.attempt) for one in reversed(decisions)]
    keys = dict.fromkeys([*decided, *((row.stage, row.attempt) for row in checkpoints)])
    found = []
    for stage, number in keys:
        own = [row for row in checkpoints if (row.stage, row.attempt) == (stage, number)]
        made = [one for one in decisions if (one.stage, one.attempt) == (stage, number)]
        steps = [row.ref.step for row in own] + [one.step for one in made]
        last = made[-1] if made else None
        found.append(
            Attempt(
                stage=stage,
                attempt=number,
                first_step=min(steps),
                last_step=max(steps),
                checkpoints=len(own),
                usable=sum(row.state.usable for row in own),
                outcome="" if last is None else f"{MARKS[last.severity or ''].sign} {_outcome(last)}",
            )
        )
    return found


def _outcome(last: Decision) -> str:
    return (last.verdict or "decided").replace("_", " ").lower()
