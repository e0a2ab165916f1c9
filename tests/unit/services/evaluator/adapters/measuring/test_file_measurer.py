"""A real model on an uploaded file: the same figure as the torch core's, and every file that is none."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from model.data.eval_set import EvalSet
from model.document import Document
from model.evaluation.perplexity import evaluate_set
from services.common.errors import InvalidInput
from services.evaluator.adapters.measuring import file_measurer
from services.evaluator.adapters.measuring.file_measurer import TorchFileMeasurer
from services.evaluator.application.ports import FileMeasured, FileOrder
from services.evaluator.domain.request import Model
from tests.unit.model.data_helpers import byte_tokenizer
from tests.unit.services.evaluator.torch_harness import TorchHarness, tiny_model

STORY = "Once upon a time there was a fox.\n\n\nIt lived in a wood, and told nobody: é.\n" * 20


@pytest.fixture
def here(tmp_path: Path) -> TorchHarness:
    return TorchHarness(tmp_path)


def upload(here: TorchHarness, content: bytes, name: str, **how: int) -> FileOrder:
    digest = hashlib.sha256(content).hexdigest()
    key = f"uploads/{digest}/{name}"
    here.store.put_bytes(key, content)
    return FileOrder(uri=f"s3://{here.store.bucket}/{key}", sha256=digest, file_name=name, **how)


def measure(here: TorchHarness, order: FileOrder, told: list[tuple[int, int]] | None = None) -> FileMeasured:
    measurer = TorchFileMeasurer(here.measurer, here.files, here.store)
    model = Model(checkpoint=here.put("m", tiny_model(1)))
    said = told if told is not None else []
    return measurer.measure(model, order, lambda done, tokens: said.append((done, tokens)))


def directly(texts: list[str], context: int = 32) -> float:
    documents = [Document(text=text, origin=text) for text in texts]
    return evaluate_set(tiny_model(1), EvalSet.build("x", documents, byte_tokenizer(), context)).nats


def test_a_text_is_one_document_byte_for_byte_and_has_the_figure_of_the_torch_core(here: TorchHarness) -> None:
    told: list[tuple[int, int]] = []
    found = measure(here, upload(here, STORY.encode(), "story.txt"), told)
    assert found.measurement.nats == pytest.approx(directly([STORY]), rel=1e-9)
    assert (found.documents, found.measurement.bytes, found.context) == (1, len(STORY.encode()), 32)
    tokens = len(STORY.encode()) + 1  # single bytes behind a BOS
    assert found.measurement.tokens == tokens - 1
    assert told[0] == (0, tokens)
    assert told[-1] == (tokens, tokens)
    packed = measure(here, upload(here, gzip.compress(STORY.encode()), "story.txt.gz", context=16))
    assert packed.measurement.nats == pytest.approx(directly([STORY], 16), rel=1e-9)


def test_of_rows_the_first_documents_are_measured(here: TorchHarness) -> None:
    texts = [f"{number} foxes and {number * number} hens" for number in range(60)]
    rows = "\n".join(json.dumps({"text": text}) for text in texts).encode()
    found = measure(here, upload(here, rows, "rows.jsonl", documents=10))
    assert found.documents == 10
    assert found.measurement.nats == pytest.approx(directly(texts[:10]), rel=1e-9)
    assert len(measure(here, upload(here, rows, "rows.jsonl")).measurement.unit_nats) == 60


@pytest.mark.parametrize(
    ("content", "name", "how", "said"),
    [
        (b"", "empty.txt", {}, "no text"),
        (b"", "empty.jsonl", {}, "empty.jsonl"),
        (b"caf\xe9 au lait", "latin.txt", {}, "byte 0xe9 at offset 3"),
        (b"a\n\0b", "binary.txt", {}, "binary.txt:2: got a NUL"),
        (b"%PDF-1.7", "paper.pdf", {}, "ending in '.pdf'"),
        (b'{"text": "a"}\n{"words": 3}\n', "rows.jsonl", {}, "rows.jsonl:2"),
        (b"words", "short.txt", {"context": 33}, "up to the model's context, 32"),
        (b"{" * 50, "deep.jsonl", {}, "deep.jsonl:1"),
    ],
)
def test_what_is_no_text_is_named(
    here: TorchHarness, content: bytes, name: str, how: dict[str, int], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        measure(here, upload(here, content, name, **how))
    assert said in caught.value.message
    assert "retain-file-" not in caught.value.message, "no path of the server"


def test_what_is_too_much_is_named_before_it_is_measured(here: TorchHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_measurer, "MOST_TOKENS", 100)
    with pytest.raises(InvalidInput, match="up to 100; the first documents"):
        measure(here, upload(here, STORY.encode(), "story.txt"))
    monkeypatch.setattr(file_measurer, "MOST_TEXT_BYTES", 90)
    bomb = gzip.compress(b"a" * 1_000_000)
    with pytest.raises(InvalidInput, match="more than 90 bytes of text"):
        measure(here, upload(here, bomb, "bomb.txt.gz"))
    monkeypatch.setattr(file_measurer, "LARGEST_FILE_BYTES", 80)
    with pytest.raises(InvalidInput, match="up to 80 bytes"):
        measure(here, upload(here, STORY.encode(), "story.txt"))


def test_another_content_under_the_name_of_an_upload_is_refused(here: TorchHarness) -> None:
    order = upload(here, STORY.encode(), "story.txt")
    here.store.put_bytes(order.uri.removeprefix(f"s3://{here.store.bucket}/"), b"something else")
    with pytest.raises(InvalidInput, match="what was uploaded"):
        measure(here, order)
