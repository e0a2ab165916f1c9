"""The texts of the adaptation: what is learned, what is replayed, and what is measured, as files of rows.

    train/math.jsonl          GSM8K's training problems with their worked answers: the domain
    train/encyclopaedia.jsonl pieces of Wikipedia articles: what a user has at hand to replay, not what the model read
    measured/math.jsonl       GSM8K's test problems
    measured/encyclopaedia.jsonl pieces of other articles: the kind of text that is replayed
    measured/stories.jsonl    openings of TinyStories: replayed by no arm
    measured/chat.jsonl       conversations, where the assistant's tokens count: replayed by no arm

Measured documents are short, since an interval gets narrow by their number and not by their length: problems and
conversations, which are never cut, are the shortest ones of their files. All come from files or articles of which
nothing is trained on.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

MEASURED = ("math", "encyclopaedia", "stories", "chat")
DOCUMENTS = 165  # of each measured set
LONGEST = 280  # characters of a measured text
PIECE = 600  # characters of a replayed piece, about
HELD_ARTICLES = 5  # every fifth is measured
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+")


def write_texts(shared: Path, folder: Path) -> None:
    """Writes all files below `folder` from the shared data. Raises BadInput for data that is not there, or too little
    of it."""
    problems = [f"{row['question']}\n{row['answer']}" for row in _rows(shared / "math/gsm8k.train.jsonl")]
    tests = [f"{row['question']}\n{row['answer']}" for row in _rows(shared / "math/gsm8k.test.jsonl")]
    articles = [line for line in _text(shared / "general/wikipedia_sample.txt").split("\n") if line.strip()]
    stories = [row["text"] for row in _rows(shared / "general/tinystories.val.jsonl")]
    talks = [row["messages"] for row in _rows(shared / "chat/chat.test.jsonl")]
    replayed = [piece for n, one in enumerate(articles) if n % HELD_ARTICLES for piece in pieces(one, PIECE)]
    held = (piece for one in articles[::HELD_ARTICLES] for piece in pieces(one, LONGEST))
    _write(folder / "train/math.jsonl", ({"text": one} for one in problems))
    _write(folder / "train/encyclopaedia.jsonl", ({"text": one} for one in replayed))
    measured: dict[str, Iterable[dict[str, Any]]] = {
        "math": ({"text": one} for one in sorted(tests, key=len)),
        "encyclopaedia": ({"text": one} for one in held),
        "stories": ({"text": next(pieces(one, LONGEST))} for one in stories if one.isascii()),
        "chat": ({"messages": one} for one in sorted(talks, key=_length)),
    }
    for name in MEASURED:
        rows = list(islice(measured[name], DOCUMENTS))
        if len(rows) < DOCUMENTS:
            said = mismatch(f"{len(rows)} documents for {name}", f"{DOCUMENTS}")
            raise BadInput([Violation(field=str(shared), description=said)])
        _write(folder / f"measured/{name}.jsonl", rows)


def pieces(text: str, longest: int) -> Iterator[str]:
    """Whole sentences up to so many characters; a longer sentence is cut between words, and its rest is left out."""
    held = ""
    for sentence in _SENTENCE_END.split(" ".join(text.split())):
        if held and len(held) + 1 + len(sentence) > longest:
            yield held
            held = ""
        if len(sentence) > longest:
            yield sentence[: longest + 1].rpartition(" ")[0] or sentence[:longest]
            continue
        held = f"{held} {sentence}" if held else sentence
    if held:
        yield held


def _length(turns: list[dict[str, str]]) -> int:
    return sum(len(turn["content"]) for turn in turns)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path).split("\n") if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        said = mismatch(f"no such file ({error.strerror})", "the shared data (RETAIN_SHARED, --shared)")
        raise BadInput([Violation(field=str(path), description=said)]) from error


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)
