"""Adding and taking away stages of a spec."""

from typing import Any

from ui.spec.form.edit import REMOVED, Inserted, Path, value_at
from ui.spec.form.layout import DOMAINS, domain_of, kind_of, stages_of
from ui.spec.single_stage import stage_spec

_ORDER = ("PRETRAIN", "MIDTRAIN", "FINETUNE")


def addable(tree: Any) -> list[str]:
    """Stages that can be added: one pre-training, one mid-training of each domain, one fine-tuning."""
    there = [kind_of(tree, number) for number in stages_of(tree)]
    once = [kind for kind in _ORDER if kind == "MIDTRAIN" or kind not in there]
    return [kind for kind in once if kind != "MIDTRAIN" or _free_domain(tree) is not None]


def added(tree: Any, kind: str) -> list[tuple[Path, Any]]:
    """What to change so that the spec has one more stage, of the three-stage template, at its place in the order."""
    domain = _free_domain(tree) if kind == "MIDTRAIN" else None
    stage = stage_spec(kind, domain=domain or "CODE")["stages"][0]
    if kind != "PRETRAIN" and any(value_at(tree, ("stages", n, "data", "general")) for n in stages_of(tree)):
        stage["data"].pop("general", None)  # that of the first stage counts
    stages = value_at(tree, ("stages",))
    listed = list(stages) if isinstance(stages, list) else []
    before = [n for n in range(len(listed)) if _rank(kind_of(tree, n)) <= _rank(kind)]
    place = before[-1] + 1 if before else 0
    made: list[tuple[Path, Any]] = [] if listed else [(("stages",), [])]
    return [*made, (("stages", place), Inserted(stage))]


def without(number: int) -> list[tuple[Path, Any]]:
    """What to change so that a stage is gone."""
    return [(("stages", number), REMOVED)]


def _free_domain(tree: Any) -> str | None:
    taken = {domain_of(tree, n) for n in stages_of(tree) if kind_of(tree, n) == "MIDTRAIN"}
    return next((domain for domain in DOMAINS if domain not in taken), None)


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
