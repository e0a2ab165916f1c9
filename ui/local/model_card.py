"""The model card of an exported checkpoint (Mitchell et al. 2019, arXiv:1810.03993): README.md with what the platform
knows of it. Where it came from, on which data, what was measured, what was decided, and how to make it again.

The YAML at its top is that of the Hugging Face hub, with the figures as evaluation results. What is not known is said
to be unknown: a licence is stated where the source states one, or where the caller names it.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import retain
from retain.values import Checkpoint
from retain.values.faults import mismatch
from ui.client.errors import BadInput, ClientError, RefusedByServer, Unreachable, Violation
from ui.client.views import Decision, ForgettingRecord, ForgettingScore, Run, SetResult, Stage
from ui.local.card_text import fenced, markdown, table, yaml_value

NAME, BEGINS = "README.md", "---\nlibrary_name: "
MOST_ANCESTORS, MOST_DECISIONS, MOST_LICENCE = 200, 100, 60
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}")
# What comes with Retain, under which licence its text is.
_CPYTHON, _MADE_HERE = "PSF-2.0 (CPython's standard library)", "Apache-2.0 (made by Retain)"
_SAMPLES = {"code": _CPYTHON, "docs": _CPYTHON} | dict.fromkeys(("math", "science", "chat", "exchanges"), _MADE_HERE)


Found = TypeVar("Found")
_Measured = tuple[tuple[SetResult, ...], tuple[ForgettingScore, ...]]


class CardPort(Protocol):
    """The calls of the client that a card needs."""

    def checkpoint(self, checkpoint_id: str) -> Checkpoint: ...
    def get_run(self, run_id: str) -> Run: ...
    def decisions(self, run_id: str) -> list[Decision]: ...
    def history(self, run_id: str, *, stage: str = "") -> list[ForgettingRecord]: ...


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What was found out: the checkpoint, its ancestors from the newest on, and its run with all that it has, where
    that is known."""

    checkpoint: Checkpoint
    ancestors: tuple[Checkpoint, ...]
    cut: bool
    run: Run | None
    decisions: tuple[Decision, ...] = ()
    results: tuple[SetResult, ...] = ()
    scores: tuple[ForgettingScore, ...] = ()
    unanswered: bool = False  # by the evaluator


def model_card(client: CardPort, checkpoint: Checkpoint, *, licence: str = "", library: str = "transformers") -> str:
    """The card's text. `licence`: an identifier of the hub, such as apache-2.0; empty is unknown. Raises what
    `check_licence` and the client's calls raise."""
    check_licence(licence)
    facts = _facts(client, checkpoint)
    parts = [_front_matter(facts, licence, library), _title(facts, licence), _lineage(facts), _stages(facts)]
    parts += [_data(facts), _figures(facts), _decisions(facts), _how(facts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def check_licence(licence: str) -> None:
    """Raises BadInput for what is no identifier of a licence."""
    if licence and not _LICENCE.fullmatch(licence):
        said = mismatch(licence[:MOST_LICENCE], "an identifier such as apache-2.0")
        raise BadInput([Violation(field="--license", description=said)])


# --- what is known


def _facts(client: CardPort, checkpoint: Checkpoint) -> _Facts:
    ancestors: list[Checkpoint] = []
    parent = checkpoint.parent
    while parent and len(ancestors) < MOST_ANCESTORS:
        found = _known(client.checkpoint, parent)
        if found is None:
            break
        ancestors.append(found)
        parent = found.parent
    run = _known(client.get_run, checkpoint.run_id) if checkpoint.run_id else None
    known = tuple(ancestors)
    if run is None:
        return _Facts(checkpoint=checkpoint, ancestors=known, cut=bool(parent), run=None)
    try:
        measured: _Measured | None = _measured(client, run, checkpoint)
    except Unreachable:
        measured = None
    results, scores = measured or ((), ())
    upto = next((stage.index for stage in run.stages if stage.name == checkpoint.stage), len(run.stages))
    names = {stage.name for stage in run.stages if stage.index <= upto}
    decisions = tuple(one for one in client.decisions(run.id) if one.stage in names)
    return _Facts(
        checkpoint=checkpoint,
        ancestors=known,
        cut=bool(parent),
        run=run,
        decisions=decisions,
        results=results,
        scores=scores,
        unanswered=measured is None,
    )


def _known(call: Callable[[str], Found], name: str) -> Found | None:
    """What the server says of it; None where it knows none of that name, or does not show it to the caller."""
    try:
        return call(name)
    except RefusedByServer:
        return None
    except ClientError as error:
        if error.reason != "NOT_FOUND":
            raise
        return None


def _measured(client: CardPort, run: Run, checkpoint: Checkpoint) -> _Measured:
    """Of this checkpoint: the report sets where it is what its stage accepted, else what was measured at its step."""
    for stage in run.stages:
        accepted = stage.accepted is not None and stage.accepted.manifest_sha256 == checkpoint.ref.manifest_sha256
        if accepted and stage.name == checkpoint.stage and (stage.report_results or stage.results):
            return stage.report_results or stage.results, stage.report_scores or stage.scores
    for record in client.history(run.id, stage=checkpoint.stage):
        if not record.baseline and (record.attempt, record.step) == (checkpoint.attempt, checkpoint.ref.step):
            return record.results, record.scores
    return (), ()


def licence_of(place: str) -> str:
    """The licence of a data source as far as it is known."""
    scheme, _, rest = place.partition("://")
    if scheme == "sample":
        return _SAMPLES.get(rest.partition("?")[0], "not stated")
    return "as the data set's card says" if scheme == "hf" else "not stated"


def _sources(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what it is for, place) of a stage of a spec, as the server returns it."""
    data = stage.get("data") or {}
    for key, value in data.items():
        for name, place in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(place, str) and ("://" in place or place.startswith("/")):
                yield f"{key}.{name}" if name else key, place


# --- the parts


def _front_matter(facts: _Facts, licence: str, library: str) -> str:
    tags = ["retain", "text-generation"]
    fields: dict[str, Any] = {"library_name": library, "pipeline_tag": "text-generation", "tags": tags}
    if licence:
        fields["license"] = licence
    sets = [place.removeprefix("hf://").partition("?")[0] for _, place in _all_sources(facts) if place[:5] == "hf://"]
    if sets:
        fields["datasets"] = sorted(set(sets))
    results = [
        {
            "task": {"type": "text-generation"},
            "dataset": {
                "name": f"{one.set.name} ({one.set.use.name.lower()})",
                "type": f"retain/{one.set.digest[:16]}",
            },
            "metrics": [
                {"type": "perplexity", "value": one.perplexity, "name": "perplexity"},
                {"type": "bits_per_byte", "value": one.bits_per_byte, "name": "bits per byte"},
            ],
        }
        for one in facts.results
        if one.finite and math.isfinite(one.bits_per_byte)
    ]
    if results:
        fields["model-index"] = [{"name": _name(facts), "results": results}]
    return "\n".join(["---", *(f"{key}: {yaml_value(value)}" for key, value in fields.items()), "---"])


def _name(facts: _Facts) -> str:
    run = facts.run
    return f"{run.name or run.id} {facts.checkpoint.stage}" if run is not None else facts.checkpoint.id


def _title(facts: _Facts, licence: str) -> str:
    row = facts.checkpoint
    said = [
        ("checkpoint", row.id),
        ("manifest, SHA-256", row.ref.manifest_sha256),
        ("weights, digest", row.ref.weights_digest),
        ("step of its stage", f"{row.ref.step:,}"),
        ("tokens of its stage", f"{row.ref.tokens:,}"),
        ("state", f"{row.state.name.lower()} {row.message}"),
        ("licence", licence or "not stated: that of its base and of its data, below, may bind whoever uses it"),
    ]
    known = "" if facts.run is not None or not row.run_id else "\n\nThe run that made it is not known any more."
    return f"# {markdown(_name(facts))}\n\n{table(('', ''), said)}{known}"


def _lineage(facts: _Facts) -> str:
    rows = []
    for row in (facts.checkpoint, *facts.ancestors):
        made = row.run_id or "imported"
        rows.append((row.id, made, row.stage or "-", f"{row.ref.step:,}", row.ref.manifest_sha256[:16]))
    # Of the checkpoints of one stage the newest alone: those before it are steps on the same way.
    newest = [one for number, one in enumerate(rows) if number == 0 or one[1:3] != rows[number - 1][1:3]]
    said = table(("checkpoint", "run", "stage", "step", "manifest"), newest)
    more = "\n\nWhat lies before the last of these is not known here." if facts.cut else ""
    return f"## Lineage\n\nEach grew from the one below it.\n\n{said}{more}"


def _stages(facts: _Facts) -> str:
    if facts.run is None:
        return ""
    rows = [_stage_row(facts.run, stage) for stage in _done(facts)]
    return f"## Stages\n\n{table(('stage', 'state', 'tokens', 'steps', 'learning rate', 'method'), rows)}"


def _stage_row(run: Run, stage: Stage) -> Sequence[str]:
    spec = run.spec.stages[stage.index] if stage.index < len(run.spec.stages) else None
    method = "all weights"
    if spec is not None and spec.lora.rank:
        method = f"adapters of rank {spec.lora.rank}, merged"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in sorted(stage.shares.items()))
    rate = f"{spec.learning_rate:g}" if spec is not None and spec.learning_rate else f"{stage.learning_rate:g}"
    return (
        stage.name, stage.state.name.lower(), f"{stage.tokens:,}", f"{stage.step:,}", rate,
        f"{method}; replay {shares}" if shares else method,
    )  # fmt: skip


def _done(facts: _Facts) -> list[Stage]:
    """The stages of the run up to the checkpoint's own."""
    if facts.run is None:
        return []
    upto = next((one.index for one in facts.run.stages if one.name == facts.checkpoint.stage), -1)
    return [one for one in facts.run.stages if one.index <= upto]


def _all_sources(facts: _Facts) -> list[tuple[str, str]]:
    """(stage: what for, place) of the stages up to the checkpoint's."""
    if facts.run is None:
        return []
    told = facts.run.resource.get("spec", {}).get("stages", [])
    return [
        (f"{stage.name}: {role}", place)
        for stage in _done(facts)
        if stage.index < len(told)
        for role, place in _sources(told[stage.index])
    ]


def _data(facts: _Facts) -> str:
    if facts.run is None:
        return ""
    rows = [(what, place, licence_of(place)) for what, place in _all_sources(facts)]
    made = [
        (one.name, one.digest, f"{one.tokens:,}", f"{one.documents:,}", f"{one.left_out:,}")
        for one in facts.run.status.prepared
    ]
    prepared = table(("prepared as", "digest", "tokens", "documents", "left out, being in a set"), made) if made else ""
    sources = table(("stage and role", "source", "licence"), rows) if rows else "The spec names no source of its own."
    return "\n\n".join(part for part in ("## Data", sources, prepared) if part)


def _figures(facts: _Facts) -> str:
    if facts.unanswered:
        return "## Figures\n\nWhat was measured is not known here: the evaluator did not answer."
    if not facts.results:
        return "## Figures\n\nNothing was measured of this checkpoint."
    rows = [
        (
            one.set.name, one.set.role.name.lower(), one.set.use.name.lower(), f"{one.perplexity:.4g}",
            f"{one.loss_nats:.4f}", f"{one.bits_per_byte:.4f}", f"{one.tokens:,}", one.set.digest[:16],
        )
        for one in facts.results
    ]  # fmt: skip
    heads = ("set", "role", "use", "perplexity", "nats a token", "bits a byte", "tokens", "digest")
    parts = ["## Figures", table(heads, rows)]
    if facts.scores:
        scored = [
            (
                one.retention_set, f"{one.baseline_perplexity:.4g}", f"{one.perplexity:.4g}", f"{one.ratio:+.2%}",
                _interval(one), "shown only" if one.shown_only else "decides",
            )
            for one in facts.scores
        ]  # fmt: skip
        parts.append("Forgetting is (perplexity now - baseline) / baseline; above 0 is worse.")
        parts.append(table(("kept", "baseline", "now", "forgetting", "95 % interval", ""), scored))
    return "\n\n".join(parts)


def _interval(score: ForgettingScore) -> str:
    if score.ratio_low is None or score.ratio_high is None:
        return "too few documents"
    return f"{score.ratio_low:+.2%} to {score.ratio_high:+.2%}"


def _decisions(facts: _Facts) -> str:
    if not facts.decisions:
        return ""
    shown = facts.decisions[-MOST_DECISIONS:]
    rows = [
        (str(one.number), one.stage, f"{one.step:,}", one.verdict.name.lower().replace("_", " "), one.message)
        for one in shown
    ]
    left = len(facts.decisions) - len(shown)
    more = f"\n\n{left} earlier ones are left out." if left else ""
    return f"## Decisions\n\n{table(('', 'stage', 'step', 'verdict', 'why'), rows)}{more}"


def _how(facts: _Facts) -> str:
    made = f"Exported by Retain {retain.__version__}."
    if facts.run is None:
        return f"## How it was made\n\n{made}"
    spec = json.dumps(facts.run.resource.get("spec", {}), indent=1, sort_keys=True, ensure_ascii=True)
    said = f"{made} The run's specification, with every default:"
    return f"## How it was made\n\n{said}\n\n{fenced(spec)}"
