"""(k) in sentences: which constants of the controllers matter, of those that were halved and doubled one at a time."""

from __future__ import annotations

from collections.abc import Sequence

from model.experiments.findings.results import GENERAL, Finished, by_label, of_group
from retain.values.means import mean_of

AS_IT_IS = "as it is"


def sensitivity(domain: str, runs: Sequence[Finished]) -> list[str]:
    """Each change against the same seed with the defaults. It matters where target or forgetting move by more than the
    seeds of the unchanged arm differ among themselves, or where no model is left."""
    said = []
    for controller in dict.fromkeys(run.group for run in runs):
        arms = by_label(of_group(runs, controller))
        base = {run.arm.seed: run for run in arms.pop(AS_IT_IS, []) if run.accepted}
        if not base:
            continue
        noise = (_spread([run.target() for run in base.values()]), _spread([run.forgetting() for run in base.values()]))
        differ = "one seed: no noise known"
        if len(base) > 1:
            differ = f"its seeds differ by {noise[0]:.4f} nats of the target and {noise[1]:.4f} forgotten"
        said.append(f"{controller} as it is: {_means(list(base.values()))}; {differ}.")
        said += [f"{controller}, {label}: {_changed(of, base, noise)}" for label, of in arms.items()]
    return said


def _changed(runs: Sequence[Finished], base: dict[int, Finished], noise: tuple[float, float]) -> str:
    lost = [run for run in runs if not run.accepted]
    if lost:
        return f"matters: {len(lost)} of {len(runs)} runs hand no model on ({lost[0].row['outcome']})."
    pairs = [(run, base[run.arm.seed]) for run in runs if run.arm.seed in base]
    target = mean_of([run.target() - other.target() for run, other in pairs])
    kept = mean_of([run.forgetting() - other.forgetting() for run, other in pairs])
    if target is None or kept is None:
        return "nothing to compare with."
    same = all(run.row.get("taken_from") == other.row["digest"] for run, other in pairs)
    if same:
        return "changes nothing: the same decisions."
    matters = abs(target.value) > noise[0] or abs(kept.value) > noise[1]
    verdict = "matters" if matters else "within what the seeds differ by"
    return f"{verdict}: target {target.value:+.4f} nats, forgotten {kept.value:+.4f} nats; {_means(runs)}."


def _means(runs: Sequence[Finished]) -> str:
    share = sum(run.row["history"][-1]["shares"][GENERAL] for run in runs) / len(runs)
    back = sum(d["verdict"] == "ROLL_BACK" for run in runs for d in run.row["decisions"])
    target, kept = mean_of([run.target() for run in runs]), mean_of([run.forgetting() for run in runs])
    return f"target {target}, forgotten {kept}, last share {share:.0%}, {back} rollbacks"


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)
