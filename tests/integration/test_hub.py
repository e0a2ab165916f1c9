"""Data sets of the hub over the wire: a local hub, the real client libraries, the reader's own process."""

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.data.domains import create_domain_dataset
from model.data.sources import apart, open_source, source_digest
from model.errors import BadSource
from tests.fakes.hub import Hub

pytestmark = pytest.mark.integration


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Hub]:
    """A hub, and a reader that is started with its address; nothing of the reader's own cache is kept."""
    hub = Hub().start()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    apart._CHILDREN.end()
    yield hub
    apart._CHILDREN.end()
    hub.stop()


def lines(*rows: dict) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(*rows: dict) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
    return buffer.getvalue()


MATH = [
    {"problem": f"What is {n} + {n}?", "solution": f"It is {2 * n}.", "level": f"Level {n % 5 + 1}", "type": "Algebra"}
    for n in range(50)
]


def test_mathematics_by_level(hub: Hub) -> None:
    """Levels are "Level 1" to "Level 5": the difficulty range of the spec chooses among them."""
    hub.add("hendrycks/MATH", {"README.md": b"# MATH\n", "data/train.jsonl": lines(*MATH)})
    chosen = create_domain_dataset("math", source="hf://hendrycks/MATH", difficulty_range=[2, 3])
    found = [(document.text.split("?")[0], document.difficulty) for document in chosen]
    assert found == [(f"What is {n} + {n}", float(n % 5 + 1)) for n in range(50) if n % 5 + 1 in (2, 3)]


def test_code_by_language(hub: Hub) -> None:
    rows = [
        {"code": f"def f{n}():\n    return {n}\n", "language": "Python" if n % 3 else "JavaScript", "path": f"{n}"}
        for n in range(30)
    ]
    hub.add("codeparrot/github-code-clean", {"data/train-00000-of-00001.parquet": parquet(*rows)})
    chosen = create_domain_dataset("code", source="hf://codeparrot/github-code-clean", languages=["python"])
    assert len(list(chosen)) == 20
    assert all("def f" in document.text for document in chosen)


def test_papers_by_field(hub: Hub) -> None:
    rows = [
        {"text": f"Paper {n} " + "on stars and planets. " * 20, "field": f}
        for n in range(4)
        for f in ("physics", "biology")
    ]
    hub.add("someone/papers", {"train.jsonl": lines(*rows)})
    chosen = create_domain_dataset("science", source="hf://someone/papers", fields=["physics"])
    assert [d.text.split(" on")[0] for d in chosen] == [f"Paper {n}" for n in range(4)]


def test_rows_are_streamed_and_reading_ends_where_it_is_wanted(hub: Hub) -> None:
    """Of 24 files of 100 rows the first two are enough for 150 documents."""
    files = {
        f"data/train-{n:05d}-of-00024.jsonl": lines(
            *({"text": f"file {n} row {r} " + "word " * 50} for r in range(100))
        )
        for n in range(24)
    }
    hub.add("someone/large", files)
    source = open_source("hf://someone/large?limit_documents=150")
    assert sum(1 for _ in source) == 150
    read = {path.rpartition("/")[2] for path in hub.files_asked_for() if path.endswith(".jsonl")}
    assert len(read) <= 3, f"not the whole data set: {sorted(read)}"


def test_a_gated_data_set_wants_a_token_and_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("meta/gated", {"train.jsonl": lines({"text": "secret words"})}, token="hf_good")
    with pytest.raises(BadSource, match=r"restricted|private.*HF_TOKEN is not set|HF_TOKEN is not set"):
        open_source("hf://meta/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    apart._CHILDREN.end()
    with pytest.raises(BadSource, match="HF_TOKEN is set, but has no access") as caught:
        open_source("hf://meta/gated")
    assert "hf_bad" not in str(caught.value), "a token never stands in a message"
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    apart._CHILDREN.end()
    assert [d.text for d in open_source("hf://meta/gated")] == ["secret words"]


def test_too_many_requests_are_waited_out(hub: Hub) -> None:
    hub.add("someone/busy", {"train.jsonl": lines(*({"text": f"row {n}"} for n in range(20)))})
    source = open_source("hf://someone/busy")
    hub.too_many = 3
    assert [d.text for d in source] == [f"row {n}" for n in range(20)]
    assert hub.too_many == 0, "they were met"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("cut_at", [0.0, 0.3, 0.97])
def test_a_stream_that_is_cut_continues_without_losing_or_doubling_a_row(hub: Hub, form: str, cut_at: float) -> None:
    rows = [{"text": f"row {n} " + "some words " * 200} for n in range(3000)]
    files = {"train.jsonl": lines(*rows)} if form == "jsonl" else {"train.parquet": parquet(*rows)}
    hub.add("someone/cut", files)
    source = open_source("hf://someone/cut")
    hub.cut, hub.cut_at = 2, cut_at
    assert [d.text for d in source] == [row["text"] for row in rows]
    assert hub.cut == 0, "the cuts were met"


def test_a_hub_that_is_gone_in_the_middle_is_a_fault_of_the_row_that_was_due(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never an end of the data: a shorter data set would be prepared in silence."""
    monkeypatch.setenv("RETAIN_HUB_TRIES", "1")
    apart._CHILDREN.end()
    rows = [{"text": f"row {n} " + "some words " * 200} for n in range(3000)]
    hub.add("someone/gone", {"train.jsonl": lines(*rows)})
    source = open_source("hf://someone/gone")
    hub.cut, hub.cut_at = 10**6, 0.3
    with pytest.raises(BadSource, match=r"hf://someone/gone row \d+"):
        list(source)


def test_a_revision_that_moves_does_not_move_under_a_source(hub: Hub) -> None:
    first = hub.add("someone/moving", {"train.jsonl": lines({"text": "as it was"})})
    source = open_source("hf://someone/moving")
    before = source_digest(source)
    second = hub.add("someone/moving", {"train.jsonl": lines({"text": "as it is"}), "more.txt": b"x"})
    assert [d.text for d in source] == ["as it was"]
    assert any(first in note for note in source.notes())
    again = open_source("hf://someone/moving")
    assert [d.text for d in again] == ["as it is"]
    assert source_digest(again) != before
    pinned = open_source(f"hf://someone/moving?revision={first}")
    assert [d.text for d in pinned] == ["as it was"]
    assert any(second in note for note in again.notes())


def test_offline_is_honoured_and_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("someone/online", {"train.jsonl": lines({"text": "words"})})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    apart._CHILDREN.end()
    with pytest.raises(BadSource, match=r"(?i)offline|cache"):
        open_source("hf://someone/online")
    assert hub.requests == [], "nobody was asked"


def test_what_is_not_there_is_named(hub: Hub) -> None:
    hub.add("someone/there", {"train.jsonl": lines({"text": "words"})})
    with pytest.raises(BadSource, match=r"hf://someone/missing.*no such data set"):
        open_source("hf://someone/missing")
    with pytest.raises(BadSource, match=r"revision.*no-such-branch"):
        open_source("hf://someone/there?revision=no-such-branch")
    with pytest.raises(BadSource, match=r"split|Split"):
        open_source("hf://someone/there?split=nonsense")


@pytest.mark.parametrize(
    "uri",
    [
        "hf://text?data_files=/proc/self/environ",
        "hf://json?data_files=http://169.254.169.254/latest",
        "hf://parquet",
        "hf://someone/there?data_files=/etc/passwd",
        "hf://someone/there?data_files=../../etc/passwd",
        "hf://someone/there?data_files=file:///etc/passwd",
        "hf://someone/there?data_files=zip://a::http://127.0.0.1/x.zip",
        'hf://someone/there?data_files=["a.jsonl", "~/secrets"]',
        'hf://someone/there?data_files={"train": "https://example.org/x"}',
        "hf://someone/there?data_files=a\\..\\..\\b",
        "hf://someone/there?revision=../../x",
        "hf://someone/there?name=../x",
        "hf://a/b/c",
        "hf://../../etc",
        "hf://someone/there?trust_remote_code=true",
        "hf://someone/there?data_dir=/etc",
    ],
)
def test_what_names_something_else_than_the_data_sets_own_files_is_refused(hub: Hub, uri: str) -> None:
    hub.add("someone/there", {"train.jsonl": lines({"text": "words"})})
    with pytest.raises(BadSource) as caught:
        open_source(uri)
    assert "root:" not in str(caught.value)
    assert "PATH=" not in str(caught.value)
    assert hub.requests == [], "it was refused before anybody was asked"


def test_files_of_the_data_set_may_be_chosen(hub: Hub) -> None:
    files = {"a/one.jsonl": lines({"text": "one"}), "a/two.jsonl": lines({"text": "two"})}
    hub.add("someone/parts", files)
    assert [d.text for d in open_source("hf://someone/parts?data_files=a/two.jsonl")] == ["two"]


@pytest.mark.parametrize(
    "file", ["/etc/passwd", "file:///etc/hostname", "http://127.0.0.1:9/x.jsonl", "hf://datasets/someone/other/x.jsonl"]
)
def test_a_card_that_names_files_elsewhere_is_refused(hub: Hub, file: str) -> None:
    """What the card of a data set calls its files is the card's author's word, not the user's."""
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {file}\n---\n"
    hub.add("someone/other", {"x.jsonl": lines({"text": "of another data set"})})
    hub.add("someone/evil", {"README.md": card.encode(), "a.jsonl": lines({"text": "plain words"})})
    with pytest.raises(BadSource) as caught:
        open_source("hf://someone/evil")
    assert "root:" not in str(caught.value)
