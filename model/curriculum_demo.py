"""The demonstration of `python -m model.curriculum`: schedules and pacing on real difficulties, nothing simulated."""

from __future__ import annotations

import statistics

from model.curriculum import CurriculumScheduler, competence, create_code_curriculum, create_math_curriculum
from model.difficulty import gsm8k_calculations
from model.domain_datasets import DomainDataset, create_domain_dataset

_DOCUMENTS = 400


def main() -> None:
    """Prints schedules, what each stage really selects, and the pacing of competence."""
    for name, scheduler in (("math", create_math_curriculum(10)), ("code", create_code_curriculum(10))):
        scheduler.print_schedule()
        print()
        _print_selection(name, create_domain_dataset(name), scheduler)
        print()
    print("Competence pacing: part of the data that is open, sqrt(t (1 - c0^2) / T + c0^2) with T = 70 % of training")
    for percent in range(0, 101, 10):
        part = competence(percent / 100)
        print(f"  {percent:3d} % done  {part:6.1%}  {'█' * round(40 * part)}")


def _print_selection(name: str, dataset: DomainDataset, scheduler: CurriculumScheduler) -> None:
    documents = []
    for document in dataset:
        documents.append(document)
        if len(documents) == _DOCUMENTS:
            break
    rated = [(d.difficulty, d) for d in documents if d.difficulty is not None]
    print(f"What the stages select from the first {len(rated)} documents of {dataset.uri} ({dataset.measure}):")
    for stage in scheduler.stages:
        inside = [document for difficulty, document in rated if stage.admits(difficulty)]
        if not inside:
            print(f"  {stage.name:8s} nothing")
            continue
        length = statistics.mean(len(document.plain_text()) for document in inside)
        steps = statistics.mean(gsm8k_calculations(document.plain_text()) for document in inside)
        extra = f", {steps:.1f} calculations" if name == "math" else ""
        print(f"  {stage.name:8s} {len(inside):4d} documents, on average {length:.0f} characters{extra}")
        example = min(inside, key=lambda document: len(document.plain_text())).plain_text().strip().splitlines()[0]
        print(f"           e.g. {example[:96]}")
