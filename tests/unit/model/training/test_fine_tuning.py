"""A fine-tuning teaches: questions that no training has seen are answered right after it, and were not before.

The third stage of the demo in a small form: the same questions, the same loop, a text stage before it, greedy answers.
"""

from pathlib import Path

import pytest
import torch

from model.data.prepare import prepare
from model.data.prepared import open_prepared
from model.data.shards import TokenShard
from model.data.sources import Source, open_source
from model.data.unseen import Question, unseen_questions
from model.dataloader.batch_stream import BatchStream
from model.evaluation.generate import generate
from model.nn.config import preset
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from model.training.job import StageJob
from model.training.loop import train_stage
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.optimizer import OptimizerSettings
from tests.unit.model.training_helpers import ListPorts

pytestmark = pytest.mark.slow  # half a minute on one core

CONTEXT, ROWS = 64, 8
QUESTIONS = 24


def train(model: Llama, shard: TokenShard, *, steps: int, learning_rate: float) -> None:
    """One stage without any boundary but its end."""
    stream = BatchStream({"target": shard}, target="target", shares={}, seed=0, context=CONTEXT, rows=ROWS)
    job = StageJob(
        model=model,
        stream=stream,
        schedule=Schedule(kind=ScheduleKind.LINEAR, total_steps=steps, warmup=0.05),
        optimizer=OptimizerSettings(learning_rate=learning_rate),
        steps_per_boundary=steps,
        shares={},
    )
    train_stage(job, ListPorts(last=1))


def right(model: Llama, tokenizer: Tokenizer, questions: list[Question]) -> int:
    """How many answers are the expected ones, letter for letter."""
    model.eval()
    said = ["".join(generate(model, tokenizer, chat(q.prompt), 24, 0.0)).strip() for q in questions]
    return sum(answer == question.expected for answer, question in zip(said, questions, strict=True))


def chat(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def packed(source: Source, tokenizer: Tokenizer, root: Path) -> TokenShard:
    return open_prepared(prepare(source, tokenizer, root, context=CONTEXT, overlap=False))[0]


def test_fine_tuning_teaches_what_was_never_shown(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    texts = open_source("sample://math?documents=400&difficulty=[1,2]")
    exchanges = open_source("sample://exchanges?domain=math&documents=3000")
    tokenizer = Tokenizer.train_bpe([document.plain_text() for document in texts], 400)
    questions = unseen_questions(exchanges, limit=QUESTIONS)
    model = Llama(preset("nano", vocab_size=tokenizer.vocab_size, context=CONTEXT), seed=0)
    train(model, packed(texts, tokenizer, tmp_path), steps=40, learning_rate=3e-3)
    before = right(model, tokenizer, questions)
    train(model, packed(exchanges, tokenizer, tmp_path), steps=300, learning_rate=3e-3)
    after = right(model, tokenizer, questions)
    assert len(questions) == QUESTIONS
    assert before <= QUESTIONS // 10
    assert after >= QUESTIONS * 3 // 4
