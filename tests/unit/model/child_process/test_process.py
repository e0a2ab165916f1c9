"""Children that read foreign data: whatever happens to one is a named fault, within memory and time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from model.child_process.child import raised
from model.child_process.process import Apart, Ended
from model.data.sources import apart, open_source, source_digest
from model.data.sources.files import FileSource
from model.errors import BadConfig, BadSource, Cancelled

CHILD = "tests.fakes.apart_child"


@pytest.fixture
def child():
    made = Apart(CHILD, memory_bytes=512 << 20, patience_s=20)
    yield made
    made.end()


def test_questions_and_bytes_go_both_ways_and_prints_do_not_get_between(child):
    blob = os.urandom(3 << 20)
    for said in ("é", "\ud800", {"a": [1, None, 2.5]}):
        child.send({"op": "echo", "said": said}, blob)
        header, came = child.receive()
        assert (header["echo"], came) == (said, blob)


def test_a_child_sees_no_keys(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("RETAIN_TOKEN", "secret")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    made = Apart(CHILD, memory_bytes=512 << 20)
    try:
        made.send({"op": "echo"})
        names = made.receive()[0]["environment"]
    finally:
        made.end()
    assert "HF_HOME" in names
    assert not {"AWS_SECRET_ACCESS_KEY", "RETAIN_TOKEN"} & set(names)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"op": "abort"}, "ended by SIGABRT: thread 'main' panicked at src/lib.rs: regex too big"),
        ({"op": "crash"}, "ended by SIGSEGV"),
        ({"op": "leave"}, "ended with 7"),
    ],
)
def test_how_a_child_ended_is_said(child, asked, said):
    child.send(asked)
    with pytest.raises(Ended) as caught:
        child.receive()
    assert str(caught.value).startswith(said)


def test_memory_is_bounded(child):
    child.send({"op": "eat"})
    header, _ = child.receive()
    assert header["fault"]["got"] == "what takes more than 512 MiB of memory"
    error = raised(header["fault"], "a.parquet")
    assert (type(error), error.field) == (BadSource, "a.parquet")


def test_time_counts_from_the_last_sign():
    made = Apart(CHILD, memory_bytes=512 << 20, patience_s=20)
    try:
        made.send({"op": "get on", "signs": 5, "seconds": 0.5})
        assert [made.receive(patience_s=2)[0]["sign"] for _ in range(5)] == [0, 1, 2, 3, 4]  # longer than 2 s in all
        made.send({"op": "hang", "seconds": 600})
        with pytest.raises(Ended, match="gave no sign for 1 s"):
            made.receive(patience_s=1)
    finally:
        made.end()


def test_who_waits_can_show_a_sign_of_life_and_end_the_waiting(child):
    turns = 0

    def waiting() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            raise Cancelled

    child.send({"op": "hang", "seconds": 600})
    with pytest.raises(Cancelled):
        child.receive(waiting=waiting)


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("value", BadSource, r"what breaks the reader (ValueError: x\ud800)"),
        ("config", BadConfig, "1"),
        ("exit", BadSource, "what breaks the reader (SystemExit: 3)"),
    ],
)
def test_what_a_child_raises_comes_back_and_it_continues(child, what, kind, said):
    child.send({"op": "raise", "what": what})
    error = raised(child.receive()[0]["fault"], "here")
    assert (type(error), error.got) == (kind, said)
    child.send({"op": "echo", "said": 1})
    assert child.receive()[0]["echo"] == 1


def test_a_child_ends_with_its_parent_whatever_it_is_doing():
    script = f"""
        import os
        from model.child_process.process import Apart
        child = Apart({CHILD!r}, memory_bytes=512 << 20)
        child.send({{"op": "hang", "seconds": 600}})
        print(child._child.pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    deadline_s = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("asked", "patience_s", "said"),
    [
        ({"op": "hang", "seconds": 600}, 1, "it gave no sign for 1 s"),
        ({"op": "abort"}, 60, "it ended by SIGABRT"),
        ({"op": "eat"}, 60, "what takes more than 512 MiB of memory"),
    ],
)
def test_a_source_that_its_reader_does_not_get_through_is_named(tmp_path, monkeypatch, asked, patience_s, said):
    class Broken(Apart):
        def send(self, header, blob=b"", **options):
            super().send(asked, blob, **options)

    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a"}\n')
    source = open_source(str(path))
    broken = Broken(CHILD, memory_bytes=512 << 20, patience_s=patience_s)
    monkeypatch.setattr(apart._CHILDREN, "take", lambda hub: broken)
    with pytest.raises(BadSource) as caught:
        list(source)
    assert caught.value.field == str(path)
    assert said in caught.value.got
    monkeypatch.undo()
    assert [document.text for document in source] == ["a"]


def test_what_comes_from_the_child_is_what_it_read(tmp_path):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    turns = [
        {"role": "user", "content": "1 + 1? \U0001f600"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "assistant", "content": "2"},
    ]
    rows = [{"messages": turns, "tools": [tool], "difficulty": 2}, {"messages": turns[:1] + turns[3:], "category": "x"}]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "text.jsonl").write_text('{"text": "caf\u00e9", "language": "fr", "difficulty": 3.5}\n{"text": "b"}\n')
    for name in ("chat.jsonl", "text.jsonl"):
        here, apart_ = FileSource(tmp_path / name), open_source(str(tmp_path / name))
        assert list(here) == list(apart_)
        assert (here.kind, here.options, here.form()) == (apart_.kind, apart_.options, apart_.form())
        assert source_digest(here) == source_digest(apart_)


def test_reading_can_be_cancelled_and_leaves_no_child(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("some words\n" * 3_000_000)
    mine = psutil.Process()
    ended = False

    def waiting() -> None:
        if ended:
            raise Cancelled

    source = open_source(str(path), waiting=waiting)
    before = {process.pid for process in mine.children()}
    with pytest.raises(Cancelled):
        for _ in source:
            ended = True
    assert len({process.pid for process in mine.children()} - before) == 0


def test_sources_are_read_side_by_side_and_given_up_half_way(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {n} {'word ' * 900}\n\n" for n in range(2_000)))
    first, second = (open_source(str(tmp_path / f"{name}.txt")) for name in "ab")
    pairs = [(a.text[:3], b.text[:3]) for a, b in zip(first, second, strict=True)]
    assert pairs[:2] == [("a 0", "b 0"), ("a 1", "b 1")]
    assert len(pairs) == 2_000
    given_up = iter(first)
    assert next(given_up).text.startswith("a 0")
    given_up.close()
    assert sum(1 for _ in first) == 2_000
