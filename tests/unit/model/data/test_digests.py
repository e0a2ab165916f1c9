"""What names prepared data covers all that changes it, one input at a time, and nothing that does not."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from model.data import prepare
from model.data.eval_set import EvalSet
from model.data.exam import Exam, Held
from model.data.held_out import HeldOut
from model.data.prepare import prepared_digest
from model.data.sources import open_source, source_digest
from model.data.split import HoldOut
from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.document import Document
from model.errors import BadConfig
from model.tokenization.tokenizer import Tokenizer
from tests.unit.model.data_helpers import make_shard, numbered

ROWS = [{"text": f"Row {n} of the data.", "note": f"A note on {n}.", "level": 1 + n % 5} for n in range(60)]


def write(folder: Path, rows: list[dict], name: str = "data.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_bpe(["some text to learn from, row by row"] * 4, 280)


def digest(path: Path, tokenizer: Tokenizer, *, options: dict | None = None, **settings) -> str:
    return prepared_digest(open_source(str(path), options=options), tokenizer, **({"context": 64} | settings))


def other_folder(tokenizer: Tokenizer, folder: Path, change: Callable[[Path], None]) -> Tokenizer:
    """The tokenizer saved, changed on the disk, and loaded again."""
    tokenizer.save(folder)
    change(folder)
    return Tokenizer.load(folder)


def edit(name: str, **changes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def without_bos(folder: Path) -> None:
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["post_processor"] = raw["post_processor"]["processors"][0]
    (folder / "tokenizer.json").write_text(json.dumps(raw))


def other_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + "\n{# another #}")


@pytest.mark.parametrize(
    "options",
    [
        {"fields": ["text", "note"]},
        {"template": "{text} {note}"},
        {"difficulty_field": "level"},
        {"origin_field": "level"},
        {"limit_documents": 50},
        {"limit_bytes": 500},
    ],
)
def test_options_of_a_source_count(tmp_path, tokenizer, options):
    path = write(tmp_path, ROWS)
    assert digest(path, tokenizer, options=options) != digest(path, tokenizer)


@pytest.mark.parametrize(
    "settings",
    [
        {"context": 65},
        {"hold_out": HoldOut(fraction=0.06)},
        {"hold_out": HoldOut(salt="another")},
        {"hold_out": HoldOut(control_tokens=14_999)},
        {"hold_out": HoldOut(report_units=999)},
        {"hold_out": HoldOut(shorten_to=None)},
        {"exam": Exam.of({"general": Held(contents=HeldOut.of([Document(text="One text.", origin="")]))})},
        {"exam": Exam.of({}, HeldOut.of([Document(text="Another text.", origin="")]))},
    ],
)
def test_settings_of_preparing_count(tmp_path, tokenizer, settings):
    path = write(tmp_path, ROWS)
    assert digest(path, tokenizer, **settings) != digest(path, tokenizer)


def test_what_the_exam_says_counts_and_not_its_order(tmp_path, tokenizer):
    path = write(tmp_path, ROWS)
    one, two, three = (HeldOut.of([Document(text=f"Text {n}.", origin="")]) for n in range(3))
    assert digest(path, tokenizer, exam=Exam.of({}, one | two)) == digest(path, tokenizer, exam=Exam.of({}, two | one))
    assert digest(path, tokenizer, exam=Exam.of({}, one | two)) != digest(
        path, tokenizer, exam=Exam.of({}, one | three)
    )


@pytest.mark.parametrize(
    "change",
    [
        edit("tokenizer_config.json", eos_token="<|bos|>"),
        edit("tokenizer_config.json", additional_special_tokens=["row"]),
        without_bos,
        other_template,
    ],
)
def test_all_of_a_tokenizer_counts(tmp_path, tokenizer, change):
    """Two folders whose tokenizer.json may be the same."""
    path = write(tmp_path, ROWS)
    same = other_folder(tokenizer, tmp_path / "same", lambda folder: None)
    other = other_folder(tokenizer, tmp_path / "other", change)
    assert digest(path, same) == digest(path, tokenizer)
    assert digest(path, other) != digest(path, tokenizer)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [(prepare, "PACKING", 99), (prepare, "NORMALISATION", 99), (prepare.tokenizers, "__version__", "99.0")],
)
def test_rules_and_libraries_count(tmp_path, tokenizer, monkeypatch, module, name, value):
    path = write(tmp_path, ROWS)
    before = digest(path, tokenizer)
    monkeypatch.setattr(module, name, value)
    assert digest(path, tokenizer) != before


def test_contents_count_and_places_do_not(tmp_path, tokenizer):
    path = write(tmp_path / "a", ROWS)
    before = digest(path, tokenizer)
    moved = write(tmp_path / "b" / "c", ROWS, "renamed.jsonl")
    os.utime(moved, (1, 1))
    assert digest(moved, tokenizer) == before
    assert digest(write(tmp_path / "d", [*ROWS[:-1], {"text": "Changed."}]), tokenizer) != before
    assert digest(write(tmp_path / "e", ROWS[::-1]), tokenizer) != before  # another order of documents
    folder, other = tmp_path / "f", tmp_path / "g"
    for place, names in ((folder, ("1.jsonl", "2.jsonl")), (other, ("p.jsonl", "q.jsonl"))):
        write(place, ROWS[:30], names[0])
        write(place, ROWS[30:], names[1])
    assert digest(folder, tokenizer) == digest(other, tokenizer)
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / "code.rs").write_text("x = 1\n")  # the suffix says how it is read
    assert source_digest(open_source(str(tmp_path / "code.py"))) != source_digest(
        open_source(str(tmp_path / "code.rs"))
    )


def test_the_normal_form_is_not_what_is_packed(tmp_path, tokenizer):
    """Two forms of one text fall on one side, and are still two texts with tokens of their own."""
    dressed = [row | {"text": row["text"] + "  \n"} for row in ROWS]
    assert digest(write(tmp_path / "a", ROWS), tokenizer) != digest(write(tmp_path / "b", dressed), tokenizer)


def test_a_measurement_is_named_by_everything_that_it_measures(tmp_path, tokenizer):
    documents = [Document(text=row["text"], origin="") for row in ROWS[:5]]
    talk = [Document(messages=({"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}), origin="")]
    asked = EvalSet.build("a", documents, tokenizer, 32).digest
    other = other_folder(tokenizer, tmp_path / "bos", without_bos)
    digests = [
        EvalSet.build("a", documents[::-1], tokenizer, 32).digest,
        EvalSet.build("a", documents[:4], tokenizer, 32).digest,
        EvalSet.build("a", documents, tokenizer, 33).digest,
        EvalSet.build("a", documents, other, 32).digest,
    ]
    assert len({asked, *digests}) == 5
    named = edit("tokenizer_config.json", eos_token="<|bos|>")
    templated = other_folder(tokenizer, tmp_path / "end", named)
    assert EvalSet.build("a", talk, tokenizer, 32).digest == EvalSet.build("b", talk, tokenizer, 32).digest
    assert EvalSet.build("a", documents, templated, 32).digest == asked  # its ids of plain text are the same


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 2},
        {"context": 15},
        {"rows": 3},
        {"shard": "b"},
        {"curriculum": CurriculumSpec(strategy=Strategy.COMPETENCE, initial=0.5)},
        {"curriculum": CurriculumSpec(strategy=Strategy.COMPETENCE, full_at=0.5)},
        {"curriculum": CurriculumSpec(strategy=Strategy.STAGED)},
        {"curriculum": CurriculumSpec(strategy=Strategy.STAGED, reverse=True)},
        {"curriculum": CurriculumSpec(strategy=Strategy.STAGED, ranges=((1, 2), (2, 3), (3, 5)))},
    ],
)
def test_a_state_is_taken_by_the_very_same_stream_only(tmp_path, changed):
    def stream(
        *, seed: int = 1, context: int = 16, rows: int = 2, shard: str = "a", curriculum: CurriculumSpec | None = None
    ) -> BatchStream:
        lengths, difficulties = [30] * 60, [1 + n % 40 / 10 for n in range(60)]
        made = make_shard(tmp_path / shard, numbered(lengths), difficulties=difficulties, digest=shard)
        chosen = curriculum or CurriculumSpec(strategy=Strategy.COMPETENCE)
        return BatchStream({"s": made}, target="s", shares={}, seed=seed, context=context, rows=rows, curriculum=chosen)

    state = stream().state()
    stream().restore(state)
    with pytest.raises(BadConfig):
        stream(**changed).restore(state)
