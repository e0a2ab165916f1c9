"""The demonstration of `python -m model.cli.curriculum`: schedules, pacing and passes on real difficulties.

Nothing is simulated: what a strategy shows is counted on the batches that a stage would train on.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from model.data.difficulty import gsm8k_calculations
from model.data.domains import DomainDataset, create_domain_dataset
from model.data.prepare import pack
from model.data.shards import TokenShard
from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import (
    CurriculumScheduler,
    CurriculumSpec,
    Strategy,
    competence,
    create_code_curriculum,
    create_math_curriculum,
)
from model.dataloader.passes import count_passes, count_steps
from model.tokenization.bpe import SMALLEST_VOCABULARY
from model.tokenization.tokenizer import Tokenizer

_DOCUMENTS = 400
_EPOCHS, _CONTEXT, _ROWS = 3, 128, 4


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
    print()
    _print_passes()


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


def _print_passes() -> None:
    """How often each document comes in three epochs of each strategy."""
    dataset = create_domain_dataset("math")
    documents = [document for document, _ in zip(dataset, range(_DOCUMENTS), strict=False)]
    tokenizer = Tokenizer.train_bpe((document.plain_text() for document in documents), SMALLEST_VOCABULARY + 250)
    print(f"How often the {len(documents)} documents come when {_EPOCHS} epochs are asked for:")
    with tempfile.TemporaryDirectory() as folder:
        pack(documents, tokenizer, Path(folder) / "math", context=_CONTEXT, kind="text", source=dataset.uri)
        shard = TokenShard.open(Path(folder) / "math")

        def stream(strategy: Strategy) -> BatchStream:
            return BatchStream(
                {"math": shard},
                target="math",
                shares={},
                seed=0,
                context=_CONTEXT,
                rows=_ROWS,
                curriculum=CurriculumSpec(strategy=strategy),
                epochs=_EPOCHS,
            )

        steps, whole = count_steps(stream(Strategy.RANDOM))
        for strategy in Strategy:
            paced = stream(strategy)
            if paced.epochs is not None:
                steps, whole = count_steps(paced)
                print(f"  {strategy:10s} {steps} steps: {whole}")
                continue
            passes = count_passes(paced, steps)
            known = passes if passes is not None else "follows from the losses, so it is known only afterwards"
            print(f"  {strategy:10s} {steps} steps: {known}")


if __name__ == "__main__":
    main()
