"""Answers of two checkpoints to the same questions, side by side: what a model learned in fine-tuning, and how often
it is right.

An answer is right when it is the expected one, letter for letter (white space around it does not count). Text is taken
greedily, so that asking again gives the same answers.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from retain.values.faults import mismatch
from ui.client.errors import BadInput, ClientError, Violation
from ui.client.views import CheckpointRef, Run, Stage

QUESTIONS = 24
MOST_TOKENS = 64  # of an answer that is longer than the right one
CHILD_BAD_INPUT = 2


class SampleSource(Protocol):
    """The one call of the client that answers need."""

    def sample(self, checkpoint: CheckpointRef, prompt: str, **options: Any) -> Iterator[str]: ...


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two checkpoints of a run: what a fine-tuning began with, and what came of it. `chat`: the source it learned
    from, `fields` its columns."""

    stage: str
    before: CheckpointRef
    after: CheckpointRef
    chat: str
    fields: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and the right answer; None where nobody says."""

    prompt: str
    expected: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question with what each checkpoint says."""

    prompt: str
    expected: str | None
    before: str
    after: str

    @property
    def right_before(self) -> bool | None:
        """Whether the first checkpoint says what is expected; None where nothing is."""
        return None if self.expected is None else self.before == self.expected

    @property
    def right_after(self) -> bool | None:
        """Whether the second checkpoint says what is expected; None where nothing is."""
        return None if self.expected is None else self.after == self.expected

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "right_before": self.right_before, "right_after": self.right_after}


def compared(run: Run) -> Compared:
    """The newest fine-tuning of a run that was accepted, and what it began with. Raises BadInput when there is none."""
    done: Stage | None = None
    for stage in run.stages:
        if stage.kind == "FINETUNE" and stage.accepted is not None:
            done = stage
    before = _base(run, done) if done is not None else None
    if done is None or done.accepted is None or before is None:
        states = ", ".join(f"{stage.name} {stage.state}" for stage in run.stages)
        said = mismatch(f"{run.id} with {states}", "a run whose fine-tuning is complete, after another stage")
        raise BadInput([Violation(field="RUN", description=said)])
    data = run.spec.stages[done.index].data
    return Compared(stage=done.name, before=before, after=done.accepted, chat=data.chat, fields=dict(data.fields))


def _base(run: Run, stage: Stage) -> CheckpointRef | None:
    """The accepted checkpoint of the stage before."""
    earlier = [one.accepted for one in run.stages if one.index < stage.index and one.accepted is not None]
    return earlier[-1] if earlier else None


def unseen_questions(source: str, *, fields: dict[str, str] | None = None, limit: int = QUESTIONS) -> list[Question]:
    """Questions of a chat source that no training has seen, with their answers (see `model.data.unseen`).

    The source is read by a process of its own. Raises BadInput for one that cannot be read here.
    """
    if source.startswith("s3://"):
        said = mismatch(source, "a source that this machine can read: the file that was uploaded, sample://, hf://")
        raise BadInput([Violation(field="--data", description=said)])
    # -P: no folder here shadows the module.
    command = [sys.executable, "-P", "-m", "model.cli.questions", source, "--limit", str(limit), "--json"]
    command += ["--fields", json.dumps(fields)] if fields else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1].removeprefix("error: ")
        if done.returncode == CHILD_BAD_INPUT:
            raise BadInput([Violation(field="--data", description=last)])
        raise ClientError(f"reading {source} ended with {done.returncode}: {last}", reason="CHECK_FAILED")
    return [Question(**row) for row in json.loads(done.stdout)["questions"]]


def ask(
    client: SampleSource,
    asked: Compared,
    questions: Sequence[Question],
    *,
    on_answer: Callable[[int], None] = lambda count: None,
) -> list[Answer]:
    """Every question put to both checkpoints, one checkpoint after the other, so that each is loaded once."""
    said: dict[str, list[str]] = {"before": [], "after": []}
    for name, reference in (("before", asked.before), ("after", asked.after)):
        for question in questions:
            pieces = client.sample(reference, question.prompt, max_new_tokens=MOST_TOKENS, temperature=0.0, chat=True)
            said[name].append("".join(pieces).strip())
            on_answer(sum(map(len, said.values())))
    return [
        Answer(
            prompt=question.prompt,
            expected=None if question.expected is None else question.expected.strip(),
            before=before,
            after=after,
        )
        for question, before, after in zip(questions, said["before"], said["after"], strict=True)
    ]


def score(answers: Sequence[Answer]) -> tuple[int, int, int]:
    """(right before, right after, questions with a right answer)."""
    judged = [answer for answer in answers if answer.expected is not None]
    return sum(bool(a.right_before) for a in judged), sum(bool(a.right_after) for a in judged), len(judged)


def score_line(answers: Sequence[Answer]) -> str:
    """`right on 24 unseen questions: 0 before (0.0 %), 22 after (91.7 %)`."""
    before, after, count = score(answers)
    shares = [f"{right} {when} ({100 * right / count:.1f} %)" for right, when in ((before, "before"), (after, "after"))]
    return f"right on {count} unseen questions: {', '.join(shares)}"
