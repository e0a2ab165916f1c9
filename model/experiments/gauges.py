"""The gauge of the experiments: what every finished model kept of text that no arm replays (`model.gauge`).

Arms replay the general source that they are also measured on. Beside it each finished model is measured on the gauge
sets, both halves together, since nothing is chosen by them: against the base model, whatever the arm's parent is, so
that small losses add up in sight. A model that is there already is measured without being trained again: the figures
lie in `root/gauges`, apart from the rows.

What the base never knew cannot be forgotten: a kind for which it needs as many bits a byte as bzip2, which knows no
language, is measured and shown like the others, and left out of every sentence.
"""

from __future__ import annotations

import bz2
import json
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from model.data.eval_set import EvalSet
from model.evaluation.forgetting_score import bootstrap_interval
from model.evaluation.perplexity import SetResult, evaluate_set
from model.experiments.arms import Arm, NamedArm
from model.experiments.corpora import load_tokenizer
from model.experiments.findings.results import Finished, Plan, Row, finished
from model.experiments.findings.tables import Report
from model.experiments.measuring import write_json
from model.experiments.pool import begin_child
from model.experiments.stage_run import Bench
from model.gauge import KINDS, gauge_texts, set_name
from retain.values.means import Mean, mean_of

NO_REPLAY = 1e-9  # a share up to here replays nothing
Gauges = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by digest of the arm, then by kind


def measure_missing(arms: Sequence[Arm], *, shared: Path, root: Path, processes: int) -> int:
    """Measure every finished model of these arms that has no figures yet; returns how many were measured."""
    todo = {arm.digest: arm for arm in arms if _is_due(arm, root)}
    if todo:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=begin_child) as pool:
            for done, _ in enumerate(
                pool.map(_measure, todo.values(), [shared] * len(todo), [root] * len(todo)), start=1
            ):
                print(f"gauge {done}/{len(todo)}", file=sys.stderr, flush=True)
    return len(todo)


def read_gauges(root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The figures of all models that were measured, by digest."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((root / "gauges").glob("*.json"))}


def with_gauges(made: Report, plan: Plan, rows: Mapping[str, Row], gauges: Gauges) -> Report:
    """The report with a table more for each experiment: what was forgotten of the text that is replayed, and of what
    never is; below it which remedies protect what."""
    parts, data = [made.markdown], [*made.data]
    for experiment, domain in sorted(plan):
        arms, runs = plan[experiment, domain], finished(plan[experiment, domain], rows)
        lines = _lines(runs, arms, gauges)
        if not lines:
            continue
        said = remedies(runs, gauges)
        listed = "\n".join(f"- {sentence}" for sentence in said)
        parts.append(f"## ({experiment}) Replayed and never replayed: {domain}\n\n{_table(lines)}\n\n{listed}".rstrip())
        rows_of = [
            {"group": g, "label": a, "replayed": r, **dict(zip(KINDS, k, strict=True))} for g, a, _, r, *k in lines
        ]
        data.append({"experiment": experiment, "domain": domain, "never_replayed": rows_of, "remedies": said})
    return Report(markdown="\n\n".join(parts), data=data)


def remedies(runs: Sequence[Finished], gauges: Gauges) -> list[str]:
    """Of every arm, how much it keeps of what the arm without any remedy forgets at the same rate (a lower rate is held
    against the highest): of the replayed source, and of each kind that is never replayed and that the base knew."""
    measured = [run for run in runs if run.points and run.arm.digest in gauges]
    bare = [run for run in measured if _is_bare(run.arm)]
    by_label: dict[tuple[str, str], list[tuple[Finished, Finished]]] = {}
    for run in measured:
        before = _without(run, bare)
        if before is not None:
            by_label.setdefault((run.group, run.label), []).append((before, run))
    said = [_protects(label, pairs, gauges) for label, pairs in by_label.items()]
    return [sentence for sentence in said if sentence]


def _without(run: Finished, bare: Sequence[Finished]) -> Finished | None:
    """The run without a remedy that a run is held against."""
    same = [one for one in bare if (one.arm.seed, one.arm.domain) == (run.arm.seed, run.arm.domain)]
    if not _is_bare(run.arm):
        return next((one for one in same if one.arm.learning_rate == run.arm.learning_rate), None)
    highest = max(same, key=lambda one: one.arm.learning_rate)
    return highest if highest.arm.learning_rate > run.arm.learning_rate else None


def _protects(label: tuple[str, str], pairs: Sequence[tuple[Finished, Finished]], gauges: Gauges) -> str:
    replayed = _kept(*(math.fsum(run.forgetting() for run in side) for side in zip(*pairs, strict=True)))
    never = {}
    for kind in KINDS:
        figures = [(gauges[b.arm.digest][kind], gauges[a.arm.digest][kind]) for b, a in pairs]
        if all(_known(one) for pair in figures for one in pair):
            kept = _kept(*(math.fsum(one["forgetting_nats"] for one in side) for side in zip(*figures, strict=True)))
            if kept is not None:
                never[kind] = kept
    if replayed is None or not never:
        return ""
    mean = math.fsum(never.values()) / len(never)
    each = ", ".join(f"{kind} {_told(kept)}" for kind, kept in never.items())
    verdict = "mostly what it replays" if mean < replayed / 2 else "both"
    cost = math.fsum(after.target() - before.target() for before, after in pairs) / len(pairs)
    return (
        f"{label[0]}, {label[1]}: keeps {_told(replayed)} of what is forgotten of the general source without it, and "
        f"of what is never replayed {each}, for {cost:+.4f} nats of the target: it protects {verdict}."
    )


def _kept(before: float, after: float) -> float | None:
    """Share of a loss that is avoided; None where nothing was lost."""
    return 1 - after / before if before > 0 and math.isfinite(after) else None


def _told(kept: float) -> str:
    """A share that was kept; over 1 the text was known better at the end than before."""
    return f"{kept:.0%}" if kept <= 1 else "all (better than before)"


def _known(figures: Mapping[str, Any]) -> bool:
    return float(figures["baseline_bits_per_byte"]) < float(figures["bzip2_bits_per_byte"])


def _is_bare(arm: Arm) -> bool:
    """No remedy: nothing replayed, nobody deciding, nothing held."""
    held = arm.penalty or arm.lora_rank or arm.gate.controller or arm.late_share
    return not held and arm.parent is None and all(share <= NO_REPLAY for share in arm.shares.values())


def _lines(runs: Sequence[Finished], arms: Sequence[NamedArm], gauges: Gauges) -> list[list[str]]:
    found = []
    for group, label in dict.fromkeys((named.group, named.label) for named in arms):
        ended = [r for r in runs if (r.group, r.label) == (group, label) and r.points and r.arm.digest in gauges]
        if not ended:
            continue
        figures = [gauges[run.arm.digest] for run in ended]
        replayed: Mean | None = mean_of([run.forgetting() for run in ended])
        found.append([group, label, str(len(ended)), str(replayed), *(_cell(kind, figures) for kind in KINDS)])
    return found


def _cell(kind: str, figures: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    said = str(mean_of([one[kind]["forgetting_nats"] for one in figures]))
    return said if all(_known(one[kind]) for one in figures) else f"({said})"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head = ["group", "arm", "seeds", "general source, forgotten nats", *(f"{kind}, never replayed" for kind in KINDS)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])
    return f"{text}\n\nIn brackets: the base did not know that kind (no fewer bits a byte than bzip2 needs)."


def _is_due(arm: Arm, root: Path) -> bool:
    return (root / "models" / arm.digest).is_dir() and not _path(root, arm).is_file()


def _path(root: Path, arm: Arm) -> Path:
    return root / "gauges" / f"{arm.digest}.json"


def _measure(arm: Arm, shared: Path, root: Path) -> None:
    """Measures the finished model of an arm and the base on every kind, and writes what was forgotten."""
    bench = Bench(shared=shared, root=root)
    tokenizer, model, base = load_tokenizer(shared), bench.load(arm), bench.load(None)
    figures = {}
    for kind in KINDS:
        documents = gauge_texts(kind).documents
        eval_set = EvalSet.build(set_name(kind), documents, tokenizer, arm.context)
        said = "\n".join(document.plain_text() for document in documents).encode()
        figures[kind] = compare(evaluate_set(base, eval_set), evaluate_set(model, eval_set))
        figures[kind]["bzip2_bits_per_byte"] = 8 * len(bz2.compress(said)) / len(said)
    write_json(_path(root, arm), figures)


def compare(before: SetResult, now: SetResult) -> dict[str, Any]:
    """What was forgotten of a set between two models: nats a token, and the ends of the ratio's interval."""
    interval = bootstrap_interval(
        [unit.nats for unit in now.units], [unit.nats for unit in before.units], [unit.tokens for unit in before.units]
    )
    return {
        "forgetting_nats": now.loss_nats - before.loss_nats,
        "ratio_low": interval.low if interval else None,
        "ratio_high": interval.high if interval else None,
        "baseline_bits_per_byte": before.bits_per_byte,
        "tokens": before.tokens,
        "units": len(before.units),
    }
